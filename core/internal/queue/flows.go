// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"container/heap"

	"github.com/postroad-mail/postroad/core/internal/fair"
)

// maxTurn is how many recipients of one message are leased at a time. The rest
// of a longer list stays due, for its next turn. It is a multiple of what one
// transaction takes, so that few of them are sent half full.
const maxTurn = 1000

// maxSpare is how many messages a flow may have had room for to be used again.
const maxSpare = 64

// flows are the messages that wait for a time, by priority, tenant and campaign.
// A flow is awake or asleep by when its first message is due; those awake take
// turns. A flow that fell due has not woken before next is asked, and one may be
// awake whose first message was put off meanwhile: only next knows the time.
type flows struct {
	byKey  map[fair.Key]*flow
	asleep alarm
	awake  alarm
	line   fair.Line[*flow]
	spare  *flow // to be used again: a queue is often empty between two messages
}

// flow is the messages of one campaign of a tenant at one priority, a
// heap.Interface: the message that is due first is on top. It is there while it
// has messages, waiting for a time or not.
type flow struct {
	turn    fair.Flow[*flow]
	waiting []*entry // a heap
	size    int      // messages
	alarm   *alarm   // nil: nothing waits
	at      int      // in alarm
}

func newFlows() flows { return flows{byKey: map[fair.Key]*flow{}} }

// enter gives a new message its flow.
func (fs *flows) enter(e *entry) {
	key := fair.Key{Priority: e.priority, Tenant: e.tenant.Value(), Campaign: e.campaign.Value()}
	f := fs.byKey[key]
	if f == nil {
		f = fs.newFlow(key)
		fs.byKey[key] = f
	}
	f.size++
	e.flow = f
}

func (fs *flows) newFlow(key fair.Key) *flow {
	f := fs.spare
	if fs.spare = nil; f == nil {
		f = &flow{}
		f.turn.Value = f
	}
	f.turn.Key = key
	return f
}

// leave takes a message out.
func (fs *flows) leave(e *entry) {
	e.dueAt = never
	fs.arm(e)
	f := e.flow
	if f.size--; f.size == 0 {
		delete(fs.byKey, f.turn.Key)
		if cap(f.waiting) <= maxSpare {
			fs.spare = f
		}
	}
}

// arm puts the message where its due time belongs.
func (fs *flows) arm(e *entry) {
	f := e.flow
	switch {
	case e.dueAt == never && e.at < 0:
		return
	case e.dueAt == never:
		heap.Remove(f, e.at)
	case e.at < 0:
		heap.Push(f, e)
	default:
		heap.Fix(f, e.at)
	}
	fs.set(f)
}

// set puts a flow where its first message belongs.
func (fs *flows) set(f *flow) {
	switch {
	case len(f.waiting) == 0:
		fs.move(f, nil)
		fs.line.Sleep(&f.turn)
	case f.alarm == nil:
		fs.move(f, &fs.asleep)
	default:
		heap.Fix(f.alarm, f.at)
	}
}

func (fs *flows) move(f *flow, to *alarm) {
	if f.alarm != nil {
		heap.Remove(f.alarm, f.at)
	}
	if f.alarm = to; to != nil {
		heap.Push(to, f)
	}
}

// next returns the message whose turn it is of those that are due at now, nil if
// there is none.
func (fs *flows) next(now int64) *entry {
	for fs.asleep.due() <= now {
		f := fs.asleep[0]
		fs.move(f, &fs.awake)
		fs.line.Wake(&f.turn)
	}
	for {
		turn := fs.line.Next()
		if turn == nil {
			return nil
		}
		f := turn.Value
		if f.first().dueAt <= now {
			return f.first()
		}
		fs.move(f, &fs.asleep)
		fs.line.Sleep(turn)
	}
}

// charge takes a turn of the message that next has returned.
func (fs *flows) charge(e *entry, recipients int) { fs.line.Charge(&e.flow.turn, recipients) }

// oldest returns the message that waits for the earliest time, nil if there is
// none.
func (fs *flows) oldest() *entry {
	switch asleep, awake := fs.asleep.due(), fs.awake.due(); {
	case awake != never && awake <= asleep:
		return fs.awake[0].first()
	case asleep != never:
		return fs.asleep[0].first()
	}
	return nil
}

func (f *flow) first() *entry { return f.waiting[0] }

// Len implements heap.Interface.
func (f *flow) Len() int { return len(f.waiting) }

// Less implements heap.Interface.
func (f *flow) Less(i, j int) bool {
	a, b := f.waiting[i], f.waiting[j]
	if a.dueAt != b.dueAt {
		return a.dueAt < b.dueAt
	}
	return a.id < b.id
}

// Swap implements heap.Interface.
func (f *flow) Swap(i, j int) {
	f.waiting[i], f.waiting[j] = f.waiting[j], f.waiting[i]
	f.waiting[i].at, f.waiting[j].at = i, j
}

// Push implements heap.Interface.
func (f *flow) Push(x any) {
	e := x.(*entry)
	e.at = len(f.waiting)
	f.waiting = append(f.waiting, e)
}

// Pop implements heap.Interface.
func (f *flow) Pop() any {
	last := len(f.waiting) - 1
	e := f.waiting[last]
	f.waiting[last] = nil
	f.waiting = f.waiting[:last]
	e.at = -1
	return e
}

// alarm is flows by when their first message is due, a heap.Interface.
type alarm []*flow

// due returns when the first flow is due, never without one.
func (a alarm) due() int64 {
	if len(a) == 0 {
		return never
	}
	return a[0].first().dueAt
}

// Len implements heap.Interface.
func (a alarm) Len() int { return len(a) }

// Less implements heap.Interface.
func (a alarm) Less(i, j int) bool {
	x, y := a[i].first(), a[j].first()
	if x.dueAt != y.dueAt {
		return x.dueAt < y.dueAt
	}
	return x.id < y.id
}

// Swap implements heap.Interface.
func (a alarm) Swap(i, j int) {
	a[i], a[j] = a[j], a[i]
	a[i].at, a[j].at = i, j
}

// Push implements heap.Interface.
func (a *alarm) Push(x any) {
	f := x.(*flow)
	f.at = len(*a)
	*a = append(*a, f)
}

// Pop implements heap.Interface.
func (a *alarm) Pop() any {
	last := len(*a) - 1
	f := (*a)[last]
	(*a)[last] = nil
	*a = (*a)[:last]
	return f
}
