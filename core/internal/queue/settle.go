// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad-mail/postroad/core/mail"
)

// Settle writes down what attempts came to, and queues the DSNs that they
// caused, all in one batch. It returns when the batch is applied, not when it
// is durable: it is synced with the next accept, at the latest after
// SettleDelay. A crash before that forgets results and DSNs together, so that
// the attempt is repeated and its DSN is never made twice.
//
// A recipient with a Next is due again then and is no longer leased; one that is
// held waits for an operator, alone of its message; one without either is settled as its Outcome says (Deferred counts as Failed). A message
// whose last recipient is settled leaves the queue. Results and DSNs of a
// message that is no longer queued (an operator dropped it) are ignored. After
// an error nothing has changed and the recipients stay leased. What happened
// has happened: Settle does not look at ctx.
func (q *Queue) Settle(_ context.Context, results ...Result) error {
	q.change.Lock()
	defer q.change.Unlock()
	s := &settling{write: q.newWrite(), q: q}
	defer s.close()
	for i := range results {
		if err := s.result(&results[i]); err != nil {
			s.undo()
			return fmt.Errorf("queue: settle %s: %w", results[i].Message, err)
		}
	}
	if s.batch.Empty() {
		return nil
	}
	if err := q.store.Commit(s.batch, false); err != nil {
		return fmt.Errorf("queue: settle: %w", err)
	}
	q.tail.wrote(s.apply())
	if len(s.added) > 0 {
		q.publish(s.write)
	}
	if s.remain {
		q.signal()
	}
	return nil
}

// settling is one batch of results in the making. Memory is changed by apply,
// after the commit. Queue.change is held throughout.
type settling struct {
	*write
	q      *Queue
	plans  []*plan
	remain bool // some message stays: its due time is new
}

// plan is what becomes of one message.
type plan struct {
	entry *entry
	slots []slot // all of them, as they will be
	tried []int  // the recipients that a result names
}

// result adds one result to the batch.
func (s *settling) result(r *Result) error {
	e, err := s.q.live(r.Message)
	if errors.Is(err, ErrNotFound) {
		s.q.log.Debug("result for a message that is not queued any more", "id", r.Message)
		return nil
	}
	if err != nil {
		return err
	}
	p := s.plan(e)
	var states []State
	for i := range r.Outcomes {
		if states, err = s.outcome(p, &r.Outcomes[i], states); err != nil {
			return err
		}
	}
	if len(states) == 0 {
		return nil // a result that comes again brings no second DSN
	}
	if err := s.states(p, states); err != nil {
		return err
	}
	return s.dsns(r)
}

// states writes down the states that a result brought, or removes the message
// with its last recipient.
func (s *settling) states(p *plan, states []State) error {
	if p.waiting() == 0 {
		return s.q.erase(s.batch, p.entry, p.slots)
	}
	for i := range states {
		rcpt := states[i].Last.Recipient
		p.slots[rcpt].flags |= stored
		s.scratch = appendState(s.scratch[:0], &states[i])
		if err := s.batch.Set(stateKey(p.entry.id, rcpt), s.scratch, nil); err != nil {
			return err
		}
	}
	return nil
}

// plan returns the plan of a message; a call may bring several results for it.
func (s *settling) plan(e *entry) *plan {
	for _, p := range s.plans {
		if p.entry == e {
			return p
		}
	}
	p := &plan{entry: e, slots: s.q.slots(e)}
	s.plans = append(s.plans, p)
	return p
}

// outcome settles or defers one recipient and appends its new state.
func (s *settling) outcome(p *plan, o *Settled, states []State) ([]State, error) {
	if o.Recipient < 0 || o.Recipient >= len(p.slots) {
		return nil, fmt.Errorf("recipient %d of %d", o.Recipient, len(p.slots))
	}
	slot := &p.slots[o.Recipient]
	if !slot.waiting() {
		return states, nil // settled before; the first outcome stands
	}
	slot.attempt(o, s.q.clock.Now())
	p.tried = append(p.tried, o.Recipient)
	st := slot.state()
	st.Last = o.Outcome
	st.Last.Recipient = o.Recipient
	switch {
	case o.Warned:
		st.WarnedAt = s.q.clock.Now()
	case st.Warned:
		st.WarnedAt = s.q.warnedAt(p.entry.id, o.Recipient)
	}
	return append(states, st), nil
}

// warnedAt is when the sender was told of a recipient's delay. It is in the
// record alone: few are told, and nothing is decided by it.
func (q *Queue) warnedAt(id string, rcpt int) (at time.Time) {
	err := q.get(stateKey(id, rcpt), func(v []byte) error {
		st, err := readState(rcpt, v)
		at = st.WarnedAt
		return err
	})
	if err != nil {
		q.log.Warn("when a sender was told of a delay is lost", "id", id, "rcpt", rcpt, "error", err)
	}
	return at
}

// attempt notes an attempt.
func (s *slot) attempt(o *Settled, now time.Time) {
	s.flags &^= leased | urgent
	if !o.Untried {
		s.attempts = min(s.attempts, math.MaxUint16-1) + 1
	}
	if s.firstTry == 0 && !o.Untried {
		s.firstTry = uint32(now.Unix())
	}
	if o.Warned {
		s.flags |= warned
	}
	if o.Held {
		s.next = never
		return
	}
	if !o.Next.IsZero() {
		s.next = nanos(o.Next)
		return
	}
	s.status = o.Outcome.Status
	if s.status == mail.Deferred {
		s.status = mail.Failed
	}
}

func (p *plan) waiting() int {
	n := 0
	for i := range p.slots {
		if p.slots[i].waiting() {
			n++
		}
	}
	return n
}

// dsns adds the DSNs of a result, each once.
func (s *settling) dsns(r *Result) error {
	for n, m := range r.DSN {
		if m.Envelope.ID == "" {
			m.Envelope.ID = DSNID(r.Message, failedOf(r), n)
		}
		if there, err := s.q.queued(m.Envelope.ID); there && err == nil {
			continue
		}
		if err := s.q.check(m); err != nil {
			return err
		}
		if err := s.add(m); err != nil {
			return err
		}
	}
	return nil
}

// failedOf returns the recipients that the result settles.
func failedOf(r *Result) []int {
	var rcpts []int
	for _, o := range r.Outcomes {
		if o.Next.IsZero() && !o.Held && o.Outcome.Status != mail.Delivered {
			rcpts = append(rcpts, o.Recipient)
		}
	}
	return rcpts
}

// apply changes memory as the committed batch has changed the disk, and
// returns the files that may go once the batch is durable.
func (s *settling) apply() (files []string) {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	for _, p := range s.plans {
		if p.waiting() == 0 {
			files = s.q.forget(p.entry, files)
			continue
		}
		s.remain = true
		s.q.index.update(p.entry, p.apply)
		if p.entry.resting() {
			s.q.index.cool(p.entry)
		}
	}
	return files
}

// apply takes over the slots that were tried; leases of the others may have
// changed meanwhile, and stand.
func (p *plan) apply() {
	for _, i := range p.tried {
		p.entry.slots[i] = p.slots[i]
	}
}

// resting reports that every waiting recipient was tried and is not being
// tried now: content in memory would only lie there.
func (e *entry) resting() bool {
	for i := range e.slots {
		if s := &e.slots[i]; s.waiting() && (s.is(leased) || s.ready()) {
			return false
		}
	}
	return true
}

// erase adds the removal of all of a message's records to the batch.
func (q *Queue) erase(b *pebble.Batch, e *entry, slots []slot) error {
	err := b.Delete(key(kindEnvelope, e.id), nil)
	if err == nil {
		err = b.DeleteSized(key(kindContent, e.id), e.content, nil)
	}
	if err == nil && e.hold != nil {
		err = b.Delete(key(kindHold, e.id), nil)
	}
	for i := range slots {
		if err == nil && slots[i].is(stored) {
			err = b.Delete(stateKey(e.id, i), nil)
		}
	}
	return err
}

// forget takes a message out of memory and appends its body file, if any, to
// files. Queue.mu is held.
func (q *Queue) forget(e *entry, files []string) []string {
	q.index.drop(e)
	if e.onFile {
		files = append(files, e.id)
	}
	return files
}
