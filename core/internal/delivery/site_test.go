// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestSiteOf(t *testing.T) {
	for _, tt := range []struct {
		a, b []MX
		same bool
	}{
		{[]MX{{Host: "a"}, {Host: "b", Pref: 1}}, []MX{{Host: "b", Pref: 1}, {Host: "a"}}, true},
		{[]MX{{Host: "A."}, {Host: "b", Pref: 1}}, []MX{{Host: "a", Pref: 10}, {Host: "b", Pref: 20}}, true},
		{[]MX{{Host: "a"}, {Host: "a"}}, []MX{{Host: "a", Pref: 7}}, true},
		{[]MX{{Host: "a"}, {Host: "b", Pref: 1}}, []MX{{Host: "a"}, {Host: "b"}}, false},
		{[]MX{{Host: "a"}, {Host: "b", Pref: 1}}, []MX{{Host: "a", Pref: 1}, {Host: "b"}}, false},
		{[]MX{{Host: "a"}}, []MX{{Host: "a"}, {Host: "b"}}, false},
		{[]MX{{Host: "[192.0.2.1]"}}, []MX{{Host: "192.0.2.1"}}, false},
	} {
		if got := siteOf(tt.a).id == siteOf(tt.b).id; got != tt.same {
			t.Errorf("%v and %v are one site: %t", tt.a, tt.b, got)
		}
	}
	many := siteOf([]MX{{Host: "c"}, {Host: "a"}, {Host: "e"}, {Host: "b"}, {Host: "d"}})
	if got := many.String(); got != "site of MX a, b, c, 2 more" {
		t.Error(got)
	}
}

// The order of trial keeps to the preferences, and is not always the same.
func TestSiteOrder(t *testing.T) {
	st, seen := siteOf([]MX{{Host: "a", Pref: 5}, {Host: "b", Pref: 5}, {Host: "z", Pref: 1}}), map[string]bool{}
	for range 200 { // all alike by chance: once in 2^199
		mxs := st.order()
		if mxs[0].Host != "z" {
			t.Fatal(mxs)
		}
		seen[mxs[1].Host] = true
	}
	if len(seen) != 2 {
		t.Errorf("seen: %v", seen)
	}
}

// What is known of domains is bounded, and forgotten when nobody needs it.
func TestSitesAreForgotten(t *testing.T) {
	var table sites
	table.init()
	now := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	for i := range maxSites + 100 {
		table.note(now, fmt.Sprint(i, ".example"), siteOf([]MX{{Host: fmt.Sprint("mx", i%7)}}), 0)
	}
	if len(table.domains) > maxSites || len(table.byID) != 7 {
		t.Errorf("%d domains, %d sites", len(table.domains), len(table.byID))
	}
	kept := table.byID[siteOf([]MX{{Host: "mx3"}}).id]
	table.sweep(now.Add(leastSite), map[*site]bool{kept: true})
	if len(table.domains) != 0 || len(table.byID) != 1 {
		t.Errorf("%d domains, %d sites", len(table.domains), len(table.byID))
	}
}

// hangLookup has look-ups of domains hang until the function is called.
func (r *rig) hangLookup(domains ...string) (release func()) {
	gate := make(chan struct{})
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	for _, d := range domains {
		r.net.mxGate[d] = gate
	}
	return func() {
		r.net.mu.Lock()
		defer r.net.mu.Unlock()
		for _, d := range domains {
			delete(r.net.mxGate, d)
		}
		close(gate)
	}
}

// share gives domains the same mail exchanger.
func (r *rig) share(host string, domains ...string) {
	r.hosts(host)
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	for _, d := range domains {
		r.net.mx[d] = []MX{{Host: host, Pref: 10, TTL: time.Hour}}
	}
}

// One message to two domains with the same mail exchanger goes in one
// transaction, though neither had been looked up before.
func TestTwoDomainsShareATransaction(t *testing.T) {
	r := newRig(t, nil)
	r.share("mx.hub.example", "a.example", "b.example")
	r.net.set("mx.hub.example", "hangdial")
	release := r.hangLookup("b.example")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@a.example", "x@b.example", "y@a.example"))
	r.waitFor(2)
	release()
	r.wait(func() bool { return r.inLineOrParked() == 3 && len(r.lined()) == 1 })
	r.net.set("mx.hub.example", "refuse")
	r.wait(func() bool { return r.saw("m1/2 deferred") })
	r.net.set("mx.hub.example", "ok")
	r.advance(61 * time.Second)
	if !r.saw("mx.hub.example gets m1 [0 1 2]") {
		t.Error(r.events())
	}
}

// A name server that does not answer for one domain holds up no other, and what
// waits for it stays bounded: one look-up, the messages beyond the line set back.
func TestSlowLookupHoldsUpNobody(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Leases, o.HopLeases = 400, 100 })
	r.hosts("slow.example", "fast.example")
	release := r.hangLookup("slow.example")
	r.overtaken()
	if n := r.net.lookups; n > 2 {
		t.Errorf("%d look-ups", n)
	}
	d := r.s.Explain(r.queue.byID["slow0"].env, 0, State{Leased: true})
	if d.Place != InLine || d.Action != Resolve || d.Hop != "mx slow.example" || !strings.Contains(d.Reason, "the mail exchangers of slow.example are being looked up") {
		t.Errorf("Explain: %+v", d)
	}
	if got := r.s.Attended([]string{"slow0"}); !got["slow0"] {
		t.Error("what waits for a look-up is not attended to")
	}
	release()
	r.idle()
	for i := range 3000 {
		if !r.holds(r.done(fmt.Sprintf("slow%d", i))) {
			t.Fatalf("slow%d is not delivered", i)
		}
	}
}

// A slow site does not hold up the others, and its domains are named.
func TestSlowSiteBesideFastOnes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.HopLeases = 10 })
	r.share("mx.slow.example", "a.example", "b.example")
	r.hosts("fast.example")
	r.net.set("mx.slow.example", "hang")
	for i := range 40 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("slow%d", i), "s@example.net", "x@a.example", "x@b.example"))
	}
	r.waitFor(DefaultConnections)
	for i := range 20 {
		id := fmt.Sprintf("fast%d", i)
		r.queue.enqueue(r.envelope(id, "s@example.net", "x@fast.example"))
		r.settledWhen(r.done(id))
	}
	if n := r.net.most["mx.slow.example"]; n > DefaultConnections {
		t.Errorf("%d connections to one site", n)
	}
	r.wait(func() bool { // both domains have been looked up
		d := r.s.Explain(r.queue.byID["slow39"].env, 1, State{})
		return d.Action == Try && d.Hop == "mx b.example" && strings.HasSuffix(d.Reason, "; site of MX mx.slow.example, with domains a.example, b.example")
	})
	r.net.set("mx.slow.example", "ok")
	r.idle()
}

// buggy panics once.
type buggy struct {
	Resolver
	once sync.Once
}

func (b *buggy) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	b.once.Do(func() { panic("scripted") })
	return b.Resolver.LookupMX(ctx, domain)
}

// A bug in a resolver costs an attempt and no mail.
func TestPanicWhileLookingUp(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Resolver = &buggy{Resolver: o.Resolver} })
	r.hosts("example.org")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.idle()
	if st := r.queue.byID["m1"].State(0); st.Attempts != 1 || st.Last.Reply.Code != 451 {
		t.Errorf("state: %+v", st)
	}
	r.advance(61 * time.Second)
	if !r.holds(r.done("m1")) {
		t.Error("not delivered")
	}
}

// A stop waits for no look-up.
func TestLookupThatNeverEnds(t *testing.T) {
	r := newRig(t, nil)
	r.hangLookup("never.example")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@never.example"))
	r.waitFor(1)
	// rig.end looks whether the lease was given back
}
