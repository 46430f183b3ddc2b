// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"sync"
)

// tail is the part of the log that is written and not yet synced: settles, and
// the body files to remove once their settle is durable. Whoever syncs the log
// for a reason of its own brackets that sync with mark and reached; when nobody
// does for SettleDelay, tail syncs by itself. Files are removed by the timer,
// not on the way of an accept.
type tail struct {
	q *Queue

	run sync.Mutex // held while the timer works; close waits for it

	mu      sync.Mutex
	written uint64 // number of the last settle that was committed
	durable uint64 // number of the last one that is known to be synced
	doomed  []doomed
	kept    int         // backups that are being made: no file goes
	stop    func() bool // of the timer; nil: not armed
	closed  bool
}

// doomed is a body file that nothing refers to once settle number at is durable.
type doomed struct {
	at uint64
	id string
}

func (t *tail) init(q *Queue) { t.q = q }

// wrote notes a settle that was committed without a sync, and its files.
func (t *tail) wrote(files []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.written++
	for _, id := range files {
		t.doomed = append(t.doomed, doomed{t.written, id})
	}
	t.arm()
}

func (t *tail) arm() {
	if t.stop == nil && !t.closed {
		due := t.written
		t.stop = t.q.clock.AfterFunc(SettleDelay, func() { t.fire(due) })
	}
}

// mark returns what a sync that begins now will cover.
func (t *tail) mark() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.written
}

// reached notes that a sync which covers mark has returned.
func (t *tail) reached(mark uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.durable = max(t.durable, mark)
}

// fire makes the settles up to due durable if nobody has, removes files, and
// arms the timer for what came since.
func (t *tail) fire(due uint64) {
	t.run.Lock()
	defer t.run.Unlock()
	t.mu.Lock()
	t.stop = nil
	closed := t.closed
	t.mu.Unlock()
	if closed {
		return
	}
	if err := t.flush(due); err != nil {
		t.q.log.Error("settles are not durable: attempts will be repeated after a restart", "error", err)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.durable < t.written || len(t.doomed) > 0 {
		t.arm()
	}
}

// flush syncs unless settle number due is durable, and removes the files that
// may go.
func (t *tail) flush(due uint64) error {
	t.mu.Lock()
	covered, mark := t.durable >= due, t.written
	t.mu.Unlock()
	if !covered {
		if err := t.q.store.Sync(); err != nil {
			return err
		}
		t.reached(mark)
	}
	for _, id := range t.removable() {
		if err := t.q.store.Spool().Remove(id); err != nil {
			t.q.log.Warn("body file not removed; the next start will", "id", id, "error", err)
		}
	}
	return nil
}

// removable takes the files whose settles are durable out of the list.
func (t *tail) removable() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept > 0 {
		return nil
	}
	var ids []string
	for len(t.doomed) > 0 && t.doomed[0].at <= t.durable {
		ids = append(ids, t.doomed[0].id)
		t.doomed = t.doomed[1:]
	}
	return ids
}

// keepFiles begins with +1, and ends with -1, a time in which no file goes. It
// waits for removals that are under way.
func (t *tail) keepFiles(n int) {
	t.run.Lock()
	defer t.run.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept += n
}

// close waits for the timer and does its work a last time.
func (t *tail) close() error {
	t.mu.Lock()
	t.closed = true
	if t.stop != nil {
		t.stop()
	}
	due := t.written
	t.mu.Unlock()
	t.run.Lock()
	defer t.run.Unlock()
	if err := t.flush(due); err != nil {
		return fmt.Errorf("queue: close: %w", err)
	}
	return nil
}
