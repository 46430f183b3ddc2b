// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// ErrReading is in the chain of the error of who did not want to wait until the
// queue was read.
var ErrReading = errors.New("the queue is still being read")

// readBatch is how many messages are read before they are made known to delivery,
// under one hold of the lock.
const readBatch = 256

// reading is the part of a start that a large queue takes long for: it brings the
// messages that were queued before into the index, the oldest first, while mail
// is taken and delivered. One goroutine does it, which Close ends.
//
// It reads the store as it was when the queue was opened. Nobody changes a
// message before the reading has made it known, for nobody has its entry; so what
// it makes known is what is true then. New messages are not in what it reads, and
// an id that is there is not taken for a new message (Queue.check).
//
// A fault of the disk while it reads is a fault of the store: what is known stays
// so, and nothing is removed.
type reading struct {
	q     *Queue
	view  *store.View
	now   time.Time
	files files
	pace  func(stop <-chan struct{}) // tests hold the reading with it
	batch int

	stop  chan struct{} // closed by StopReading
	once  sync.Once     // of that
	done  chan struct{} // closed when it is over
	err   error         // once it is over: nil when everything is known
	count atomic.Int64  // messages that were made known
}

// startReading takes the store as it is now and begins to read it.
func (q *Queue) startReading(o *Options) error {
	names, err := q.bodyFiles()
	if err != nil {
		return err
	}
	v, err := q.store.View()
	if err != nil {
		return err
	}
	r := &reading{q: q, view: v, now: q.clock.Now(), files: files{needed: names}, pace: o.pace, batch: o.batch,
		stop: make(chan struct{}), done: make(chan struct{})}
	q.reading = r
	go r.run()
	return nil
}

// StopReading ends the reading before its time; who waits for it gets ErrClosed.
// It is for a relay that is about to end: what was not read stays on disk.
func (q *Queue) StopReading() { q.reading.once.Do(func() { close(q.reading.stop) }) }

// whole reports whether everything is known.
func (r *reading) whole() bool {
	select {
	case <-r.done:
		return r.err == nil
	default:
		return false
	}
}

// Whole returns nil when everything that was queued before Open is known. Until
// then it waits; its error is ErrReading when ctx ends before, ErrClosed, or why
// the queue cannot be read.
func (q *Queue) Whole(ctx context.Context) error {
	r := q.reading
	if r.whole() {
		return nil
	}
	select {
	case <-r.done:
		return r.err
	case <-r.stop:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("%w, %d messages so far: %w", ErrReading, r.count.Load(), context.Cause(ctx))
	}
}

// Reading reports whether the queue is still being read, and how many messages
// have been so far.
func (q *Queue) Reading() (messages int, going bool) {
	select {
	case <-q.reading.done:
		return int(q.reading.count.Load()), false
	default:
		return int(q.reading.count.Load()), true
	}
}

func (r *reading) run() {
	defer close(r.done)
	s := &scan{r: r}
	err := s.run()
	if err = cmp.Or(err, r.view.Close()); err == nil {
		err = s.finish()
	}
	r.err = err
	if err != nil && !errors.Is(err, ErrClosed) {
		r.err = fmt.Errorf("queue: read: %w", err)
		r.q.store.Fail("read the queue", err)
	}
}

// stopped returns ErrClosed once the queue is being closed.
func (r *reading) stopped() error {
	select {
	case <-r.stop:
		return ErrClosed
	default:
		return nil
	}
}

// publish makes messages known.
func (r *reading) publish(batch []*entry) error {
	if r.pace != nil {
		r.pace(r.stop)
	}
	if err := r.stopped(); err != nil {
		return err
	}
	r.q.mu.Lock()
	for _, e := range batch {
		r.q.index.put(e)
	}
	r.q.mu.Unlock()
	r.count.Add(int64(len(batch)))
	r.q.signal()
	return nil
}

// queued reports whether there is such a message, known or not yet read.
func (q *Queue) queued(id string) (bool, error) {
	whole := q.reading.whole() // before the look: what is made known between is seen
	q.mu.RLock()
	known := q.index.byID[id] != nil
	q.mu.RUnlock()
	if known || whole {
		return known, nil
	}
	return q.store.Get(key(kindEnvelope, id), func([]byte) error { return nil })
}

// find returns the entry of a message that is queued. One that is not known may
// not have been read yet: then it waits for that.
func (q *Queue) find(ctx context.Context, id string) (*entry, error) {
	e, err := q.live(id)
	if !errors.Is(err, ErrNotFound) {
		return e, err
	}
	if err := q.Whole(ctx); err != nil {
		return nil, err
	}
	return q.live(id)
}
