// SPDX-License-Identifier: Apache-2.0

// Package fair says whose turn it is: the queue asks which mail to hand out
// next, delivery which mail to send next.
//
// A [Line] has flows, each the mail of one tenant's campaign at one priority.
// The highest priority goes first; within a priority tenants take turns, and
// within a tenant its campaigns. A turn costs what it was worth, in recipients:
// who has had the fewest goes first, so that after a list of a thousand the
// others get a thousand between them before the next list does.
//
// How it works: everybody who takes turns has a mark, how far he has come, and
// the lowest mark is next. A newcomer begins at the floor, just behind the turn
// that began last: he neither waits for those who have had much to be made up
// for, nor makes up for the time when he wanted nothing. The floor rises with
// each newcomer's turn, so that newcomers without end cannot keep an old one
// waiting. A tenant whose mail runs out ahead of the floor is remembered until
// the floor gets there, for he may be back with the next message in a moment.
//
// Lower priorities are not starved: of each [Share] recipients one is theirs
// while higher ones have mail without end, and the lower ones share it by turns.
//
// All costs O(log n) of the flows that are awake, and nothing of those asleep.
package fair

import (
	"container/heap"
	"slices"
)

// Share is how few recipients go to lower priorities while a higher one has mail:
// one in so many.
const Share = 10

// Key names a flow.
type Key struct {
	Priority         int8 // higher goes first
	Tenant, Campaign string
}

// Flow is a flow as its Line sees it. It is asleep until Wake; the zero value
// with Key and Value is ready. A Flow is in one Line at a time.
type Flow[T any] struct {
	Key   Key
	Value T

	tenant *tenant[T] // nil: asleep
	turn   turn
}

func (f *Flow[T]) seat() *turn { return &f.turn }

// Awake reports whether f takes turns.
func (f *Flow[T]) Awake() bool { return f.tenant != nil }

// Line is the flows that take turns. The zero value has none. It is not safe for
// concurrent use.
type Line[T any] struct {
	lanes  []*lane[T] // by priority, the highest first; none without flows
	owed   int        // recipients that higher priorities had for which lower ones have not had their share
	served uint64     // turns of lower priorities
	spare  *lane[T]   // to be used again: a Line is often empty between two flows
}

// lane is the flows of one priority.
type lane[T any] struct {
	priority int8
	tenants  ring[*tenant[T]]
	byName   map[string]*tenant[T]
	awake    int // flows
	spare    *tenant[T]
	served   uint64 // when it last had a turn as a lower priority
}

// tenant is one tenant's flows of one priority. Without flows it is kept for
// what it is ahead of the floor.
type tenant[T any] struct {
	name  string
	lane  *lane[T]
	flows ring[*Flow[T]]
	turn  turn
}

func (t *tenant[T]) seat() *turn { return &t.turn }

// Wake has f take turns.
func (l *Line[T]) Wake(f *Flow[T]) {
	if f.Awake() {
		return
	}
	f.tenant = l.lane(f.Key.Priority).tenant(f.Key.Tenant)
	f.tenant.flows.join(f)
	f.tenant.lane.awake++
}

// Sleep has f take no turns any more.
func (l *Line[T]) Sleep(f *Flow[T]) {
	t := f.tenant
	if t == nil {
		return
	}
	t.flows.leave(f)
	f.tenant, f.turn = nil, turn{}
	if t.flows.Len() == 0 && t.turn.mark <= t.lane.tenants.floor {
		t.lane.forget(t)
	}
	if t.lane.awake--; t.lane.awake == 0 {
		l.lanes = slices.DeleteFunc(l.lanes, func(x *lane[T]) bool { return x == t.lane })
		t.lane.empty()
		l.spare = t.lane
	}
}

// Next returns the flow whose turn it is, nil when all are asleep. The turn is
// taken when it is charged.
func (l *Line[T]) Next() *Flow[T] {
	if len(l.lanes) == 0 {
		return nil
	}
	return l.nextLane().first().flows.first()
}

// nextLane returns the highest priority, or a lower one that is owed its share:
// the one that has waited for the longest.
func (l *Line[T]) nextLane() *lane[T] {
	if len(l.lanes) == 1 || l.owed < Share-1 {
		return l.lanes[0]
	}
	return slices.MinFunc(l.lanes[1:], func(a, b *lane[T]) int { return int(int64(a.served - b.served)) })
}

// Charge takes a turn of f, which is awake, for a number of recipients.
func (l *Line[T]) Charge(f *Flow[T], recipients int) {
	t := f.tenant
	switch {
	case len(l.lanes) == 1:
		l.owed = 0
	case t.lane == l.lanes[0]:
		l.owed += recipients
	default:
		l.owed -= recipients * (Share - 1)
		l.served++
		t.lane.served = l.served
	}
	t.flows.charge(f, recipients)
	t.lane.tenants.charge(t, recipients)
}

func (l *Line[T]) lane(priority int8) *lane[T] {
	at, ok := slices.BinarySearchFunc(l.lanes, priority, func(x *lane[T], p int8) int { return int(p) - int(x.priority) })
	if !ok {
		x := l.spare
		if l.spare = nil; x == nil {
			x = &lane[T]{byName: map[string]*tenant[T]{}}
		}
		x.priority, x.served = priority, l.served
		l.lanes = slices.Insert(l.lanes, at, x)
	}
	return l.lanes[at]
}

// empty forgets the tenants.
func (x *lane[T]) empty() {
	clear(x.tenants.members)
	x.tenants = ring[*tenant[T]]{members: x.tenants.members[:0]}
	clear(x.byName)
}

// tenant returns a tenant who takes turns.
func (x *lane[T]) tenant(name string) *tenant[T] {
	t := x.byName[name]
	switch {
	case t == nil:
		if t = x.spare; t == nil {
			t = &tenant[T]{}
		}
		x.spare = nil
		*t = tenant[T]{name: name, lane: x, flows: ring[*Flow[T]]{members: t.flows.members[:0]}}
		x.byName[name] = t
		x.tenants.join(t)
	case t.flows.Len() == 0: // the floor may have passed him
		x.tenants.leave(t)
		x.tenants.join(t)
	}
	return t
}

// first returns the tenant whose turn it is. Those on the way who have no flows
// are no longer ahead of anybody.
func (x *lane[T]) first() *tenant[T] {
	for x.tenants.first().flows.Len() == 0 {
		x.forget(x.tenants.first())
	}
	return x.tenants.first()
}

func (x *lane[T]) forget(t *tenant[T]) {
	x.tenants.leave(t)
	delete(x.byName, t.name)
	x.spare = t
}

// turn is a place among those who take turns.
type turn struct {
	mark  int64  // how far he has come, in recipients
	since uint64 // order among those with the same mark
	at    int    // in the heap
}

// ring is some who take turns, a heap.Interface: who has come least far is on
// top.
type ring[M interface {
	comparable
	seat() *turn
}] struct {
	members []M
	floor   int64 // the mark of newcomers
	arrived uint64
}

func (r *ring[M]) first() M { return r.members[0] }

func (r *ring[M]) join(m M) {
	s := m.seat()
	s.mark = max(s.mark, r.floor)
	r.behind(s)
	heap.Push(r, m)
}

func (r *ring[M]) leave(m M) { heap.Remove(r, m.seat().at) }

func (r *ring[M]) charge(m M, recipients int) {
	s := m.seat()
	r.floor = max(r.floor, s.mark+1)
	s.mark += int64(recipients)
	r.behind(s)
	heap.Fix(r, s.at)
}

// behind puts s behind those who have come as far.
func (r *ring[M]) behind(s *turn) {
	r.arrived++
	s.since = r.arrived
}

// Len implements heap.Interface.
func (r *ring[M]) Len() int { return len(r.members) }

// Less implements heap.Interface.
func (r *ring[M]) Less(i, j int) bool {
	a, b := r.members[i].seat(), r.members[j].seat()
	if a.mark != b.mark {
		return a.mark < b.mark
	}
	return a.since < b.since
}

// Swap implements heap.Interface.
func (r *ring[M]) Swap(i, j int) {
	r.members[i], r.members[j] = r.members[j], r.members[i]
	r.members[i].seat().at, r.members[j].seat().at = i, j
}

// Push implements heap.Interface.
func (r *ring[M]) Push(x any) {
	m := x.(M)
	m.seat().at = len(r.members)
	r.members = append(r.members, m)
}

// Pop implements heap.Interface.
func (r *ring[M]) Pop() any {
	var none M
	last := len(r.members) - 1
	m := r.members[last]
	r.members[last] = none
	r.members = r.members[:last]
	return m
}
