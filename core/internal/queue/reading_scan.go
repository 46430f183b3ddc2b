// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"fmt"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// scan is one run through the records: the envelopes, and beside them the states
// and holds, all in the order of the messages' ids. Records that cannot be read
// are logged and left alone, with their body files: never deleted, never in the
// way of the others.
type scan struct {
	r       *reading
	states  beside
	holds   beside
	batch   []*entry
	strays  int // states and holds whose envelope is missing or cannot be read
	damaged int
	lost    []string // messages whose body file is missing
}

func (s *scan) run() error {
	envelopes, err := s.cursors()
	if err == nil {
		err = s.all(envelopes)
	}
	for _, c := range []*store.Cursor{envelopes, s.states.c, s.holds.c} {
		if c != nil {
			err = cmp.Or(err, c.Close()) // one is enough: a damaged table makes all of them fail
		}
	}
	return err
}

func (s *scan) cursors() (envelopes *store.Cursor, err error) {
	for _, c := range []struct {
		kind kind
		to   **store.Cursor
	}{{kindEnvelope, &envelopes}, {kindState, &s.states.c}, {kindHold, &s.holds.c}} {
		from, to := bounds(c.kind)
		if *c.to, err = s.r.view.Cursor(from, to); err != nil {
			return envelopes, err
		}
	}
	s.states.s, s.holds.s = s, s
	return envelopes, nil
}

// all reads every message, and then what is behind the last one.
func (s *scan) all(envelopes *store.Cursor) error {
	for ; envelopes.Valid(); envelopes.Next() {
		id, _, err := splitKey(envelopes.Key())
		if err == nil {
			err = s.envelope(id, envelopes.Value())
		}
		if err != nil {
			s.unreadable(envelopes.Key(), err)
		}
		if len(s.batch) >= s.r.batch {
			if err := s.publish(); err != nil {
				return err
			}
		}
	}
	if err := envelopes.Err(); err != nil {
		return err
	}
	s.states.upTo(behindAll, nil)
	s.holds.upTo(behindAll, nil)
	return s.publish()
}

// publish makes the batch known: not when a cursor has failed, for a state or hold
// may be missing from it.
func (s *scan) publish() error {
	if err := cmp.Or(s.states.c.Err(), s.holds.c.Err()); err != nil {
		return err
	}
	if len(s.batch) == 0 {
		return s.r.stopped()
	}
	err := s.r.publish(s.batch)
	clear(s.batch)
	s.batch = s.batch[:0]
	return err
}

func (s *scan) unreadable(key []byte, err error) {
	s.damaged++
	s.r.q.log.Error("queue record cannot be read and is left alone", "key", fmt.Sprintf("%q", key), "error", err)
}

// envelope adds a message to the batch, with the states of its recipients and its
// hold.
func (s *scan) envelope(id string, v []byte) error {
	there := s.r.files.take(id)
	rec, err := skimEnvelope(id, v)
	if err != nil {
		s.states.upTo(id, nil)
		s.holds.upTo(id, nil)
		return err
	}
	e := newEntry(rec, rec.contentLen(), s.r.now)
	s.states.upTo(id, func(rcpt int, v []byte) error { return e.loadState(rcpt, v) })
	s.holds.upTo(id, func(_ int, v []byte) error { return e.loadHold(v) })
	if rec.onFile && !there {
		s.lost = append(s.lost, id)
		e.hold = &Hold{Kind: OnHold, Reason: errBodyGone.Error(), By: "queue"} // until finish writes one
	}
	s.batch = append(s.batch, e)
	return nil
}

// contentLen is the length of the content record.
func (r *record) contentLen() int {
	if r.onFile {
		return r.header
	}
	return r.header + int(r.body)
}

func (e *entry) loadState(rcpt int, v []byte) error {
	st, err := skimState(rcpt, v)
	if err != nil {
		return err
	}
	if rcpt >= len(e.slots) {
		return fmt.Errorf("%w: state of recipient %d of %d", ErrDamaged, rcpt, len(e.slots))
	}
	e.slots[rcpt].load(st)
	return nil
}

// loadHold puts the message back on hold. One whose record cannot be read is held
// all the same.
func (e *entry) loadHold(v []byte) error {
	h, err := readHold(v)
	if err != nil {
		h = &Hold{Kind: OnHold, Reason: "the reason could not be read", By: "queue"}
	}
	e.hold = h
	return err
}

// beside is the records of a kind of which a message has some or none.
type beside struct {
	s *scan
	c *store.Cursor
}

// behindAll is greater than every id.
const behindAll = "\xff"

// upTo hands the records of message id to take. Those of messages before it have
// no envelope, as have its own when take is nil.
func (b *beside) upTo(id string, take func(rcpt int, v []byte) error) {
	for ; b.c.Valid(); b.c.Next() {
		key := b.c.Key()
		if len(key) >= keyLen && string(key[2:keyLen]) > id {
			return
		}
		of, rcpt, err := splitKey(key)
		switch {
		case err != nil:
		case take == nil || of != id:
			b.s.strays++
		default:
			err = take(rcpt, b.c.Value())
		}
		if err != nil {
			b.s.unreadable(key, err)
		}
	}
}

var errBodyGone = fmt.Errorf("%w: the body file is missing from the spool", ErrDamaged)

// finish does what must wait until everything is known: it removes body files of
// no message, and writes down that messages whose body file is gone are on hold.
func (s *scan) finish() error {
	if err := s.r.removeStrays(); err != nil {
		return err
	}
	s.report()
	for _, id := range s.lost {
		s.r.q.damaged(id, errBodyGone)
	}
	return s.r.stopped()
}

func (s *scan) report() {
	q := s.r.q
	n := q.Stats()
	q.log.Info("queue was read", "messages", s.r.count.Load(), "ready", n.Ready.Messages, "deferred", n.Deferred.Messages,
		"held", n.Held.Messages, "quarantined", n.Quarantined.Messages, "damaged", s.damaged)
	if s.strays > 0 {
		q.log.Warn("states and holds without a readable envelope", "records", s.strays)
	}
}
