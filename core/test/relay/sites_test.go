// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// byMX is a configuration in which everything goes to the sink by MX, as a DNS
// fixture has it. route holds arguments of the route, mx of its block mx.
func byMX(names *testkit.DNS, sink *testkit.Sink, route, mx, extra string) string {
	hcl := strings.Replace(base("", ""), `smarthost { hosts = [env("SINK", "")] }`,
		fmt.Sprintf("mx {\n    port          = %d\n    allow_private = true\n    %s\n  }\n  %s", sink.Addr().Port(), mx, route), 1)
	return hcl + fmt.Sprintf("resolver { servers = [%q] }\n", names.Addr()) + extra
}

// hub are three domains: two with the same mail exchangers, which differ in the
// numbers alone, and one beside them; all hosts are the sink.
const hub = `
a.test. 300 MX 10 mx1.hub.test.
a.test. 300 MX 20 mx2.hub.test.
b.test. 300 MX 1 MX1.hub.test.
b.test. 300 MX 2 mx2.hub.test.
c.test. 300 MX 10 mx2.hub.test.
far.test. 300 MX 10 mx.far.test.
mx1.hub.test. 300 A 127.0.0.1
mx2.hub.test. 300 A 127.0.0.1
mx.far.test. 300 A 127.0.0.1
`

func sitesRig(t *testing.T, route, mx, extra string) (*rig, *testkit.DNS) {
	names := testkit.NewDNS(t, hub)
	g := &rig{t: t, sink: testkit.NewSink(t, testkit.SinkOptions{}), clock: relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)), ended: make(chan error, 1)}
	r, err := relay.Open(context.Background(), g.options(byMX(names, g.sink, route, mx, extra), nil))
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	return g, names
}

// transactions are what came to the sink, one line for each.
func (g *rig) transactions() (lines []string) {
	for _, m := range g.sink.Messages() {
		slices.Sort(m.To)
		lines = append(lines, strings.Join(m.To, " "))
	}
	slices.Sort(lines)
	return lines
}

// One message to two domains with the same mail exchangers is one transaction, and
// both are asked of the DNS once.
func TestDomainsOfOneSiteShareATransaction(t *testing.T) {
	g, names := sitesRig(t, "", "", "")
	c := g.dial()
	for _, to := range []string{"x@a.test", "x@b.test"} { // so that both are known
		c.send(250, "s@here.test", hello, to)
		g.idle()
	}
	c.send(250, "s@here.test", hello, "one@a.test", "two@b.test", "three@c.test")
	g.idle()
	want := []string{"<one@a.test> <two@b.test>", "<three@c.test>", "<x@a.test>", "<x@b.test>"}
	if got := g.transactions(); !slices.Equal(got, want) {
		t.Errorf("transactions: %q", got)
	}
	if n := g.sink.Connections(); n != 2 {
		t.Errorf("%d connections for two sites", n)
	}
	for _, domain := range []string{"a.test.", "b.test.", "c.test."} {
		if n := names.Queries("udp", domain, dns.TypeMX); n != 1 {
			t.Errorf("%s was asked for %d times", domain, n)
		}
	}
}

// A provider's rate holds over all its sites, explain names it, and others do not
// wait.
func TestAProviderIsThrottled(t *testing.T) {
	g, _ := sitesRig(t, `rate = "100/1s"`, "", `
provider "hub" {
  mx   = ["*.hub.test"]
  rate = "2/1m"
}
`)
	c := g.dial()
	for i, to := range []string{"x@a.test", "x@c.test", "x@b.test", "x@far.test"} {
		c.send(250, "s@here.test", hello, to)
		if g.idle(); i == 0 {
			if got := g.transactions(); len(got) != 1 {
				t.Fatalf("transactions: %q", got)
			}
		}
	}
	if got := g.transactions(); !slices.Equal(got, []string{"<x@a.test>", "<x@far.test>"}) {
		t.Errorf("transactions: %q", got)
	}
	for _, q := range g.queue() {
		r := q.Recipients[0]
		if r.Now != "throttled" || !strings.HasPrefix(r.Why, "throttled: 2/1m to provider hub; in line: ") ||
			!strings.HasSuffix(r.Why, "next hop "+r.Hop+", until 2030-01-01T09:00:30Z") || r.Hop != "mx "+r.Address.Domain() || r.Attempts != 0 {
			t.Errorf("explain: %+v", r)
		}
	}
	for range 2 {
		g.clock.Advance(30 * time.Second)
		g.idle()
	}
	if n := len(g.transactions()); n != 4 || len(g.queue()) != 0 {
		t.Errorf("%d transactions, %d messages wait", n, len(g.queue()))
	}
}

// Messages leave from the sources of a route in turn, each with its own name; one
// that this machine does not have costs no attempt.
func TestMessagesLeaveFromTheirSources(t *testing.T) {
	g, _ := sitesRig(t, "", "sources = [source.one, source.gone, source.two]", `
source "one" {
  addresses = ["127.0.0.1"]
  hostname  = "one.test"
}
source "gone" { addresses = ["192.0.2.1"] } # of nobody (RFC 5737)
source "two" {
  addresses = ["127.0.0.2"]
  hostname  = "two.test"
}
`)
	c := g.dial()
	for range 6 {
		c.send(250, "s@here.test", hello, "x@a.test")
		g.idle()
	}
	from := map[string]int{}
	for _, m := range g.sink.Messages() {
		from[m.Client+" as "+m.Helo]++
	}
	if len(from) != 2 || from["127.0.0.1 as one.test"] < 2 || from["127.0.0.2 as two.test"] < 2 {
		t.Errorf("messages came from %v", from)
	}
	if n := len(g.queue()); n != 0 {
		t.Errorf("%d messages wait", n)
	}
}

// Without a source that can be used mail waits, explain says why and until when,
// and no attempt counts.
func TestWithoutAHealthySource(t *testing.T) {
	g, _ := sitesRig(t, "", "sources = [source.gone]", `source "gone" { addresses = ["192.0.2.1"] }`)
	g.dial().send(250, "s@here.test", hello, "x@a.test")
	g.idle()
	for range 3 {
		var r mail.QueueRecipient
		for _, q := range g.queue() {
			r = q.Recipients[0]
		}
		until := g.clock.Now().Add(time.Minute)
		if r.Now != "no source" || !strings.HasPrefix(r.Why, "no source: gone: cannot assign requested address; in line: 0 ") || !r.Until.Equal(until) || r.Attempts != 0 {
			t.Errorf("explain: %+v", r)
		}
		g.clock.Advance(time.Minute)
		g.idle()
	}
}
