// SPDX-License-Identifier: Apache-2.0

package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/sdk/abi"
)

const records = `
.                     60 SOA ns. root. 1 2 3 4 30
a.test.               300 A 192.0.2.1
a.test.               200 A 192.0.2.2
a.test.               60 AAAA 2001:db8::1
a.test.               60 MX 10 MX.a.test.
a.test.               60 NS ns1.test.
a.test.               60 TXT "v=spf1 " "ip4:192.0.2.0/24" " -all"
a.test.               60 TXT "quote\" back\\ octet\200"
www.test.             60 CNAME A.test.
1.2.0.192.in-addr.arpa. 60 PTR mail.a.test.
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 PTR six.a.test.
_dmarc.a.test.        60 TXT "v=DMARC1; p=none"
`

// spell renders an answer in one line.
func spell(a resolver.Answer, err error) string {
	if err != nil {
		var e abi.Errno
		errors.As(err, &e)
		return e.Error()
	}
	var words []string
	for _, r := range a.Records {
		words = append(words, fmt.Sprintf("%d %q %d", r.TTL/time.Second, r.Data, r.Preference))
	}
	if a.Authenticated {
		words = append(words, "authenticated")
	}
	return strings.Join(words, ", ")
}

func TestLookup(t *testing.T) {
	d := testkit.NewDNS(t, records)
	d.SetSecure("www.test")
	d.SetFault("sick.test", testkit.DNSFault{Rcode: dns.RcodeServerFailure})
	d.SetFault("long.test", testkit.DNSFault{Truncate: true})
	clock := testkit.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}, Clock: clock})
	for _, c := range []struct {
		name   string
		rrtype uint16
		want   string
	}{
		{"a.test", dns.TypeA, `200 "192.0.2.1" 0, 200 "192.0.2.2" 0`},
		{"A.Test.", dns.TypeAAAA, `60 "2001:db8::1" 0`},
		{"a.test", dns.TypeMX, `60 "mx.a.test" 10`},
		{"a.test", dns.TypeNS, `60 "ns1.test" 0`},
		{"a.test", dns.TypeTXT, `60 "v=spf1 ip4:192.0.2.0/24 -all" 0, 60 "quote\" back\\ octet\xc8" 0`},
		{"_dmarc.a.test", dns.TypeTXT, `60 "v=DMARC1; p=none" 0`},
		{"www.test", dns.TypeCNAME, `60 "a.test" 0, authenticated`},
		{"www.test", dns.TypeA, `60 "192.0.2.1" 0, 60 "192.0.2.2" 0, authenticated`},
		{"1.2.0.192.in-addr.arpa", dns.TypePTR, `60 "mail.a.test" 0`},
		{"192.0.2.1", dns.TypePTR, `60 "mail.a.test" 0`},
		{"::ffff:192.0.2.1", dns.TypePTR, `60 "mail.a.test" 0`},
		{"2001:db8::1", dns.TypePTR, `60 "six.a.test" 0`},
		{"192.0.2.1", dns.TypeA, "not found"},
		{"a.test", dns.TypePTR, "not found"},
		{"nowhere.test", dns.TypeA, "not found"},
		{"a..test", dns.TypeA, "bad argument"},
		{"", dns.TypeA, "bad argument"},
		{"a.test", dns.TypeANY, "not supported"},
		{"a.test", 65280, "not supported"},
		{"sick.test", dns.TypeA, "input/output error"},
		{"localhost", dns.TypeA, "not found"},
	} {
		if got := spell(r.Lookup(context.Background(), c.name, c.rrtype)); got != c.want {
			t.Errorf("%s %d: got %s, want %s", c.name, c.rrtype, got, c.want)
		}
	}
}

func TestLookupTimesOut(t *testing.T) {
	d := testkit.NewDNS(t, records)
	d.SetFault("silent.test", testkit.DNSFault{Silent: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}, Timeout: 20 * time.Millisecond, Attempts: 1})
	if _, err := r.Lookup(context.Background(), "silent.test", dns.TypeA); !errors.Is(err, abi.ErrTimeout) {
		t.Errorf("a silent server: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	r = newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	if _, err := r.Lookup(ctx, "silent.test", dns.TypeA); !errors.Is(err, abi.ErrTimeout) {
		t.Errorf("a deadline: %v", err)
	}
}

func TestLookupIsKept(t *testing.T) {
	d := testkit.NewDNS(t, records)
	clock := testkit.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}, Clock: clock})
	look := func(name, want string, asked int) {
		t.Helper()
		if got := spell(r.Lookup(context.Background(), name, dns.TypeA)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if n := d.Queries("udp", name, dns.TypeA); n != asked {
			t.Errorf("%s: asked %d times, want %d", name, n, asked)
		}
	}
	look("a.test", `200 "192.0.2.1" 0, 200 "192.0.2.2" 0`, 1)
	look("nowhere.test", "not found", 1)
	clock.Advance(29 * time.Second)
	look("a.test", `171 "192.0.2.1" 0, 171 "192.0.2.2" 0`, 1)
	look("nowhere.test", "not found", 1)
	clock.Advance(time.Second)
	look("nowhere.test", "not found", 2)
	clock.Advance(170 * time.Second)
	look("a.test", `200 "192.0.2.1" 0, 200 "192.0.2.2" 0`, 2)
}

func TestLookupIsBounded(t *testing.T) {
	var zone strings.Builder
	for i := range 65 {
		fmt.Fprintf(&zone, "many.test. A 192.0.2.%d\n", i)
	}
	for i := range 40 {
		fmt.Fprintf(&zone, "large.test. TXT %q%s\n", fmt.Sprint(i), strings.Repeat(` "`+strings.Repeat("x", 250)+`"`, 4))
	}
	d := testkit.NewDNS(t, zone.String())
	d.SetFault("many.test", testkit.DNSFault{Truncate: true})
	d.SetFault("large.test", testkit.DNSFault{Truncate: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	for name, rrtype := range map[string]uint16{"many.test": dns.TypeA, "large.test": dns.TypeTXT} {
		if _, err := r.Lookup(context.Background(), name, rrtype); !errors.Is(err, abi.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
