// SPDX-License-Identifier: Apache-2.0

package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const zone = `
example.org.        MX 20 mx2.Example.ORG.
example.org.        MX 10 mx1.example.org.
example.org.        MX 30 mx3.example.org.
mx1.example.org.    A 192.0.2.1
mx1.example.org.    AAAA 2001:db8::1
mx1.example.org.    A 192.0.2.2
implicit.test.      AAAA 2001:db8::25
alias.test.         CNAME alias2.test.
alias2.test.        CNAME example.org.
null.test.          MX 0 .
nullandmore.test.   MX 0 .
nullandmore.test.   MX 10 mx1.example.org.
empty.test.         TXT "nothing here"
xn--bcher-kva.test. MX 10 mx1.example.org.
loop1.test.         CNAME loop2.test.
loop2.test.         CNAME loop1.test.
dangling.test.      CNAME nowhere.test.
noaddress.test.     CNAME empty.test.
`

// chain returns aliases c0 -> c1 -> … -> cn, and an address at the end.
func chain(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d.test. CNAME %s%d.test.\n", name, i, name, i+1)
	}
	fmt.Fprintf(&b, "%s%d.test. A 192.0.2.99\n", name, n)
	return b.String()
}

func newResolver(t *testing.T, o resolver.Options) *resolver.Resolver {
	t.Helper()
	r, err := resolver.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// word renders an error: its kind and the reply.
func word(err error) string {
	kinds := map[string]error{
		"no domain": resolver.ErrNoDomain, "null MX": resolver.ErrNullMX,
		"no address": resolver.ErrNoAddress, "temporary": resolver.ErrTemporary,
	}
	for name, kind := range kinds {
		if errors.Is(err, kind) {
			r := mail.ReplyOf(err)
			return fmt.Sprintf("%s %d %s", name, r.Code, r.Enhanced)
		}
	}
	return fmt.Sprint(err)
}

func TestLookupMX(t *testing.T) {
	d := testkit.NewDNS(t, zone)
	d.SetFault("sick.test", testkit.DNSFault{Rcode: dns.RcodeServerFailure})
	d.SetFault("refused.test", testkit.DNSFault{Rcode: dns.RcodeRefused})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	for domain, want := range map[string]string{
		"example.org":      "[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 30}]",
		"EXAMPLE.org.":     "[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 30}]",
		"alias.test":       "[{mx1.example.org 10} {mx2.example.org 20} {mx3.example.org 30}]",
		"bücher.test":      "[{mx1.example.org 10}]",
		"implicit.test":    "[{implicit.test 0}]",
		"nullandmore.test": "[{mx1.example.org 10}]",
		"[192.0.2.7]":      "[{[192.0.2.7] 0}]",
		"null.test":        "null MX 556 5.1.10",
		"nowhere.test":     "no domain 550 5.1.2",
		"dangling.test":    "no domain 550 5.1.2",
		"empty.test":       "no address 550 5.4.4",
		"sick.test":        "temporary 451 4.4.3",
		"refused.test":     "temporary 451 4.4.3",
		"loop1.test":       "temporary 451 4.4.3",
		"a..b":             "no domain 550 5.1.2",
		"":                 "no domain 550 5.1.2",
	} {
		mxs, err := r.LookupMX(context.Background(), domain)
		for i := range mxs {
			mxs[i].TTL = 0
		}
		got := strings.ReplaceAll(fmt.Sprint(mxs), " 0s}", "}")
		if err != nil {
			got = word(err)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", domain, got, want)
		}
	}
}

// A set of mail exchangers is good for as long as the cache has it.
func TestLookupMXTellsItsTime(t *testing.T) {
	d := testkit.NewDNS(t, "x.test. 600 MX 5 a.test.\nx.test. 300 MX 10 b.test.\n")
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	for range 2 { // from the server, and from the cache
		mxs, err := r.LookupMX(context.Background(), "x.test")
		if err != nil || len(mxs) != 2 || mxs[0].TTL > 5*time.Minute || mxs[1].TTL < time.Minute {
			t.Errorf("%v %v", mxs, err)
		}
	}
}

func TestLookupIP(t *testing.T) {
	d := testkit.NewDNS(t, zone+chain("short", 12)+chain("long", 40))
	d.SetFault("sick.test", testkit.DNSFault{Rcode: dns.RcodeServerFailure})
	d.SetFault("big.test", testkit.DNSFault{Truncate: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	for host, want := range map[string]string{
		"mx1.example.org":    "[192.0.2.1 192.0.2.2 2001:db8::1]",
		"implicit.test.":     "[2001:db8::25]",
		"[192.0.2.7]":        "[192.0.2.7]",
		"[IPv6:2001:db8::7]": "[2001:db8::7]",
		"192.0.2.8":          "[192.0.2.8]",
		"2001:db8::8":        "[2001:db8::8]",
		"localhost":          "[127.0.0.1 ::1]",
		"short0.test":        "[192.0.2.99]",
		"long0.test":         "temporary 451 4.4.3",
		"nowhere.test":       "no domain 550 5.4.4",
		"noaddress.test":     "no address 550 5.4.4",
		"sick.test":          "temporary 451 4.4.3",
	} {
		ips, err := r.LookupIP(context.Background(), host)
		got := fmt.Sprint(ips)
		if err != nil {
			got = word(err)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", host, got, want)
		}
	}
}

func TestEqualPreferenceIsShuffled(t *testing.T) {
	d := testkit.NewDNS(t, "x.test. MX 5 a.test.\nx.test. MX 5 b.test.\nx.test. MX 1 first.test.\n")
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	seen := map[string]bool{}
	for range 200 { // all alike by chance: once in 2^199
		mxs, err := r.LookupMX(context.Background(), "x.test")
		if err != nil || mxs[0].Host != "first.test" {
			t.Fatalf("%v %v", mxs, err)
		}
		seen[mxs[1].Host] = true
	}
	if len(seen) != 2 {
		t.Errorf("only %v came second", seen)
	}
}

func TestTruncatedAnswerIsAskedForOverTCP(t *testing.T) {
	var b strings.Builder
	for i := range 200 {
		fmt.Fprintf(&b, "big.test. A 192.0.2.%d\n", i)
	}
	d := testkit.NewDNS(t, b.String())
	d.SetFault("big.test", testkit.DNSFault{Truncate: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	ips, err := r.LookupIP(context.Background(), "big.test")
	if err != nil || len(ips) != 200 || d.Queries("tcp", "big.test", dns.TypeA) != 1 {
		t.Errorf("%d addresses, %v, %d questions over TCP", len(ips), err, d.Queries("tcp", "big.test", dns.TypeA))
	}
}

// An answer counts only when its id and its question are ours.
func TestForeignAnswersAreIgnored(t *testing.T) {
	d := testkit.NewDNS(t, zone)
	d.SetFault("mx1.example.org", testkit.DNSFault{Spoof: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}})
	ips, err := r.LookupIP(context.Background(), "mx1.example.org")
	if got := fmt.Sprint(ips); err != nil || got != "[192.0.2.1 192.0.2.2 2001:db8::1]" {
		t.Error(got, err)
	}
}

func TestNextServerIsAsked(t *testing.T) {
	silent, sick, good := testkit.NewDNS(t, zone), testkit.NewDNS(t, zone), testkit.NewDNS(t, zone)
	silent.SetFault("example.org", testkit.DNSFault{Silent: true})
	sick.SetFault("example.org", testkit.DNSFault{Rcode: dns.RcodeServerFailure})
	gone := testkit.FreeAddr(t)
	r := newResolver(t, resolver.Options{
		Servers: []string{gone, silent.Addr(), sick.Addr(), good.Addr()}, Timeout: 300 * time.Millisecond,
	})
	mxs, err := r.LookupMX(context.Background(), "example.org")
	if err != nil || len(mxs) != 3 || sick.Queries("udp", "example.org", dns.TypeMX) == 0 {
		t.Errorf("%v %v", mxs, err)
	}
}

func TestLookupEndsWithItsContext(t *testing.T) {
	d := testkit.NewDNS(t, zone)
	d.SetFault("example.org", testkit.DNSFault{Silent: true})
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	asked, ended := d.Changed(), make(chan error)
	go func() {
		_, err := r.LookupMX(ctx, "example.org")
		ended <- err
	}()
	<-asked
	cancel()
	if err := <-ended; word(err) != "temporary 451 4.4.3" || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAnswersAreKeptForTheirTTL(t *testing.T) {
	d := testkit.NewDNS(t, "x.test. 60 MX 1 a.test.\nzero.test. 0 MX 1 a.test.\n")
	clock := testkit.NewClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	r := newResolver(t, resolver.Options{Servers: []string{d.Addr()}, Clock: clock})
	ask := func(name string, want int) {
		t.Helper()
		r.LookupMX(context.Background(), name)
		if got := d.Queries("udp", name, dns.TypeMX); got != want {
			t.Errorf("%s: asked %d times, want %d", name, got, want)
		}
	}
	ask("x.test", 1)
	clock.Advance(59 * time.Second)
	ask("x.test", 1)
	clock.Advance(time.Second)
	ask("x.test", 2)
	ask("zero.test", 1)
	ask("zero.test", 2)
	ask("nowhere.test", 1)
	ask("nowhere.test", 2) // no SOA says how long that holds
}

func TestSystemFiles(t *testing.T) {
	dir := t.TempDir()
	conf, hosts := filepath.Join(dir, "resolv.conf"), filepath.Join(dir, "hosts")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(conf, "nameserver 192.0.2.53\n")
	write(hosts, "192.0.2.5 Sink sink.lan # here\n2001:db8::5 sink\nbad line\n")
	r := newResolver(t, resolver.Options{ResolvConf: conf, HostsFile: hosts})
	ips, err := r.LookupIP(context.Background(), "sink")
	if got := fmt.Sprint(ips); err != nil || got != "[192.0.2.5 2001:db8::5]" {
		t.Error(got, err)
	}
	if _, err := resolver.New(resolver.Options{ResolvConf: conf, HostsFile: dir}); err == nil {
		t.Error("a folder is no hosts file")
	}
	if _, err := resolver.New(resolver.Options{ResolvConf: filepath.Join(dir, "none"), HostsFile: filepath.Join(dir, "none")}); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"nonsense", "1.2.3.4:5:6"} {
		if _, err := resolver.New(resolver.Options{Servers: []string{s}}); err == nil {
			t.Errorf("%s is no server", s)
		}
	}
}
