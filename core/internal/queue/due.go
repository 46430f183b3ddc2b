// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// unreadable is how long a message rests whose content could not be read.
const unreadable = time.Minute

// Due leases recipients that are due at now, fresh or tried, until it has limit
// of them or more; nil when there are none. The highest priority goes first,
// tenants take turns, and within a tenant its campaigns; a campaign's mail goes in
// the order in which it is due. Of a message with more than maxTurn recipients the
// others wait for its next turn. Package fair says the rules.
//
// A lease is kept in memory only: it
// ends with Settle, Return or Postpone, or with the process. Holds that have
// ended by now are ended here: quarantined messages are dropped, others
// delivered. A message that cannot be read is logged and left for later. While the
// queue is being read it knows of those that were read, and Wake tells of more.
func (q *Queue) Due(now time.Time, limit int) []Lease {
	var leases []Lease
	for n := 0; n < limit; {
		e, rcpts := q.take(nanos(now))
		if e == nil {
			break
		}
		if rcpts == nil {
			q.endHold(e.id, now)
			continue
		}
		if lease, err := q.lease(e, rcpts); err == nil {
			leases = append(leases, lease)
			n += len(rcpts)
		} else {
			q.unreadable(e, rcpts, err)
		}
	}
	return leases
}

// NextDue returns when Due will next have work, and false when only an enqueue
// or an operator can bring some. The time may be past.
func (q *Queue) NextDue() (time.Time, bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	e := q.index.due.oldest()
	if q.index.closed || e == nil {
		return time.Time{}, false
	}
	return stamp(e.dueAt), true
}

// take leases due recipients of the message whose turn it is. It returns no
// recipients for a message whose hold has ended.
func (q *Queue) take(now int64) (*entry, []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.index.due.next(now)
	if q.index.closed || e == nil {
		return nil, nil
	}
	if e.hold != nil {
		return e, nil
	}
	rcpts := e.lease(now)
	q.index.stats.Leased += len(rcpts)
	q.index.due.charge(e, len(rcpts))
	q.index.arm(e)
	return e, rcpts
}

// lease takes up to maxTurn recipients that are due.
func (e *entry) lease(now int64) []int {
	rcpts := make([]int, 0, min(len(e.slots), maxTurn))
	for i := range e.slots {
		if s := &e.slots[i]; s.waiting() && !s.is(leased) && s.next <= now && len(rcpts) < maxTurn {
			s.flags |= leased
			s.flags &^= shelved
			s.leasedAt = uint32(now / int64(time.Second))
			rcpts = append(rcpts, i)
		}
	}
	return rcpts
}

// lease reads the message unless it is in memory.
func (q *Queue) lease(e *entry, rcpts []int) (Lease, error) {
	m, err := q.load(e)
	return Lease{Message: m, Recipients: rcpts}, err
}

// load makes the outside view of a message.
func (q *Queue) load(e *entry) (*Queued, error) {
	m, fresh, tried := q.view(e)
	if err := q.readStates(m, e.id, tried); err != nil {
		return nil, err
	}
	if m.fresh = fresh; fresh != nil {
		m.Envelope = fresh.env
	} else if err := q.readMessage(m, e); err != nil {
		return nil, err
	}
	if e.onFile {
		m.spool = q.store.Spool()
	}
	return m, nil
}

// view copies what memory knows, and returns the recipients that have a state
// record.
func (q *Queue) view(e *entry) (m *Queued, fresh *content, tried []int) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	m = &Queued{States: make([]State, len(e.slots)), size: e.size, queue: q}
	if e.hold != nil {
		hold := *e.hold
		m.Hold = &hold
	}
	for i := range e.slots {
		m.States[i] = e.slots[i].state()
		if e.slots[i].is(stored) {
			tried = append(tried, i)
		}
	}
	return m, e.fresh, tried
}

// readStates adds what only the records know: the last outcomes.
func (q *Queue) readStates(m *Queued, id string, tried []int) error {
	for _, rcpt := range tried {
		err := q.get(stateKey(id, rcpt), func(v []byte) error {
			st, err := readState(rcpt, v)
			m.States[rcpt].Last, m.States[rcpt].WarnedAt = st.Last, st.WarnedAt
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readMessage reads the envelope from disk.
func (q *Queue) readMessage(m *Queued, e *entry) error {
	return q.get(key(kindEnvelope, e.id), func(v []byte) error {
		r, err := readEnvelope(e.id, v)
		if err == nil {
			m.Envelope, m.record = r.env, r
		}
		return err
	})
}

// get reads a record that has to be there.
func (q *Queue) get(key []byte, f func([]byte) error) error {
	ok, err := q.store.Get(key, f)
	if errors.Is(err, store.ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err == nil && !ok {
		err = fmt.Errorf("%w: record %q is missing", ErrDamaged, key)
	}
	return err
}

// unreadable gives back a lease that could not be made. A damaged message goes
// on hold where an operator sees it; any other fault is tried again later.
func (q *Queue) unreadable(e *entry, rcpts []int, err error) {
	if _, gone := q.live(e.id); gone != nil {
		return // dropped meanwhile
	}
	q.log.Error("queued message cannot be read", "id", e.id, "error", err)
	q.unlease(e.id, rcpts, q.clock.Now().Add(unreadable), 0)
	if errors.Is(err, ErrDamaged) {
		q.damaged(e.id, err)
	}
}

// Return gives leased recipients of a message back untried: they are due again
// at once. It is not an attempt.
func (q *Queue) Return(id string, rcpts []int) { q.unlease(id, rcpts, time.Time{}, 0) }

// Postpone gives leased recipients of a message back untried: they are not due
// before until. It is not an attempt, and a restart forgets it.
func (q *Queue) Postpone(id string, rcpts []int, until time.Time) { q.unlease(id, rcpts, until, 0) }

// Shelve is Postpone for recipients that are suspended: they are due at until,
// or when the suspension that they match is ended before; that may have been
// since their lease.
func (q *Queue) Shelve(id string, rcpts []int, until time.Time) {
	q.unlease(id, rcpts, until, shelved)
}

func (q *Queue) unlease(id string, rcpts []int, until time.Time, as slotFlags) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.index.byID[id]
	if e == nil {
		return
	}
	q.index.update(e, func() {
		for _, i := range rcpts {
			if i < 0 || i >= len(e.slots) {
				continue
			}
			s := &e.slots[i]
			s.flags &^= leased
			if as == shelved && !q.maySuspend(e, s) {
				continue
			}
			if !until.IsZero() && s.waiting() {
				s.next = max(s.next, nanos(until))
				s.flags |= as
			}
		}
	})
	q.signal()
}

// live returns the entry of a message that is queued.
func (q *Queue) live(id string) (*entry, error) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.index.closed {
		return nil, ErrClosed
	}
	e := q.index.byID[id]
	if e == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return e, nil
}

// Show returns a queued message with the states of its recipients. It waits for
// one that may not have been read yet.
func (q *Queue) Show(ctx context.Context, id string) (*Queued, error) {
	if _, err := q.find(ctx, id); err != nil {
		return nil, err
	}
	return q.show(id)
}

func (q *Queue) show(id string) (*Queued, error) {
	e, err := q.live(id)
	if err != nil {
		return nil, err
	}
	m, err := q.load(e)
	if err == nil {
		return m, nil
	}
	q.change.Lock() // a settle between its commit and its step in memory is no damage
	defer q.change.Unlock()
	if e, err = q.live(id); err != nil {
		return nil, err
	}
	if m, err = q.load(e); err != nil {
		return nil, fmt.Errorf("queue: show %s: %w", id, err)
	}
	return m, nil
}
