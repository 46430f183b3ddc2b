// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// repairBatch is the number of findings that are repaired in one batch.
const repairBatch = 256

// Repair moves aside what Check found: of a message that cannot be delivered
// all records and the body file, else the record or file alone; so that Open
// reads the queue without a complaint. A hold that cannot be read is replaced by
// one that says so. Nothing is deleted before it is durable in a. It is for a
// store that no queue is open on.
func Repair(s *store.Store, c *Checked, a *store.Aside, now time.Time) error {
	r := &repair{store: s, aside: a, now: now, done: make(map[string]bool)}
	for some := range slices.Chunk(c.Findings, repairBatch) {
		if err := r.batch(some); err != nil {
			return fmt.Errorf("queue: repair: %w", err)
		}
	}
	return nil
}

type repair struct {
	store *store.Store
	aside *store.Aside
	now   time.Time
	b     *pebble.Batch
	done  map[string]bool // keys that are aside
}

// batch moves files first: the start of a relay removes files that no message
// needs, and a message whose file is gone is found again.
func (r *repair) batch(some []Finding) error {
	r.b = r.store.NewBatch()
	defer r.b.Close()
	for i := range some {
		if err := r.finding(&some[i]); err != nil {
			return err
		}
	}
	if err := r.aside.Sync(); err != nil || r.b.Empty() {
		return err
	}
	return r.store.Commit(r.b, true)
}

func (r *repair) finding(f *Finding) error {
	switch {
	case f.whole:
		return r.message(f)
	case f.File != "" && f.ID == "": // a stranger's
		return nil
	case f.File != "":
		return r.aside.File(f.File)
	}
	return r.record(f.Key, f.What)
}

// message moves all that there is of a message.
func (r *repair) message(f *Finding) error {
	if err := r.aside.File(f.ID); err != nil {
		return err
	}
	for _, k := range []kind{kindEnvelope, kindContent, kindHold, kindState} {
		if err := r.records(key(k, f.ID), f.What); err != nil {
			return err
		}
	}
	return nil
}

// records moves the records whose keys begin with prefix, which ends in an id.
func (r *repair) records(prefix []byte, why string) error {
	to := append(slices.Clone(prefix), 0xff, 0xff, 0xff, 0xff, 0xff)
	var failed error
	err := r.store.Scan(prefix, to, func(key, v []byte) bool {
		failed = r.move(key, v, why)
		return failed == nil
	})
	return errors.Join(failed, err)
}

func (r *repair) record(key []byte, why string) error {
	_, err := r.store.Get(key, func(v []byte) error { return r.move(key, v, why) })
	return err
}

func (r *repair) move(key, v []byte, why string) error {
	if r.done[string(key)] {
		return nil
	}
	r.done[string(key)] = true
	if err := r.aside.Record(key, v, why); err != nil {
		return err
	}
	if kind(key[1]) == kindHold && r.held(key) {
		return r.b.Set(key, appendHold(nil, r.newHold()), nil)
	}
	return r.b.Delete(key, nil)
}

// held reports whether the message of a hold stays in the queue.
func (r *repair) held(hold []byte) bool {
	id, _, err := splitKey(hold)
	if err != nil || r.done[string(key(kindEnvelope, id))] {
		return false
	}
	there, err := r.store.Get(key(kindEnvelope, id), func([]byte) error { return nil })
	return there && err == nil
}

func (r *repair) newHold() *Hold {
	return &Hold{Kind: OnHold, Reason: "the reason could not be read", By: "fsck", Since: r.now.UTC()}
}
