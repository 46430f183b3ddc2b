// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// Enqueue takes responsibility for msgs: it returns nil after the sync of one
// batch that holds all of them, and of the files of big bodies before it. Then
// the messages belong to the queue and must not be changed, and bodies that
// have a Release method are released. On an error nothing is queued as far as
// the client may be told, the bodies stay the caller's, and the error carries a
// *mail.Reply: 452 4.3.1 when the disk is nearly full, else 451 4.3.0.
func (q *Queue) Enqueue(ctx context.Context, msgs ...*Message) error {
	err := q.enqueue(ctx, msgs)
	var reply *mail.Reply
	if err == nil || errors.As(err, &reply) {
		return err
	}
	return mail.OurFault(fmt.Errorf("queue: enqueue: %w", err))
}

func (q *Queue) enqueue(ctx context.Context, msgs []*Message) error {
	if err := q.admit(ctx, msgs); err != nil {
		return err
	}
	w := q.newWrite()
	defer w.close()
	for _, m := range msgs {
		if err := w.add(m); err != nil {
			w.undo()
			return err
		}
	}
	mark := q.tail.mark()
	if err := q.store.Commit(w.batch, true); err != nil {
		return err // the files stay: the batch may be on disk
	}
	q.tail.reached(mark)
	q.publish(w)
	return nil
}

// admit refuses what cannot be queued before anything is written.
func (q *Queue) admit(ctx context.Context, msgs []*Message) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	need := int64(0)
	for _, m := range msgs {
		if err := q.check(m); err != nil {
			return err
		}
		need += int64(len(m.Header)) + bodySize(m.Body)
	}
	if err := q.store.Healthy(); err != nil {
		return err
	}
	return q.store.Room(need)
}

func (q *Queue) check(m *Message) error {
	if err := checkID(m.Envelope.ID); err != nil {
		return err
	}
	if m.Envelope.Live() == 0 {
		return fmt.Errorf("message %s has no recipients", m.Envelope.ID)
	}
	if m.States != nil && !statesFit(m) {
		return fmt.Errorf("message %s has no recipient that waits, or states of others", m.Envelope.ID)
	}
	if m.Hold != nil && m.Hold.Kind != Quarantine && m.Hold.Kind != OnHold {
		return fmt.Errorf("message %s: hold of unknown kind %q", m.Envelope.ID, m.Hold.Kind)
	}
	return q.checkNew(m.Envelope.ID)
}

func (q *Queue) checkNew(id string) error {
	if _, err := q.live(id); errors.Is(err, ErrClosed) {
		return err
	}
	there, err := q.queued(id)
	if there && err == nil {
		err = fmt.Errorf("message %s is queued already", id)
	}
	return err
}

// statesFit reports whether the states are those of the recipients, and one of
// them still waits.
func statesFit(m *Message) bool {
	return len(m.States) == len(m.Envelope.Recipients) &&
		slices.ContainsFunc(m.States, func(s State) bool { return s.Status == mail.Deferred })
}

func bodySize(b mail.Body) int64 {
	if b == nil {
		return 0
	}
	return b.Size()
}

// write is one batch of new messages in the making. It is pooled.
type write struct {
	q       *Queue
	batch   *pebble.Batch
	scratch []byte
	added   []added
}

// maxScratch is the biggest scratch that is kept for the next write.
const maxScratch = 64 << 10

// added is one message of it.
type added struct {
	entry  *entry
	fresh  *content
	body   mail.Body
	states []State
}

func (q *Queue) newWrite() *write {
	w, ok := q.writes.Get().(*write)
	if !ok {
		w = &write{q: q}
	}
	w.batch = q.store.NewBatch()
	return w
}

func (w *write) close() {
	_ = w.batch.Close()
	if cap(w.scratch) > maxScratch {
		w.scratch = nil
	}
	clear(w.added)
	w.added = w.added[:0]
	w.q.writes.Put(w)
}

// add puts a message into the batch. A big body is synced and named first.
func (w *write) add(m *Message) error {
	r := &record{env: m.Envelope, header: len(m.Header), body: bodySize(m.Body)}
	r.onFile = r.body > store.Inline
	a := added{body: m.Body, fresh: &content{env: m.Envelope, header: m.Header}}
	a.entry = newEntry(r, r.contentLen(), w.q.clock.Now())
	a.entry.hold = w.q.newHold(m.Hold)
	a.states = m.States
	if r.onFile {
		if err := w.q.keep(m.Body, m.Envelope.ID); err != nil {
			return err
		}
	}
	w.added = append(w.added, a)
	return w.fill(&w.added[len(w.added)-1], r)
}

// newHold returns a copy of h that begins now.
func (q *Queue) newHold(h *Hold) *Hold {
	if h == nil {
		return nil
	}
	c := *h
	c.Since = q.clock.Now().UTC()
	return &c
}

// fill writes the records of a message.
func (w *write) fill(a *added, r *record) error {
	id := r.env.ID
	w.scratch = appendEnvelope(appendKey(w.scratch[:0], kindEnvelope, id), r)
	if err := w.batch.Set(w.scratch[:keyLen], w.scratch[keyLen:], nil); err != nil {
		return err
	}
	if a.entry.hold != nil {
		if err := w.batch.Set(key(kindHold, id), appendHold(nil, a.entry.hold), nil); err != nil {
			return err
		}
	}
	if err := w.restore(a); err != nil {
		return err
	}
	op := w.batch.SetDeferred(keyLen, int(a.entry.content))
	appendKey(op.Key[:0], kindContent, id)
	n := copy(op.Value, a.fresh.header)
	if !r.onFile {
		if err := readBody(op.Value[n:], a.body); err != nil {
			return err
		}
		a.fresh.body = inMemory(a.body, op.Value[n:])
	}
	return op.Finish()
}

// restore writes down what another machine knew of the recipients.
func (w *write) restore(a *added) error {
	for i := range a.states {
		st := &a.states[i]
		if a.fresh.env.Recipients[i].Removed || st.Status == mail.Deferred && st.Attempts == 0 && st.Last.Reply.Code == 0 && !st.Held {
			continue // never tried
		}
		if st.Held {
			st.Next = time.Time{}
		}
		if err := w.batch.Set(stateKey(a.entry.id, i), appendState(nil, st), nil); err != nil {
			return err
		}
		a.entry.slots[i].load(*st)
	}
	return nil
}

// readBody copies a small body into the batch.
func readBody(p []byte, b mail.Body) error {
	if len(p) == 0 {
		return nil
	}
	n, err := b.ReadAt(p, 0)
	if n == len(p) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read body: %w", err)
}

// inMemory returns the octets of a small body that delivery can keep: the
// body's own, or a copy of the batch's.
func inMemory(b mail.Body, batch []byte) []byte {
	switch b := b.(type) {
	case mail.BytesBody:
		return b
	case interface{ Bytes() ([]byte, bool) }:
		if p, ok := b.Bytes(); ok {
			return p
		}
	}
	return append([]byte(nil), batch...)
}

// keep makes a big body the file of message id.
func (q *Queue) keep(b mail.Body, id string) error {
	q.reading.files.take(id)
	if spooled, ok := b.(*store.Body); ok {
		return q.store.Spool().Keep(spooled, id)
	}
	w := q.store.Spool().NewBody()
	defer w.Abort()
	if _, err := io.Copy(w, io.NewSectionReader(b, 0, b.Size())); err != nil {
		return err
	}
	spooled, err := w.Finish()
	if err != nil {
		return err
	}
	defer spooled.Release()
	return q.store.Spool().Keep(spooled, id)
}

// undo removes the files of a batch that was never committed.
func (w *write) undo() {
	for i := range w.added {
		if e := w.added[i].entry; e.onFile {
			_ = w.q.store.Spool().Remove(e.id)
		}
	}
}

// publish makes the messages of a committed batch known to delivery.
func (q *Queue) publish(w *write) {
	q.mu.Lock()
	for _, a := range w.added {
		q.index.put(a.entry)
		if a.entry.hold == nil {
			q.index.warm(a.entry, a.fresh)
		}
	}
	q.mu.Unlock()
	for _, a := range w.added {
		if b, ok := a.body.(interface{ Release() }); ok {
			b.Release()
		}
	}
	q.signal()
}
