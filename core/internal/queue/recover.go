// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"time"
)

// recover rebuilds memory from the records. Records that cannot be read are
// logged and left alone, with their body files: never deleted, never in the way
// of the others.
func (q *Queue) recover() error {
	files, err := q.bodyFiles()
	if err != nil {
		return err
	}
	r := &recovery{q: q, files: files, now: q.clock.Now(), states: readStates(q.store)}
	err = r.scan(kindEnvelope, r.envelope)
	r.statesUpTo("\xff", nil) // those behind the last envelope; it also lets readStates end
	if err = errors.Join(err, r.states.err); err != nil {
		return err
	}
	if err := errors.Join(r.scan(kindHold, r.hold), r.scan(kindSuspension, r.suspension)); err != nil {
		return err
	}
	q.publishSuspensions(r.suspended)
	r.q.index.fill(r.entries)
	if err := r.orphans(); err != nil {
		return err
	}
	r.report()
	return r.missing()
}

func (q *Queue) bodyFiles() (map[string]bool, error) {
	ids, err := q.store.Spool().List()
	if err != nil {
		return nil, err
	}
	files := make(map[string]bool, len(ids))
	for _, id := range ids {
		if checkID(id) != nil {
			q.log.Warn("the spool has something that is not a body; it is left alone", "name", id)
			continue
		}
		files[id] = false
	}
	return files, nil
}

// recovery is one run of recover.
type recovery struct {
	q         *Queue
	now       time.Time
	entries   []*entry
	states    *stateStream
	files     map[string]bool // body files; true: an envelope needs it
	strays    int             // states and holds whose envelope is missing or unreadable
	damaged   int
	suspended []Suspension
	lost      []string // messages whose body file is missing
}

func (r *recovery) scan(k kind, take func(id string, rcpt int, v []byte) error) error {
	from, to := bounds(k)
	return r.q.store.Scan(from, to, func(key, v []byte) bool {
		id, rcpt, err := splitKey(key)
		if err == nil {
			err = take(id, rcpt, v)
		}
		if err != nil {
			r.unreadable(string(key), err)
		}
		return true
	})
}

func (r *recovery) unreadable(key string, err error) {
	r.damaged++
	r.q.log.Error("queue record cannot be read and is left alone", "key", fmt.Sprintf("%q", key), "error", err)
}

// envelope adds a message, with the states of its recipients.
func (r *recovery) envelope(id string, _ int, v []byte) error {
	_, there := r.files[id]
	if there {
		r.files[id] = true
	}
	rec, err := readEnvelope(id, v)
	if err != nil {
		r.statesUpTo(id, nil)
		return err
	}
	if rec.onFile && !there {
		r.lost = append(r.lost, id)
	}
	contentLen := rec.header
	if !rec.onFile {
		contentLen += int(rec.body)
	}
	e := newEntry(rec, contentLen, r.now)
	r.q.index.byID[id] = e
	r.entries = append(r.entries, e)
	r.statesUpTo(id, e)
	return nil
}

// statesUpTo takes the states up to those of message id; e is nil when it cannot
// be read.
func (r *recovery) statesUpTo(id string, e *entry) {
	for f := r.states.first(); f != nil && f.id <= id; f = r.states.first() {
		switch {
		case f.err != nil:
			r.unreadable(f.key, f.err)
		case e == nil || f.id < id:
			r.strays++
		case f.rcpt >= len(e.slots):
			r.unreadable(string(stateKey(f.id, f.rcpt)), fmt.Errorf("%w: state of recipient %d of %d", ErrDamaged, f.rcpt, len(e.slots)))
		default:
			e.slots[f.rcpt].load(f.state)
		}
		r.states.next()
	}
}

// hold puts a message back on hold.
func (r *recovery) hold(id string, _ int, v []byte) error {
	e := r.q.index.byID[id]
	if e == nil {
		r.strays++
		return nil
	}
	h, err := readHold(v)
	if err != nil {
		h = &Hold{Kind: OnHold, Reason: "the reason could not be read", By: "queue"}
	}
	e.hold = h
	return err
}

func (r *recovery) suspension(id string, _ int, v []byte) error {
	s, err := readSuspension(id, v)
	if err == nil {
		r.suspended = append(r.suspended, s)
	}
	return err
}

// orphans removes body files that no envelope needs: of messages that never
// got a 250, or that were settled right before the end.
func (r *recovery) orphans() error {
	n := 0
	for id, needed := range r.files {
		if needed {
			continue
		}
		if err := r.q.store.Spool().Remove(id); err != nil {
			return err
		}
		n++
	}
	if n > 0 {
		r.q.log.Info("body files of no message removed", "files", n)
	}
	return nil
}

func (r *recovery) report() {
	s := r.q.index.stats
	r.q.log.Info("queue opened", "ready", s.Ready.Messages, "deferred", s.Deferred.Messages,
		"held", s.Held.Messages, "quarantined", s.Quarantined.Messages, "damaged", r.damaged)
	if r.strays > 0 {
		r.q.log.Warn("states and holds without a readable envelope", "records", r.strays)
	}
}

// missing puts messages whose body file is gone on hold.
func (r *recovery) missing() error {
	for _, id := range r.lost {
		r.q.damaged(id, fmt.Errorf("%w: the body file is missing from the spool", ErrDamaged))
	}
	return nil
}
