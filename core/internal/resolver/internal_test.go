// SPDX-License-Identifier: Apache-2.0

package resolver

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestIsPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "192.88.99.1": true, "172.32.0.1": true, "100.63.0.1": true,
		"64:ff9b::8.8.8.8": true, "2002:808:808::1": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.1.1": false,
		"0.0.0.0": false, "0.1.2.3": false, "100.64.0.1": false, "192.0.0.8": false, "192.0.2.1": false,
		"198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false,
		"255.255.255.255": false,
		"::":              false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false,
		"ff02::1": false, "2001:db8::1": false, "2001:0:1::1": false, "100::1": false, "fec0::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "64:ff9b::10.0.0.1": false,
		"64:ff9b:1::1": false, "2002:a00:1::1": false, "2002:7f00:1::1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %t", addr, got)
		}
	}
	if IsPublic(netip.Addr{}) {
		t.Error("the zero address is not public")
	}
}

type stillClock struct{ now time.Time }

func (c *stillClock) Now() time.Time { return c.now }

func answer(name string, ttl int) *dns.Msg {
	rr, err := dns.NewRR(fmt.Sprintf("%s %d IN A 192.0.2.1", name, ttl))
	if err != nil {
		panic(err)
	}
	return &dns.Msg{Answer: []dns.RR{rr}}
}

func TestCacheIsBounded(t *testing.T) {
	clock := &stillClock{now: time.Unix(1e9, 0)}
	c := newCache(10, clock)
	for i := range 100 {
		name := fmt.Sprintf("n%d.test.", i)
		c.put(name, dns.TypeA, answer(name, 60))
		if _, ttl := c.get(name, dns.TypeA); ttl != time.Minute || len(c.m) > 10 {
			t.Fatalf("%d: kept for %v, %d entries", i, ttl, len(c.m))
		}
	}
	clock.now = clock.now.Add(time.Minute)
	c.put("last.test.", dns.TypeA, answer("last.test.", 1e6))
	clock.now = clock.now.Add(maxTTL)
	if _, ttl := c.get("last.test.", dns.TypeA); ttl > 0 {
		t.Error("kept for longer than maxTTL")
	}
}

func TestNegativeLifetime(t *testing.T) {
	soa, err := dns.NewRR("test. 900 IN SOA ns. root. 1 2 3 4 120")
	if err != nil {
		t.Fatal(err)
	}
	a := &dns.Msg{Ns: []dns.RR{soa}}
	a.Rcode = dns.RcodeNameError
	if got := lifetime(a); got != 2*time.Minute {
		t.Error(got)
	}
}

func FuzzAnswer(f *testing.F) {
	q := new(dns.Msg).SetQuestion("a.test.", dns.TypeMX)
	a := new(dns.Msg).SetReply(q)
	for _, s := range []string{"a.test. CNAME b.test.", "b.test. CNAME a.test.", "a.test. MX 1 .", "a.test. A 192.0.2.1", `a.test. TXT "a\200\"" "b"`} {
		rr, err := dns.NewRR(s)
		if err != nil {
			f.Fatal(err)
		}
		a.Answer = append(a.Answer, rr)
		raw, err := a.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		a := new(dns.Msg)
		if a.Unpack(raw) != nil {
			return
		}
		steps := 0
		_, rrs := follow(a.Answer, "a.test.", dns.TypeMX, &steps)
		if steps > maxAliases+1 {
			t.Fatalf("%d steps", steps)
		}
		if len(rrs) > 0 {
			if mxs, err := exchangers("a.test", rrs); len(mxs) > maxMX || (len(mxs) == 0) != (err != nil) {
				t.Fatalf("%v %v", mxs, err)
			}
		}
		addresses(a.Answer)
		fd := found{rrs: a.Answer, ttl: maxTTL}
		if got, err := fd.answer(); err == nil && len(got.Records) != len(a.Answer) || len(got.Records) > maxRecords {
			t.Fatalf("%d records of %d", len(got.Records), len(a.Answer))
		}
		if ttl := lifetime(a); ttl > maxTTL {
			t.Fatal(ttl)
		}
	})
}

func FuzzHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost # x\n::1 a b\n")
	f.Fuzz(func(t *testing.T, text string) { parseHosts(text) })
}
