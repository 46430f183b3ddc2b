// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// Whatever comes when, no stretch of time has more than its rate and a second's
// worth; and what is asked for all the time gets its rate.
func TestBudgetKeepsTheRate(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	for _, r := range []Rate{{1, time.Hour}, {100, time.Minute}, {7, time.Second}, {100000, time.Second}, {1000, time.Hour}, {3, 1}} {
		rnd, b, now := rand.New(rand.NewPCG(1, 2)), &budget{}, start
		var sent []time.Time
		for range 3000 {
			now = now.Add(time.Duration(rnd.Int64N(int64(r.each()))))
			free := b.room(now, r)
			if took := b.take(now, r); took {
				sent = append(sent, now)
			} else if free > 0 {
				t.Fatalf("%v: room for %d, and none is taken", r, free)
			}
		}
		allowed := 1 + int(now.Sub(start)/r.each()) + int(r.slack()/r.each())
		if len(sent) > allowed || len(sent) < min(allowed/3, 3000) {
			t.Errorf("%v: %d messages in %v, %d allowed", r, len(sent), now.Sub(start), allowed)
		}
	}
}

func TestRateInWords(t *testing.T) {
	for want, r := range map[string]Rate{"600/1m": {600, time.Minute}, "1/2h": {1, 2 * time.Hour}, "5/1.5s": {5, 1500 * time.Millisecond}} {
		if r.String() != want {
			t.Errorf("%v, want %s", r, want)
		}
	}
}

// Many lines under one rate get their turns one after the other, and no line
// is asked to connect before there is room.
func TestLinesTakeTurnsAtARate(t *testing.T) {
	r := newRig(t, nil)
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("h%02d.big.example", i))
	}
	r.hosts(names...)
	r.setProvider(&Provider{Name: "big", Rate: Rate{1, time.Minute}}, []string{".big.example"})
	for i := range 60 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", "x@"+names[i%20]))
	}
	r.idle()
	r.advance(19 * time.Minute)
	if got := r.doneOf(60); got != 20 {
		t.Errorf("%d messages after 19 minutes at one a minute", got)
	}
	if r.net.dials > 25 {
		t.Errorf("%d connections for 20 messages", r.net.dials)
	}
	r.advance(20 * time.Minute)
	for i, n := range names {
		if !r.saw(n + " gets") {
			t.Errorf("line %d had no turn", i)
		}
	}
	r.advance(20 * time.Minute)
	if got := r.doneOf(60); got != 60 {
		t.Errorf("%d messages", got)
	}
}

// The sites of a provider share its connections; one with a long line lets go of
// its connection for the others.
func TestSitesShareTheConnectionsOfAProvider(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("busy.big.example", "other.big.example", "small.example")
	r.setProvider(&Provider{Name: "big", Connections: 1}, []string{".big.example"})
	r.net.set("busy.big.example", "hang")
	for i := range 200 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("busy%d", i), "s@example.net", "x@busy.big.example"))
	}
	r.waitFor(1)
	r.queue.enqueue(r.envelope("other", "s@example.net", "x@other.big.example"))
	var d Decision
	r.wait(func() bool {
		d = r.s.Explain(r.queue.byID["other"].env, 0, State{Leased: true})
		return d.Action == Limit
	})
	if d.Reason != "limited: 1 of 1 connections to provider big are in use; in line: 0 recipients of its campaign before it, 1 in all, 0 of 1 connections; site of MX other.big.example of provider big" {
		t.Errorf("%s: %s", d.Action, d.Reason)
	}
	if got := r.s.Attended([]string{"other"}); !got["other"] {
		t.Error("what waits for a connection is not attended to")
	}
	r.queue.enqueue(r.envelope("small", "s@example.net", "x@small.example"))
	r.settledWhen(r.done("small"))
	r.net.set("busy.big.example", "ok")
	r.settledWhen(r.done("other"))
	r.idle()
	r.mu.Lock()
	defer r.mu.Unlock()
	at, n := 0, 0
	for _, l := range r.lines {
		var id string
		if k, _ := fmt.Sscanf(l, "busy.big.example gets %s", &id); k == 1 {
			n++
		}
		if l == "other.big.example gets other [0]" {
			at = n
		}
	}
	if n != 200 || at == 0 || at > 2*turnLength {
		t.Errorf("the other site had its turn after %d of %d", at, n)
	}
	if r.net.dials > 6 {
		t.Errorf("%d connections", r.net.dials)
	}
}

// What is known of a next hop goes when it can make no difference any more, and
// not before.
func TestBudgetsAreForgotten(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("example.org")
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Rate: Rate{1, 10 * time.Minute}})
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.idle()
	budgets := func() int {
		r.s.mu.Lock()
		defer r.s.mu.Unlock()
		return len(r.s.budgets)
	}
	r.advance(5 * time.Minute)
	if budgets() == 0 {
		t.Error("forgotten before the rate is paid for")
	}
	r.advance(7 * time.Minute)
	if n := budgets(); n != 0 {
		t.Errorf("%d budgets of next hops that are gone", n)
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if len(r.s.hops) != 0 || len(r.s.sites.byID) != 0 {
		t.Errorf("%d next hops, %d sites", len(r.s.hops), len(r.s.sites.byID))
	}
}

// Lines that wait for their rate, however many and however long, leave room in
// memory for those that move; and each gets its turn.
func TestThrottledLinesHoldUpNobody(t *testing.T) {
	addr := netip.MustParseAddr("198.51.100.1")
	for name, route := range map[string]*Route{
		"source":   {Name: "internet", Kind: ViaMX, Sources: []*Source{{Name: "a", Addresses: []netip.Addr{addr}}}},
		"provider": {Name: "internet", Kind: ViaMX},
		"route":    {Name: "internet", Kind: ViaMX, Rate: Rate{1, time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(o *Options) { o.Leases = 200 })
			r.setRoute(route)
			r.setRoute(&Route{Name: "fast", Kind: ViaMX})
			r.rules["fast.example"] = "fast"
			if name == "provider" {
				r.setProvider(&Provider{Name: "big", Rate: Rate{1, time.Minute}}, []string{".big.example"})
			}
			r.breaks(addr, true)
			const sites = 500
			r.hosts("fast.example")
			for i := range sites {
				r.hosts(fmt.Sprintf("h%d.big.example", i))
			}
			for i := range 3 * sites {
				r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", fmt.Sprintf("x@h%d.big.example", i%sites)))
			}
			r.idle()
			for i := range 20 {
				id := fmt.Sprintf("fast%d", i)
				r.queue.enqueue(r.envelope(id, "s@example.net", "x@fast.example"))
				r.settledWhen(r.done(id))
			}
			r.s.mu.Lock()
			if r.s.held > 100 {
				t.Errorf("%d recipients are in memory", r.s.held)
			}
			r.s.mu.Unlock()
			r.breaks(addr, false)
			before := r.doneOf(3 * sites)
			r.advance(30 * time.Minute)
			got := r.doneOf(3*sites) - before
			if name == "provider" && (got < 25 || got > 31) || name != "provider" && got+before != 3*sites {
				t.Errorf("%d messages in 30 minutes, after %d", got, before)
			}
		})
	}
}

// A reload that takes a provider's limit away while its connections are busy: who
// waits for the route's own limit goes on when one of them ends.
func TestReloadOfAProvidersConnections(t *testing.T) {
	r := newRig(t, nil)
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Connections: 1})
	r.hosts("mx.big.example")
	r.setProvider(&Provider{Name: "big", Connections: 1}, []string{".big.example"})
	r.net.set("mx.big.example", "hang")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@mx.big.example"))
	r.waitFor(1)
	r.setProvider(&Provider{Name: "big", Rate: Rate{100, time.Second}}, []string{".big.example"})
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Connections: 1})
	r.s.Reload()
	r.queue.enqueue(r.envelope("m2", "s@example.net", "x@mx.big.example"))
	r.wait(func() bool {
		d := r.s.Explain(r.queue.byID["m2"].env, 0, State{Leased: true})
		return d.Action == Limit
	})
	r.net.set("mx.big.example", "ok")
	r.idle()
	if got := r.holds(r.done("m2")); !got {
		t.Error("m2 waits for nobody")
	}
}

// A rate that a reload makes faster is faster at once: what the slower one has
// used up does not count on.
func TestFasterRateAfterReloadIsFasterAtOnce(t *testing.T) {
	for name, set := range map[string]func(r *rig, rate Rate){
		"route": func(r *rig, rate Rate) { r.setRoute(&Route{Name: "internet", Kind: ViaMX, Rate: rate}) },
		"provider": func(r *rig, rate Rate) {
			r.setProvider(&Provider{Name: "big", Rate: rate}, []string{".big.example"})
			r.setRoute(&Route{Name: "internet", Kind: ViaMX})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.hosts("a.big.example", "b.big.example")
			set(r, Rate{1, 24 * time.Hour})
			for i := range 10 {
				r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", "x@"+[]string{"a", "b"}[i%2]+".big.example"))
			}
			r.idle()
			set(r, Rate{1, time.Second})
			r.s.Reload()
			r.idle()
			r.advance(20 * time.Second)
			if got := r.doneOf(10); got != 10 {
				t.Errorf("%d of 10 messages 20 s after one a day became one a second", got)
			}
		})
	}
}

// A host that does not answer keeps no connection of its provider from other sites
// than the one that it has.
func TestDeadHostOfAProviderKeepsNoConnectionFree(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("dead.big.example", "busy.big.example", "other.big.example")
	r.setProvider(&Provider{Name: "big", Connections: 2}, []string{".big.example"})
	r.net.set("dead.big.example", "hangdial")
	r.net.set("busy.big.example", "hang")
	r.queue.enqueue(r.envelope("dead1", "s@example.net", "x@dead.big.example"))
	r.queue.enqueue(r.envelope("busy", "s@example.net", "x@busy.big.example"))
	r.waitFor(2)
	r.queue.enqueue(r.envelope("dead2", "s@example.net", "x@dead.big.example"))
	r.inLine("dead2")
	r.queue.enqueue(r.envelope("other", "s@example.net", "x@other.big.example"))
	r.inLine("other")
	r.net.set("busy.big.example", "ok")
	r.settledWhen(r.done("other"))
	r.net.set("dead.big.example", "ok")
}

// Mail that waits for connections that a reload counts otherwise goes on when they
// are free.
func TestMailGoesOnAfterReloadOfConnections(t *testing.T) {
	for name, was := range map[string][2]int{"own to shared": {0, 1}, "shared to own": {2, 0}} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, nil)
			r.hosts("a.big.example")
			set := func(n int) {
				r.setProvider(&Provider{Name: "big", Connections: n}, []string{".big.example"})
				r.setRoute(&Route{Name: "internet", Kind: ViaMX, Connections: 1})
			}
			set(was[0])
			r.net.set("a.big.example", "hang")
			r.queue.enqueue(r.envelope("m1", "s@example.net", "x@a.big.example"))
			r.waitFor(1)
			set(was[1])
			r.s.Reload()
			r.queue.enqueue(r.envelope("m2", "s@example.net", "x@a.big.example"))
			r.inLine("m2")
			r.net.set("a.big.example", "ok")
			r.settledWhen(r.done("m1"))
			r.settledWhen(r.done("m2"))
		})
	}
}

// Lines that waited for a rate are not counted any more once a reload has taken it
// away, though the clock has not called yet: lines that still wait have their room.
func TestLinesOfARateThatIsGoneTakeNoRoom(t *testing.T) {
	r := newRig(t, nil)
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Rate: Rate{1, 24 * time.Hour}})
	for i := range 20 {
		host := fmt.Sprintf("h%d.example", i/2)
		r.hosts(host)
		r.queue.enqueue(r.envelope(fmt.Sprint("m", i), "s@example.net", "x@"+host))
	}
	r.idle()
	r.setRoute(&Route{Name: "internet", Kind: ViaMX})
	r.s.Reload()
	r.idle()
	r.advance(time.Minute)
	if got := r.doneOf(20); got != 20 {
		t.Errorf("%d of 20 messages", got)
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.dozing != 0 {
		t.Errorf("%d lines wait for the clock", r.s.dozing)
	}
}
