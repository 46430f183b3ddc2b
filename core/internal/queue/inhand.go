// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"time"
)

// Seize takes messages out of the hands of Due, and Unseize gives them back: in
// between, an operator collects what delivery has leased of them, to end it
// himself. A restart forgets it. Ids that are gone are left out.
func (q *Queue) Seize(ids ...string) { q.seize(ids, true) }

// Unseize ends what Seize began.
func (q *Queue) Unseize(ids ...string) { q.seize(ids, false) }

func (q *Queue) seize(ids []string, on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		if e := q.index.byID[id]; e != nil {
			q.index.update(e, func() { e.seized = on })
		}
	}
	q.signal()
}

// TakeOver leases the waiting recipients of a message that match and that
// nobody has leased, whether they are due or held or not. busy is how many
// match and are leased by somebody else. No recipients: there is nothing to
// take.
func (q *Queue) TakeOver(id string, f Filter) (l Lease, busy int, err error) {
	m := f.matcher()
	e, rcpts, busy := q.takeOver(id, m)
	if len(rcpts) == 0 {
		return Lease{}, busy, nil
	}
	if l.Message, err = q.show(id); err != nil {
		q.Return(id, rcpts)
		return Lease{}, busy, err
	}
	l.Recipients = rcpts
	if m.deep() {
		l.Recipients = m.recorded(l.Message, rcpts)
		q.Return(e.id, others(rcpts, l.Recipients))
	}
	return l, busy, nil
}

func (q *Queue) takeOver(id string, m *matcher) (e *entry, rcpts []int, busy int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e = q.index.byID[id]; e == nil || q.index.closed {
		return nil, nil, 0
	}
	now := uint32(q.clock.Now().Unix())
	for _, i := range m.match(e) {
		s := &e.slots[i]
		if s.is(leased) {
			busy++
			continue
		}
		rcpts = append(rcpts, i)
		s.flags |= leased
		s.leasedAt = now
	}
	q.index.stats.Leased += len(rcpts)
	q.index.arm(e)
	return e, rcpts, busy
}

// others returns those of all that are not among some; both are sorted.
func others(all, some []int) (out []int) {
	for _, i := range all {
		if len(some) > 0 && some[0] == i {
			some = some[1:]
			continue
		}
		out = append(out, i)
	}
	return out
}

// Flush returns after a sync that covers all that was settled before.
func (q *Queue) Flush() error {
	mark := q.tail.mark()
	if err := q.store.Sync(); err != nil {
		return err
	}
	q.tail.reached(mark)
	return nil
}

// Leased is some recipients of a message that have been leased for long.
type Leased struct {
	ID         string
	Recipients []int
	Since      time.Time // whole seconds
}

// LeasedBefore returns at most limit messages with leases that began before t.
// It goes by pages, as Select does, and costs nothing while nothing is leased.
func (q *Queue) LeasedBefore(t time.Time, limit int) (out []Leased) {
	if q.Stats().Leased == 0 {
		return nil
	}
	for last, more := "", true; more && len(out) < limit; {
		q.mu.RLock()
		last, more = q.index.order.page(last, pageSize, func(e *entry) bool {
			if l := e.leasedBefore(t); l.ID != "" {
				out = append(out, l)
			}
			return len(out) < limit
		})
		q.mu.RUnlock()
	}
	return out
}

func (e *entry) leasedBefore(t time.Time) (l Leased) {
	for i := range e.slots {
		s := &e.slots[i]
		if since := time.Unix(int64(s.leasedAt), 0); s.waiting() && s.is(leased) && since.Before(t) {
			l.ID, l.Since = e.id, since.UTC()
			l.Recipients = append(l.Recipients, i)
		}
	}
	return l
}

// OldestDue returns the message that has been due for the longest and that
// nobody has leased; false when nothing is due at now.
func (q *Queue) OldestDue(now time.Time) (id string, since time.Time, ok bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	e := q.index.due.oldest()
	if e == nil || e.dueAt > nanos(now) || q.index.closed {
		return "", time.Time{}, false
	}
	return e.id, stamp(e.dueAt), true
}
