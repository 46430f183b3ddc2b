// SPDX-License-Identifier: Apache-2.0

package clients

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var errDown = errors.New("no server answers")

// zone is a DNS: questions and what is answered. "fault" is no answer.
type zone map[string]string

func (z zone) ask(question string) ([]string, error) {
	switch answer := z[question]; answer {
	case "":
		return nil, fmt.Errorf("%w: %s", ErrNone, question)
	case "fault":
		return nil, errDown
	default:
		return strings.Fields(answer), nil
	}
}

func (z zone) Addresses(_ context.Context, name string) ([]string, error) { return z.ask("A " + name) }
func (z zone) Six(_ context.Context, name string) ([]string, error)       { return z.ask("AAAA " + name) }
func (z zone) Names(_ context.Context, ip netip.Addr) ([]string, error) {
	return z.ask("PTR " + ip.String())
}

func TestNameOfAnAddress(t *testing.T) {
	z := zone{
		"PTR 192.0.2.1": "one.test", "A one.test": "192.0.2.9 192.0.2.1",
		"PTR 192.0.2.2": "liar.test", "A liar.test": "198.51.100.1",
		"PTR 192.0.2.3": "gone.test",
		"PTR 192.0.2.4": "gone.test one.test four.test", "A four.test": "192.0.2.4",
		"PTR 192.0.2.5": "fault",
		"PTR 192.0.2.6": "six.test", "A six.test": "fault",
		"PTR 192.0.2.7": "a.test b.test c.test d.test e.test seven.test", "A seven.test": "192.0.2.7",
		"PTR 2001:db8::1": "v6.test", "AAAA v6.test": "2001:db8::1",
	}
	for ip, want := range map[string]string{
		"192.0.2.1": "one.test", "192.0.2.2": "", "192.0.2.3": "", "192.0.2.4": "four.test", "192.0.2.5": "fault", "192.0.2.6": "fault",
		"192.0.2.7": "", "192.0.2.8": "", "2001:db8::1": "v6.test",
	} {
		name, err := Name(t.Context(), z, netip.MustParseAddr(ip))
		if got := map[bool]string{true: "fault", false: name}[err != nil]; got != want {
			t.Errorf("%s: %q, want %q", ip, got, want)
		}
	}
}

func TestListsOfAddresses(t *testing.T) {
	z := zone{
		"A 1.2.0.192.bad.test": "127.0.0.2", "A 1.2.0.192.worse.test": "127.0.0.10 127.0.0.4", "A 1.2.0.192.good.test": "127.0.0.1",
		"A 2.2.0.192.bad.test": "127.0.0.9", "A 3.2.0.192.bad.test": "203.0.113.1", "A 4.2.0.192.bad.test": "fault", "A 4.2.0.192.worse.test": "127.0.0.4",
		"A 5.2.0.192.bad.test": "nonsense",
		"A 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bad.test": "127.0.0.2",
	}
	lists := []List{
		{Zone: "bad.test", Codes: []netip.Prefix{netip.MustParsePrefix("127.0.0.2/31")}, Weight: 2},
		{Zone: "worse.test", Weight: 3},
		{Zone: "good.test", Weight: -1},
	}
	for ip, want := range map[string]string{
		"192.0.2.1": "4 [bad.test good.test worse.test] false", "192.0.2.2": "0 [] false", "192.0.2.3": "0 [] false",
		"192.0.2.4": "3 [worse.test] true", "192.0.2.5": "0 [] false", "192.0.2.6": "0 [] false", "2001:db8::1": "2 [bad.test] false",
	} {
		weight, zones, fault := Listed(t.Context(), z, lists, netip.MustParseAddr(ip))
		slices.Sort(zones)
		if got := fmt.Sprint(weight, zones, errors.Is(fault, errDown)); got != want {
			t.Errorf("%s: %s, want %s", ip, got, want)
		}
	}
}
