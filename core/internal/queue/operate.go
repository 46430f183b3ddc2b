// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"time"

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
	return q.operate(ctx, "retry", ids, q.retry)
}

// RetryAll is Retry for every message that is not held. It returns how many
// there were.
func (q *Queue) RetryAll(ctx context.Context) (int, error) {
	ids := q.ids(func(e *entry) bool { return e.hold == nil })
	return len(ids), q.operateKnown(ctx, "retry", ids, q.retry)
}

// Drop removes messages with their bodies; nobody is told but the Observer. An
// attempt that is under way may still deliver. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Drop(ctx context.Context, ids ...string) error {
	return q.operate(ctx, "drop", ids, func(v *verb, e *entry) error { return q.remove(v, e, "dropped") })
}

// Release ends the hold or quarantine of messages, and the hold of recipients
// alone: they are due now. A message that is not held stays as it is. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Release(ctx context.Context, ids ...string) error {
	return q.operate(ctx, "release", ids, q.releaseAll)
}

// Hold puts messages on hold or into quarantine, in place of a hold they may
// have. Attempts that are under way go on. It returns after the sync; an
// unknown id is ErrNotFound and nothing is changed.
func (q *Queue) Hold(ctx context.Context, h Hold, ids ...string) error {
	if h.Kind != Quarantine && h.Kind != OnHold {
		return fmt.Errorf("queue: hold: unknown kind %q", h.Kind)
	}
	h.Since = q.clock.Now().UTC()
	return q.operate(ctx, "hold", ids, func(v *verb, e *entry) error { return q.hold(v, e, h) })
}

// verb is one batch of an operator's verb. The steps in memory follow the commit.
type verb struct {
	batch  *pebble.Batch
	memory []func() // under Queue.mu
	events []Event
	files  []string
}

// operate checks that all ids are known and applies the verb to them.
func (q *Queue) operate(ctx context.Context, name string, ids []string, step func(*verb, *entry) error) error {
	for _, id := range ids {
		if _, err := q.live(id); err != nil {
			return fmt.Errorf("queue: %s: %w", name, err)
		}
	}
	return q.operateKnown(ctx, name, ids, step)
}

// operateKnown applies the verb in batches; ids that are gone meanwhile are
// left out.
func (q *Queue) operateKnown(ctx context.Context, name string, ids []string, step func(*verb, *entry) error) error {
	for len(ids) > 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("queue: %s: %w", name, err)
		}
		n := min(batchOf, len(ids))
		if err := q.apply(ids[:n], true, step); err != nil {
			return fmt.Errorf("queue: %s: %w", name, err)
		}
		ids = ids[n:]
	}
	return nil
}

// apply runs one batch of a verb: records, commit, memory, events.
func (q *Queue) apply(ids []string, durable bool, step func(*verb, *entry) error) error {
	q.change.Lock()
	defer q.change.Unlock()
	v := &verb{batch: q.store.NewBatch()}
	defer v.batch.Close()
	for _, id := range ids {
		if e, err := q.live(id); err == nil {
			if err := step(v, e); err != nil {
				return err
			}
		}
	}
	return q.finish(v, durable)
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
func (q *Queue) retry(v *verb, e *entry) error {
	if e.hold != nil {
		return nil
	}
	return q.each(v, e, func(*State) bool { return true })
}

// each makes some of the waiting recipients due now.
func (q *Queue) each(v *verb, e *entry, which func(*State) bool) error {
	now := nanos(q.clock.Now())
	m, _, tried := q.view(e)
	if err := q.readStates(m, e.id, tried); err != nil {
		return err
	}
	for i := range m.States {
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

// releaseAll is the step of Release.
func (q *Queue) releaseAll(v *verb, e *entry) error {
	if err := q.each(v, e, func(st *State) bool { return st.Held }); err != nil {
		return err
	}
	return q.release(v, e)
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
	err := q.apply([]string{id}, false, func(v *verb, e *entry) error {
		switch {
		case e.hold == nil || e.hold.end() > nanos(now):
			return nil
		case e.hold.Kind == Quarantine:
			return q.remove(v, e, "expired")
		}
		return q.release(v, e)
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
	err := q.apply([]string{id}, true, func(v *verb, e *entry) error {
		h := Hold{Kind: OnHold, Reason: cause.Error(), By: "queue", Since: q.clock.Now().UTC()}
		err := q.hold(v, e, h)
		v.events[len(v.events)-1].Kind = "damaged"
		v.events[len(v.events)-1].Reason = h.Reason
		return err
	})
	if err != nil {
		q.log.Error("damaged message could not be held", "id", id, "error", err)
	}
}

func (q *Queue) event(kind string, e *entry, h *Hold) Event {
	return Event{Kind: kind, ID: e.id, Sender: e.sender, Recipients: e.waiting(), Hold: h, Time: q.clock.Now()}
}
