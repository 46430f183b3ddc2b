// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// lineAt makes a next hop that hangs with n messages, one or two of them
// under way and the others behind.
func lineAt(t *testing.T, n int) *rig {
	r := newRig(t, func(o *Options) { o.HopLeases = 4 })
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Connections: 1})
	r.hosts("slow.example")
	r.net.set("slow.example", "hang")
	for i := range n {
		r.queue.enqueue(r.envelope(fmt.Sprint("m", i), "s@example.net", "x@slow.example"))
	}
	r.waitFor(1)
	r.wait(func() bool {
		return r.holds(func() bool { return r.queue.leased == n }) && r.inLineOrParked()+r.underWay() == n
	})
	return r
}

func (r *rig) inLineOrParked() int {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	n := 0
	for _, h := range r.s.hops {
		n += h.waiting + h.parked.len()
	}
	return n
}

func (r *rig) underWay() (n int) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for w := range r.s.all {
		n += len(w.jobs)
	}
	return n
}

// What an operator changed behind delivery's back is leased anew, and what he
// holds does not go out although it was in line.
func TestRecalledMailIsDecidedAnew(t *testing.T) {
	r := lineAt(t, 9)
	held := []string{"m2", "m7"}
	r.holds(func() bool {
		for _, id := range held {
			r.queue.byID[id].states[0].Held = "by the operator"
		}
		return true
	})
	r.s.Recall(held...)
	r.wait(func() bool { return r.holds(func() bool { return r.queue.leased == 7 }) })
	r.net.set("slow.example", "ok")
	r.idle()
	for i := range 9 {
		id := fmt.Sprint("m", i)
		if got := r.holds(r.done(id)); got == slices.Contains(held, id) {
			t.Errorf("%s is done: %v", id, got)
		}
	}
}

// A suspension takes out of line what it is for, and that alone.
func TestSuspensionReachesTheLine(t *testing.T) {
	r := lineAt(t, 9)
	handed := r.underWay() // the next one may go right behind the first
	r.mu.Lock()
	r.suspensions["slow.example"] = r.start.Add(time.Hour)
	r.mu.Unlock()
	r.s.Reconsider()
	r.wait(func() bool { return r.inLineOrParked() == 0 })
	r.net.set("slow.example", "ok")
	r.idle()
	if n := r.doneOf(9); n != handed {
		t.Errorf("%d messages went out", n)
	}
	r.mu.Lock()
	delete(r.suspensions, "slow.example")
	r.mu.Unlock()
	r.queue.unshelve()
	r.idle()
	if n := r.doneOf(9); n != 9 {
		t.Errorf("%d messages went out after the suspension", n)
	}
}

func (r *rig) doneOf(n int) (done int) {
	for i := range n {
		if r.holds(r.done(fmt.Sprint("m", i))) {
			done++
		}
	}
	return done
}

// Where a leased recipient is, people are told; and who is nowhere is not
// attended to.
func TestExplainLeasedRecipients(t *testing.T) {
	r := lineAt(t, 9)
	places, reasons := map[Place]int{}, ""
	var ids []string
	for i := range 9 {
		m := r.queue.byID[fmt.Sprint("m", i)]
		d := r.s.Explain(m.env, 0, State{Leased: true})
		places[d.Place]++
		reasons += d.Reason + "\n"
		ids = append(ids, m.env.ID)
	}
	handed := r.underWay()
	last := fmt.Sprintf("in line: %s of its campaign before it, %d in all, 1 of 1 connections", amount(8-handed, "recipient"), 9-handed)
	if places[UnderWay] != handed || places[InLine] != 9-handed || !strings.Contains(reasons, last) {
		t.Errorf("%v\n%s", places, reasons)
	}
	if d := r.s.Explain(r.envelope("lost", "", "x@slow.example"), 0, State{Leased: true}); d.Place != Elsewhere || !strings.HasPrefix(d.Reason, "leased: ") {
		t.Errorf("a forgotten recipient is %q", d.Reason)
	}
	if got := r.s.Attended(append(ids, "lost")); len(got) != 9 || got["lost"] {
		t.Errorf("attended: %v", got)
	}
	r.net.set("slow.example", "ok")
	r.idle()
}
