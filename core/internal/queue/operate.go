// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unique"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad-mail/postroad/core/mail"
)

// batchOf bounds the messages that an operator's verb changes in one batch, so
// that a verb for the whole queue neither builds one huge batch nor keeps
// deliveries waiting.
const batchOf = 256

// Retry makes the waiting recipients of the messages due now, whatever their
// schedule says. Held messages stay held. It returns after the sync; an unknown
// id is ErrNotFound and nothing is changed.
func (q *Queue) Retry(ctx context.Context, ids ...string) error {
	return q.named(ctx, Change{Verb: Retry}, ids)
}

// Drop removes messages with their bodies; nobody is told but the Observer. An
// attempt that is under way may still deliver. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Drop(ctx context.Context, ids ...string) error {
	return q.named(ctx, Change{Verb: Drop}, ids)
}

// Release ends the hold or quarantine of messages, and the hold of recipients
// alone: they are due now. A message that is not held stays as it is. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Release(ctx context.Context, ids ...string) error {
	return q.named(ctx, Change{Verb: Release}, ids)
}

// Hold puts messages on hold or into quarantine, in place of a hold they may
// have. Attempts that are under way go on. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Hold(ctx context.Context, h Hold, ids ...string) error {
	return q.named(ctx, Change{Verb: PutOnHold, Hold: h}, ids)
}

// The verbs of a Change.
const (
	Retry     = "retry"   // the recipients are due now
	Release   = "release" // the message is held no more
	PutOnHold = "hold"    // the message is held
	Drop      = "drop"    // the recipients are forgotten; with the last one, the message
	Reroute   = "reroute" // the recipients go by another route, and are due now
)

// Change is what an operator has done to messages.
type Change struct {
	Verb   string
	Only   Filter // it is done to the waiting recipients that match; hold and release take the whole message when one does
	Hold   Hold   // for PutOnHold
	Route  string // for Reroute: a name, which the caller has looked up
	Reason string // for Drop: kept with a recipient whose message stays
}

// Check looks whether all ids are of messages that are here; else it is
// ErrNotFound. It waits for those that may not have been read yet.
func (q *Queue) Check(ctx context.Context, ids []string) error {
	for _, id := range ids {
		if _, err := q.find(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// named is Change for ids that must all be here.
func (q *Queue) named(ctx context.Context, c Change, ids []string) error {
	if err := q.Check(ctx, ids); err != nil {
		return fmt.Errorf("queue: %s: %w", c.Verb, err)
	}
	_, err := q.Change(ctx, c, ids)
	return err
}

// Change does something to messages, in batches of at most 256: each batch is
// changed whole or not at all, and synced. Messages that are gone, and those
// without a recipient that matches any more, are left out; those that may not have
// been read yet are waited for. It returns what was changed, also with an error.
func (q *Queue) Change(ctx context.Context, c Change, ids []string) (Tally, error) {
	var done Tally
	step, err := q.step(&c)
	if err == nil {
		err = q.await(ctx, ids)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids))) // a batch changes a message once
	for err == nil && len(ids) > 0 {
		if err = ctx.Err(); err != nil {
			break
		}
		n := min(batchOf, len(ids))
		var t Tally
		if t, err = q.apply(ids[:n], true, c.Only.matcher(), step); err == nil {
			done.Messages, done.Recipients, done.Octets = done.Messages+t.Messages, done.Recipients+t.Recipients, done.Octets+t.Octets
		}
		ids = ids[n:]
	}
	if err != nil {
		return done, fmt.Errorf("queue: %s: %w", c.Verb, err)
	}
	return done, nil
}

// await waits until it is known of all ids whether they are of messages that are
// here.
func (q *Queue) await(ctx context.Context, ids []string) error {
	if err := q.Check(ctx, ids); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	return nil
}

// step is one message of a verb: rcpts are its waiting recipients that are
// meant. It reports whether there was anything to do.
type step func(v *verb, e *entry, rcpts []int) (bool, error)

func (q *Queue) step(c *Change) (step, error) {
	switch c.Verb {
	case Retry:
		return q.retry, nil
	case Release:
		return q.releaseAll, nil
	case PutOnHold:
		if c.Hold.Kind != Quarantine && c.Hold.Kind != OnHold {
			return nil, fmt.Errorf("unknown kind %q", c.Hold.Kind)
		}
		h := c.Hold
		h.Since = q.clock.Now().UTC()
		return func(v *verb, e *entry, _ []int) (bool, error) { return true, q.hold(v, e, h) }, nil
	case Drop:
		return func(v *verb, e *entry, rcpts []int) (bool, error) { return true, q.dropThose(v, e, rcpts, c.Reason) }, nil
	case Reroute:
		return func(v *verb, e *entry, rcpts []int) (bool, error) { return true, q.reroute(v, e, rcpts, c.Route) }, nil
	}
	return nil, fmt.Errorf("unknown verb %q", c.Verb)
}

// verb is one batch of an operator's verb. The steps in memory follow the commit.
type verb struct {
	batch  *pebble.Batch
	memory []func() // under Queue.mu
	events []Event
	files  []string
	done   Tally
}

// apply runs one batch of a verb: records, commit, memory, events.
func (q *Queue) apply(ids []string, durable bool, m *matcher, do step) (Tally, error) {
	q.change.Lock()
	defer q.change.Unlock()
	v := &verb{batch: q.store.NewBatch()}
	defer v.batch.Close()
	for _, id := range ids {
		e, err := q.live(id)
		if err != nil {
			continue
		}
		if err := q.applyTo(v, e, m, do); err != nil {
			return Tally{}, err
		}
	}
	return v.done, q.finish(v, durable)
}

func (q *Queue) applyTo(v *verb, e *entry, m *matcher, do step) error {
	rcpts, err := q.meant(e, m)
	if err != nil || len(rcpts) == 0 {
		return err
	}
	did, err := do(v, e, rcpts)
	if did && err == nil {
		v.done.add(len(rcpts), e.size)
	}
	return err
}

// meant returns the waiting recipients of a message that match. Queue.change is
// held.
func (q *Queue) meant(e *entry, m *matcher) ([]int, error) {
	q.mu.RLock()
	rcpts := m.match(e)
	q.mu.RUnlock()
	if !m.deep() || len(rcpts) == 0 {
		return rcpts, nil
	}
	msg, err := q.load(e)
	if err != nil {
		return nil, err
	}
	return m.recorded(msg, rcpts), nil
}

// finish commits the batch of a verb and changes memory likewise.
func (q *Queue) finish(v *verb, durable bool) error {
	if v.batch.Empty() {
		return nil
	}
	if err := q.store.Commit(v.batch, durable); err != nil {
		return err
	}
	q.mu.Lock()
	for _, f := range v.memory {
		f()
	}
	q.mu.Unlock()
	q.tail.wrote(v.files)
	if durable {
		q.tail.reached(q.tail.mark()) // all that was written before: Queue.change is held
	}
	q.signal()
	for _, e := range v.events {
		q.obs.QueueEvent(e)
	}
	return nil
}

// retry is the step of Retry.
func (q *Queue) retry(v *verb, e *entry, rcpts []int) (bool, error) {
	if e.hold != nil {
		return false, nil
	}
	return true, q.hastenThose(v, e, rcpts, func(*State) bool { return true })
}

// hastenThose makes some of the waiting recipients due now.
func (q *Queue) hastenThose(v *verb, e *entry, rcpts []int, which func(*State) bool) error {
	now := nanos(q.clock.Now())
	m, _, tried := q.view(e)
	if err := q.readStates(m, e.id, tried); err != nil {
		return err
	}
	for _, i := range rcpts {
		if m.States[i].Status == mail.Deferred && which(&m.States[i]) {
			if err := q.hasten(v, e, i, now, m.States[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// hasten makes one recipient due now.
func (q *Queue) hasten(v *verb, e *entry, i int, now int64, st State) error {
	st.Next = stamp(now)
	v.memory = append(v.memory, func() {
		q.index.update(e, func() {
			e.slots[i].next = now
			e.slots[i].flags |= urgent | stored
			e.slots[i].flags &^= shelved
		})
	})
	return v.batch.Set(stateKey(e.id, i), appendState(nil, &st), nil)
}

// remove is the step that takes a message out of the queue.
func (q *Queue) remove(v *verb, e *entry, kind string) error {
	v.memory = append(v.memory, func() { v.files = q.forget(e, v.files) })
	v.events = append(v.events, q.event(kind, e, e.hold))
	q.log.Info("message "+kind, "id", e.id, "recipients", e.waiting())
	return q.erase(v.batch, e, q.slots(e))
}

// slots copies a message's slots.
func (q *Queue) slots(e *entry) []slot {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return append([]slot(nil), e.slots...)
}

// dropThose is the step of Drop. Recipients that are dropped from a message that
// stays have failed, as far as the records go, without a report.
func (q *Queue) dropThose(v *verb, e *entry, rcpts []int, reason string) error {
	if len(rcpts) == e.waiting() {
		return q.remove(v, e, "dropped")
	}
	m, _, tried := q.view(e)
	if err := q.readStates(m, e.id, tried); err != nil {
		return err
	}
	for _, i := range rcpts {
		st := m.States[i]
		st.Status, st.Last.Status, st.Last.Remote = mail.Failed, mail.Failed, false
		st.Last.Reply = mail.Reply{Code: 554, Enhanced: mail.Enhanced{5, 7, 0}, Text: "dropped by operator: " + reason}
		if err := v.batch.Set(stateKey(e.id, i), appendState(nil, &st), nil); err != nil {
			return err
		}
	}
	v.memory = append(v.memory, func() { q.index.settle(e, rcpts, mail.Failed) })
	dropped := q.event("dropped", e, nil)
	dropped.Recipients = len(rcpts)
	v.events = append(v.events, dropped)
	q.log.Info("recipients dropped", "id", e.id, "recipients", len(rcpts))
	return nil
}

// settle notes what became of some recipients of a message that stays.
func (x *index) settle(e *entry, rcpts []int, as mail.Status) {
	x.update(e, func() {
		for _, i := range rcpts {
			e.slots[i].status = as
			e.slots[i].flags |= stored
			e.slots[i].flags &^= leased | urgent | shelved
		}
	})
}

// reroute is the step of Reroute: the envelope is written anew. Who leased the
// message before has the old one.
func (q *Queue) reroute(v *verb, e *entry, rcpts []int, route string) error {
	m, err := q.load(e)
	if err != nil {
		return err
	}
	r := &record{env: m.Envelope.Clone(), onFile: e.onFile}
	if r.header = len(m.header()); m.record != nil {
		r.header = m.record.header
	}
	r.body = e.size - int64(r.header)
	for _, i := range rcpts {
		r.env.Recipients[i].Route, r.env.Recipients[i].NextHop = route, ""
	}
	v.memory = append(v.memory, func() {
		q.index.cool(e)
		for _, i := range rcpts {
			e.slots[i].route = unique.Make(route)
		}
	})
	q.log.Info("message rerouted", "id", e.id, "recipients", len(rcpts), "route", route)
	if err := v.batch.Set(key(kindEnvelope, e.id), appendEnvelope(nil, r), nil); err != nil {
		return err
	}
	return q.hastenThose(v, e, rcpts, func(st *State) bool { return !st.Held })
}

// header returns the header of a message that is in memory.
func (m *Queued) header() []byte {
	if m.fresh == nil {
		return nil
	}
	return m.fresh.header
}

// releaseAll is the step of Release.
func (q *Queue) releaseAll(v *verb, e *entry, rcpts []int) (bool, error) {
	held := e.hold != nil
	err := q.hastenThose(v, e, rcpts, func(st *State) bool {
		held = held || st.Held
		return st.Held
	})
	if err != nil {
		return false, err
	}
	return held, q.release(v, e)
}

// release ends the hold of a message.
func (q *Queue) release(v *verb, e *entry) error {
	if e.hold == nil {
		return nil
	}
	v.events = append(v.events, q.event("released", e, e.hold))
	v.memory = append(v.memory, func() { q.index.update(e, func() { e.hold = nil }) })
	q.log.Info("message released", "id", e.id)
	return v.batch.Delete(key(kindHold, e.id), nil)
}

// hold is the step of Hold.
func (q *Queue) hold(v *verb, e *entry, h Hold) error {
	v.events = append(v.events, q.event("held", e, &h))
	v.memory = append(v.memory, func() {
		q.index.update(e, func() { e.hold = &h })
		q.index.cool(e)
	})
	q.log.Info("message held", "id", e.id, "kind", h.Kind, "reason", h.Reason, "by", h.By)
	return v.batch.Set(key(kindHold, e.id), appendHold(nil, &h), nil)
}

// endHold ends a hold whose time has come: quarantine drops, hold releases. It
// is not synced for its own sake: after a crash it is simply done again.
func (q *Queue) endHold(id string, now time.Time) {
	_, err := q.apply([]string{id}, false, Filter{}.matcher(), func(v *verb, e *entry, _ []int) (bool, error) {
		switch {
		case e.hold == nil || e.hold.end() > nanos(now):
			return false, nil
		case e.hold.Kind == Quarantine:
			return true, q.remove(v, e, "expired")
		}
		return true, q.release(v, e)
	})
	if err != nil {
		q.log.Error("hold could not be ended", "id", id, "error", err)
		q.rearm(id, now.Add(unreadable))
	}
}

// rearm puts off a message whose hold could not be ended.
func (q *Queue) rearm(id string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.index.byID[id]; e != nil && e.hold != nil {
		h := *e.hold
		h.Until = at
		q.index.update(e, func() { e.hold = &h })
	}
}

// damaged puts a message that cannot be read on hold, where operators see it.
func (q *Queue) damaged(id string, cause error) {
	_, err := q.apply([]string{id}, true, Filter{}.matcher(), func(v *verb, e *entry, _ []int) (bool, error) {
		h := Hold{Kind: OnHold, Reason: cause.Error(), By: "queue", Since: q.clock.Now().UTC()}
		err := q.hold(v, e, h)
		v.events[len(v.events)-1].Kind = "damaged"
		v.events[len(v.events)-1].Reason = h.Reason
		return true, err
	})
	if err != nil {
		q.log.Error("damaged message could not be held", "id", id, "error", err)
	}
}

func (q *Queue) event(kind string, e *entry, h *Hold) Event {
	return Event{Kind: kind, ID: e.id, Sender: e.sender, Recipients: e.waiting(), Hold: h, Time: q.clock.Now()}
}
