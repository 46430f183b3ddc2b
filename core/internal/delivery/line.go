// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"unique"

	"github.com/postroad-mail/postroad/core/internal/fair"
	"github.com/postroad-mail/postroad/core/mail"
)

// weighed is what a line is of. Its weight is in recipients.
type weighed interface{ weight() int }

// line is values that wait in turns: the highest priority first, then tenants in
// turn, within a tenant its campaigns, and within one first in, first out. The
// rules are those of the queue (package fair). The zero value is empty.
type line[T weighed] struct {
	flows   map[fair.Key]*flow[T]
	tenants map[fair.Key]*int // recipients that wait, of each tenant at a priority
	turns   fair.Line[*flow[T]]
	n       int      // values
	weight  int      // recipients
	spare   *flow[T] // to be used again: a line is often empty between two messages
}

// flow is the values of one key, at least one.
type flow[T weighed] struct {
	turn    fair.Flow[*flow[T]]
	values  fifo[T]
	waiting int  // recipients
	tenant  *int // in line.tenants
}

// campaignOf is where a message stands among others.
func campaignOf(env *mail.Envelope) fair.Key {
	return fair.Key{Priority: int8(env.Priority), Tenant: env.Tenant, Campaign: env.Campaign}
}

// messageOf is campaignOf where messages take turns, and not campaigns.
func messageOf(env *mail.Envelope) fair.Key {
	return fair.Key{Priority: int8(env.Priority), Tenant: env.Tenant, Campaign: env.ID}
}

func (l *line[T]) len() int { return l.n }

// push puts v behind the others of its key.
func (l *line[T]) push(k fair.Key, v T) {
	f := l.flow(k)
	f.values.push(v)
	l.came(f, v)
}

// unshift puts v before the others of its key.
func (l *line[T]) unshift(k fair.Key, v T) {
	f := l.flow(k)
	f.values.unshift(v)
	l.came(f, v)
}

func (l *line[T]) came(f *flow[T], v T) {
	l.n++
	l.weigh(f, v.weight())
	l.turns.Wake(&f.turn)
}

// flow returns the flow of a key. What it keeps of the key is shared, for the key
// may be a part of a message that the line outlives.
func (l *line[T]) flow(k fair.Key) *flow[T] {
	if f := l.flows[k]; f != nil {
		return f
	}
	if l.flows == nil {
		l.flows, l.tenants = map[fair.Key]*flow[T]{}, map[fair.Key]*int{}
	}
	k.Tenant, k.Campaign = unique.Make(k.Tenant).Value(), unique.Make(k.Campaign).Value()
	f := l.spare
	if l.spare = nil; f == nil {
		f = &flow[T]{}
		f.turn.Value = f
	}
	f.turn.Key, f.tenant = k, l.tenants[tenantOf(k)]
	if f.tenant == nil {
		f.tenant = new(int)
		l.tenants[tenantOf(k)] = f.tenant
	}
	l.flows[k] = f
	return f
}

// maxSpare is how many values a flow may have had room for to be used again.
const maxSpare = 64

func tenantOf(k fair.Key) fair.Key { return fair.Key{Priority: k.Priority, Tenant: k.Tenant} }

// weigh notes that recipients came into f, or with a minus went.
func (l *line[T]) weigh(f *flow[T], recipients int) {
	l.weight += recipients
	f.waiting += recipients
	*f.tenant += recipients
}

// first returns the value whose turn it is; there must be one.
func (l *line[T]) first() T { return l.turns.Next().Value.values.first() }

// pop takes the value out whose turn it is; there must be one.
func (l *line[T]) pop() T {
	var v T
	l.take(func(t T) (int, bool) { v = t; return t.weight(), false })
	return v
}

// take hands the value whose turn it is to cut, which says how many recipients it
// has taken of it, and whether the rest goes to the end of its flow. There must
// be one.
func (l *line[T]) take(cut func(T) (recipients int, rest bool)) {
	f := l.turns.Next().Value
	v := f.values.pop()
	n, rest := cut(v)
	l.turns.Charge(&f.turn, n)
	l.weigh(f, -n)
	if rest {
		f.values.push(v)
		return
	}
	l.went(f, 1)
}

// went notes that n values of f are out.
func (l *line[T]) went(f *flow[T], n int) {
	l.n -= n
	if f.values.len() > 0 {
		return
	}
	l.turns.Sleep(&f.turn)
	delete(l.flows, f.turn.Key)
	if *f.tenant == 0 {
		delete(l.tenants, tenantOf(f.turn.Key))
	}
	if cap(f.values.items) <= maxSpare {
		l.spare = f
	}
}

// yield takes out the value that makes room for one of k in a line that is full:
// the last one of a lower priority, or of a tenant, or campaign of the same
// tenant, that has more waiting. false: nobody has to yield.
func (l *line[T]) yield(k fair.Key) (v T, ok bool) {
	var most *flow[T]
	for _, f := range l.flows {
		if most == nil || f.yieldsBefore(most) {
			most = f
		}
	}
	if most == nil || !l.yields(most, k) {
		return v, false
	}
	v = most.values.popLast()
	l.weigh(most, -v.weight())
	l.went(most, 1)
	return v, true
}

func (f *flow[T]) yieldsBefore(g *flow[T]) bool {
	switch {
	case f.turn.Key.Priority != g.turn.Key.Priority:
		return f.turn.Key.Priority < g.turn.Key.Priority
	case *f.tenant != *g.tenant:
		return *f.tenant > *g.tenant
	}
	return f.waiting > g.waiting
}

// yields reports whether f has to make room for one of k.
func (l *line[T]) yields(f *flow[T], k fair.Key) bool {
	if f.turn.Key.Priority != k.Priority {
		return f.turn.Key.Priority < k.Priority
	}
	if f.turn.Key.Tenant != k.Tenant {
		return *f.tenant > l.waitingOf(k.Tenant, k.Priority)+1
	}
	return f.waiting > l.waiting(k)+1
}

// waiting returns how many recipients of a key wait.
func (l *line[T]) waiting(k fair.Key) int {
	if f := l.flows[k]; f != nil {
		return f.waiting
	}
	return 0
}

func (l *line[T]) waitingOf(tenant string, priority int8) int {
	if n := l.tenants[fair.Key{Priority: priority, Tenant: tenant}]; n != nil {
		return *n
	}
	return 0
}

// all takes everything out, in turns.
func (l *line[T]) all() (vs []T) {
	l.drain(func(_ fair.Key, v T) { vs = append(vs, v) })
	return vs
}

// drain takes everything out, in turns, and hands it to f.
func (l *line[T]) drain(f func(fair.Key, T)) {
	for l.n > 0 {
		k := l.turns.Next().Key
		f(k, l.pop())
	}
}

// of returns the values of a key in order. The slice is good until l changes.
func (l *line[T]) of(k fair.Key) []T {
	if f := l.flows[k]; f != nil {
		return f.values.list()
	}
	return nil
}

// grew notes that a value of k has become heavier.
func (l *line[T]) grew(k fair.Key, recipients int) { l.weigh(l.flows[k], recipients) }

// remove takes out what is to go.
func (l *line[T]) remove(goes func(T) bool) (gone []T) {
	for _, f := range l.flows {
		n := len(gone)
		for _, v := range f.values.all() {
			if goes(v) {
				gone = append(gone, v)
				l.weigh(f, -v.weight())
			} else {
				f.values.push(v)
			}
		}
		l.went(f, len(gone)-n)
	}
	return gone
}

// each calls f with all values.
func (l *line[T]) each(f func(T)) {
	for _, fl := range l.flows {
		for _, v := range fl.values.list() {
			f(v)
		}
	}
}

// find looks for a value, and returns its key and how many recipients of that are
// before it.
func (l *line[T]) find(is func(T) bool) (k fair.Key, before int, ok bool) {
	for _, f := range l.flows {
		before = 0
		for _, v := range f.values.list() {
			if is(v) {
				return f.turn.Key, before, true
			}
			before += v.weight()
		}
	}
	return fair.Key{}, 0, false
}

func (t *task) weight() int  { return len(t.rcpts) }
func (t ticket) weight() int { return len(t.rcpts) }
func (h *hop) weight() int   { return 1 }
