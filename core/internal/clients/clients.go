// SPDX-License-Identifier: Apache-2.0

// Package clients answers what is known of a client's address: its name by reverse
// DNS, and which lists of addresses (DNSBL, RFC 5782) have it.
package clients

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// ErrNone is what a Resolver's error holds when the DNS says for certain that there
// is nothing.
var ErrNone = errors.New("clients: the DNS has no such record")

// Resolver asks the DNS. It returns one value at least, or an error: addresses as
// text, names in lower case without the last dot.
type Resolver interface {
	Addresses(ctx context.Context, name string) ([]string, error) // A
	Six(ctx context.Context, name string) ([]string, error)       // AAAA
	Names(ctx context.Context, ip netip.Addr) ([]string, error)   // PTR
}

// maxNames is how many names of an address are looked at, and wait how long all
// questions about a client may take.
const (
	maxNames = 5
	wait     = 5 * time.Second
)

// Name returns the name of an address that the name itself leads back to, empty
// when there is none. An error says that the DNS could not be asked: then nobody
// knows.
func Name(ctx context.Context, r Resolver, ip netip.Addr) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	names, err := r.Names(ctx, ip)
	if errors.Is(err, ErrNone) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var fault error
	for _, name := range names[:min(len(names), maxNames)] {
		ok, err := leadsTo(ctx, r, name, ip)
		if ok {
			return name, nil
		}
		fault = errors.Join(fault, err)
	}
	return "", fault
}

// leadsTo reports whether a name has the address.
func leadsTo(ctx context.Context, r Resolver, name string, ip netip.Addr) (bool, error) {
	ask := r.Addresses
	if ip.Is6() {
		ask = r.Six
	}
	addresses, err := ask(ctx, name)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	for _, a := range addresses {
		if got, bad := netip.ParseAddr(a); bad == nil && got.Unmap() == ip {
			return true, nil
		}
	}
	return false, err
}

// List is a list of addresses in the DNS.
type List struct {
	Zone   string         // the domain below which the addresses are
	Codes  []netip.Prefix // answers that count; nil: all of 127.0.0.0/8
	Weight int            // how much it counts: above 0 against the client, below 0 for it
}

// Listed asks the lists about an address, all at once. It returns the sum of the
// weights of those that have it, and their zones. A list that does not answer is
// none that has it; fault says so.
func Listed(ctx context.Context, r Resolver, lists []List, ip netip.Addr) (weight int, zones []string, fault error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	answers := make(chan answer, len(lists))
	for i := range lists {
		go func() { answers <- lists[i].ask(ctx, r, ip) }()
	}
	for range lists {
		a := <-answers
		if a.has {
			weight += a.list.Weight
			zones = append(zones, a.list.Zone)
		}
		fault = errors.Join(fault, a.fault)
	}
	return weight, zones, fault
}

// answer is what one list says.
type answer struct {
	list  *List
	has   bool
	fault error
}

func (l *List) ask(ctx context.Context, r Resolver, ip netip.Addr) answer {
	codes, err := r.Addresses(ctx, Reversed(ip)+"."+l.Zone)
	if errors.Is(err, ErrNone) {
		return answer{list: l}
	}
	if err != nil {
		return answer{list: l, fault: fmt.Errorf("%s: %w", l.Zone, err)}
	}
	for _, c := range codes {
		if l.counts(c) {
			return answer{list: l, has: true}
		}
	}
	return answer{list: l}
}

// counts reports whether an answer says that the address is on the list. What is
// not in 127.0.0.0/8 never does: it comes from who answers to everything
// (RFC 5782 §2.1).
func (l *List) counts(code string) bool {
	a, err := netip.ParseAddr(code)
	if err != nil || !netip.MustParsePrefix("127.0.0.0/8").Contains(a) {
		return false
	}
	if l.Codes == nil {
		return true
	}
	for _, p := range l.Codes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Reversed returns an address as lists have it: 192.0.2.1 as 1.2.0.192, and an
// IPv6 one digit by digit (RFC 5782 §2.1, §2.4).
func Reversed(ip netip.Addr) string {
	b := ip.Unmap().AsSlice()
	parts := make([]string, 0, 2*len(b))
	for i := len(b) - 1; i >= 0; i-- {
		if len(b) == 4 {
			parts = append(parts, fmt.Sprint(b[i]))
			continue
		}
		parts = append(parts, fmt.Sprintf("%x", b[i]&0xf), fmt.Sprintf("%x", b[i]>>4))
	}
	return strings.Join(parts, ".")
}
