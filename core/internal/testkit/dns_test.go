// SPDX-License-Identifier: Apache-2.0

package testkit_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

func TestDNSAnswersFromTheZone(t *testing.T) {
	d := testkit.NewDNS(t, `
example.org.       MX 10 mx1.example.org.
alias.test.        CNAME example.org.
mx1.example.org.   A 192.0.2.1
`)
	d.SetFault("sick.test", testkit.DNSFault{Rcode: dns.RcodeServerFailure})
	d.SetFault("big.test", testkit.DNSFault{Truncate: true})
	for _, c := range []struct {
		name    string
		qtype   uint16
		rcode   int
		answers int
	}{
		{"Example.ORG.", dns.TypeMX, dns.RcodeSuccess, 1},
		{"alias.test.", dns.TypeMX, dns.RcodeSuccess, 2},
		{"example.org.", dns.TypeA, dns.RcodeSuccess, 0},
		{"org.", dns.TypeA, dns.RcodeSuccess, 0},
		{"nowhere.test.", dns.TypeA, dns.RcodeNameError, 0},
		{"sick.test.", dns.TypeA, dns.RcodeServerFailure, 0},
	} {
		for _, network := range []string{"udp", "tcp"} {
			a, _, err := (&dns.Client{Net: network}).Exchange(new(dns.Msg).SetQuestion(c.name, c.qtype), d.Addr())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]int{c.rcode, c.answers}, []int{a.Rcode, len(a.Answer)}); d != "" {
				t.Errorf("%s %s: %s", network, c.name, d)
			}
		}
	}
	a, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion("big.test.", dns.TypeA), d.Addr())
	if err != nil || !a.Truncated {
		t.Errorf("%v %v", a, err)
	}
	if n := d.Queries("udp", "example.org", dns.TypeMX); n != 1 {
		t.Errorf("queries %d", n)
	}
}
