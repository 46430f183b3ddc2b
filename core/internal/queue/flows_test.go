// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unique"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/fair"
)

// entryOf is a message in an index alone, of one recipient who is due at a time.
func entryOf(id string, k fair.Key, due int64) *entry {
	return &entry{id: id, tenant: unique.Make(k.Tenant), campaign: unique.Make(k.Campaign), priority: k.Priority,
		slots: []slot{{next: due}}, dueAt: never, at: -1}
}

// TestFlowsAndModel does random things with flows and compares what is handed
// out with a loop over all messages.
func TestFlowsAndModel(t *testing.T) {
	for seed := range uint64(12) {
		m := &flowsModel{rng: rand.New(rand.NewPCG(seed, 7)), x: newIndex(0)}
		for step := range 1500 {
			if fault := m.step(); fault != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, fault)
			}
		}
	}
}

type flowsModel struct {
	rng    *rand.Rand
	x      index
	all    []*entry
	now    int64
	serial int
}

func (m *flowsModel) step() string {
	switch n := m.rng.IntN(12); {
	case n < 3:
		m.serial++
		k := fair.Key{Priority: int8(m.rng.IntN(3)), Tenant: fmt.Sprint(m.rng.IntN(4)), Campaign: fmt.Sprint(m.rng.IntN(3))}
		e := entryOf(serial(int64(m.serial)), k, m.now+m.rng.Int64N(60)-30)
		m.all = append(m.all, e)
		m.x.put(e)
	case n < 4:
		m.now += m.rng.Int64N(20) - 2 // a clock may be set back
	case len(m.all) == 0:
	case n < 6:
		e := m.any()
		m.x.update(e, func() { e.slots[0].next = m.now + m.rng.Int64N(60) - 30; e.slots[0].flags = 0 })
	case n < 7:
		e := m.any()
		m.x.update(e, func() { e.seized = !e.seized })
	case n < 8:
		i := m.rng.IntN(len(m.all))
		m.x.drop(m.all[i])
		m.all = append(m.all[:i], m.all[i+1:]...)
	default:
		return m.take()
	}
	return m.check()
}

func (m *flowsModel) any() *entry { return m.all[m.rng.IntN(len(m.all))] }

// take leases the message whose turn it is: of its flow, the first that is due.
func (m *flowsModel) take() string {
	e := m.x.due.next(m.now)
	first := m.first(func(o *entry) bool { return e == nil || o.flow == e.flow })
	switch {
	case e == nil && (first == nil || first.nextDue() > m.now):
		return ""
	case e != first:
		return fmt.Sprintf("%+v is handed out, %+v is first of its flow", e, first)
	case e.nextDue() > m.now:
		return fmt.Sprintf("%s is handed out before it is due", e.id)
	}
	m.x.due.charge(e, len(e.lease(m.now)))
	m.x.arm(e)
	return ""
}

// first returns the message that waits for the earliest time among some.
func (m *flowsModel) first(among func(*entry) bool) (first *entry) {
	for _, e := range m.all {
		due := e.nextDue()
		if due != never && among(e) && (first == nil || due < first.nextDue() || due == first.nextDue() && e.id < first.id) {
			first = e
		}
	}
	return first
}

// check compares what is told of the whole, and that nothing is kept for nobody.
func (m *flowsModel) check() string {
	got, want := m.x.due.oldest(), m.first(func(*entry) bool { return true })
	keys := map[fair.Key]bool{}
	for _, e := range m.all {
		keys[e.flow.turn.Key] = true
	}
	switch {
	case got == nil != (want == nil) || got != nil && got.dueAt != want.nextDue():
		return fmt.Sprintf("the oldest is %+v, want %+v", got, want)
	case len(keys) != len(m.x.due.byKey):
		return fmt.Sprintf("%d flows for %d keys", len(m.x.due.byKey), len(keys))
	}
	return ""
}

// TestAHugeTenantDelaysNobody: with 500,000 messages of one tenant due, another
// one's ten wait for one turn each.
func TestAHugeTenantDelaysNobody(t *testing.T) {
	x := newIndex(0)
	for n := range 500_000 {
		x.put(entryOf(serial(int64(n)), fair.Key{Tenant: "huge", Campaign: fmt.Sprint(n % 3)}, int64(n)))
	}
	next := func() *entry {
		e := x.due.next(1_000_000)
		x.due.charge(e, len(e.lease(1_000_000)))
		x.arm(e)
		return e
	}
	for range 1000 {
		next()
	}
	for n := range 10 {
		x.put(entryOf(serial(int64(600_000+n)), fair.Key{Tenant: "small"}, 700_000))
	}
	for n := range 10 {
		if a, b := next(), next(); a.tenant == b.tenant {
			t.Fatalf("turn %d: %q goes twice", n, a.tenant.Value())
		}
	}
}

// TestAListIsLeasedInParts: a message with more than maxTurn recipients does not
// go before others whole, and nothing of it is lost.
func TestAListIsLeasedInParts(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	to := make([]string, 2*maxTurn+5)
	for i := range to {
		to[i] = fmt.Sprintf("u%d@x.example", i)
	}
	list, small := message(ident("list"), 10, to...), message(ident("small"), 10, "x@one.example")
	list.Envelope.Tenant = "lists"
	r.enqueue(list)
	leases := r.queue.Due(r.clock.Now(), 256)
	r.enqueue(small)
	var got []string
	seen := map[int]bool{}
	for _, l := range append(leases, r.queue.Due(r.clock.Now(), 1<<20)...) {
		got = append(got, fmt.Sprint(l.Message.ID() == list.Envelope.ID, len(l.Recipients)))
		for _, i := range l.Recipients {
			seen[i] = true
		}
	}
	if want := "[true 1000 false 1 true 1000 true 5]"; fmt.Sprint(got) != want || len(seen) != len(to) {
		t.Errorf("leases %v, want %v; %d recipients", got, want, len(seen))
	}
}

// BenchmarkTurns hands out a message and puts it off, with as many flows asleep.
func BenchmarkTurns(b *testing.B) {
	for _, asleep := range []int{0, 1000, 1_000_000} {
		b.Run(fmt.Sprint("asleep=", asleep), func(b *testing.B) {
			x := newIndex(0)
			for n := range asleep {
				x.put(entryOf(serial(int64(n)), fair.Key{Tenant: fmt.Sprint(n)}, 1<<40))
			}
			for n := range 100 {
				x.put(entryOf(serial(int64(n)), fair.Key{Tenant: fmt.Sprint("awake", n%10)}, 0))
			}
			b.ReportAllocs()
			b.ResetTimer()
			for n := range b.N {
				e := x.due.next(int64(n))
				x.due.charge(e, 1)
				x.update(e, func() { e.slots[0].next = int64(n) })
			}
		})
	}
}
