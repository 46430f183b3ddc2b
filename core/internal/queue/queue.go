// SPDX-License-Identifier: Apache-2.0

// Package queue keeps accepted mail until each of its recipients is settled.
// It is durable: Enqueue returns after the sync, and a restart resumes whatever
// was queued. One process owns it, so there are no worker locks that can go
// stale: leases are in memory only, and a crash ends them all.
//
// # Key layout
//
// Keys begin with 'q', a kind, and the 26 octets of the message's id:
//
//	qe ID          envelope: sender, recipients, client, meta, sizes; written once
//	qc ID          content: header, and the body up to store.Inline; written once
//	qr ID NNNN     state of recipient number NNNN (big-endian); only once it differs
//	               from "fresh": tried, deferred, delivered or failed
//	qh ID          hold: the message is held or in quarantine, with reason and end
//	qv             the greatest versions of records that are here (layout.go)
//	qs ID          suspension, with an id of its own
//
// A bigger body is the file spool/ID, synced and named before the batch.
// Values begin with a version and are described in codec.go. A message that is
// delivered at the first attempt costs two keys written and two deleted.
//
// # In memory
//
// The due-time index, the state of every recipient and the facts that lists are
// filtered by are in memory, and are read again from the envelopes, states and
// holds after Open; contents are not read then. There is therefore nothing on disk
// to scan for due mail, no tombstones to step over, and no second truth about
// when a recipient is due. BenchmarkMemory states the price per recipient.
// Freshly accepted messages are handed to delivery in memory, up to Options.Hot
// octets; others are read from disk when they are leased.
//
// # After a start
//
// Open does not wait for that: one goroutine reads the store as it was then, the
// oldest message first, and makes known batch by batch what it has read
// (reading.go). Meanwhile
//
//	Enqueue, Settle, Suspend     go on; an id that is on disk is not new
//	Due, NextDue, OldestDue      know of what was read, and Wake tells of more; what is held is never handed out
//	Stats, LeasedBefore          are about what was read; Reading says so
//	List, Select                 wait until everything was read
//	Show, Check, Change          wait for a message that may not have been read yet
//	Backup                       does not wait: it copies what is on disk
//	body files of no message     go when everything was read, those alone that were there at Open
//
// # What is durable when
//
//	Enqueue                 before it returns
//	Change (Hold, Release, …)   before it returns, batch by batch
//	Suspend, Resume         before they return
//	Settle                  with the next accept, at the latest after SettleDelay
//
// A crash in between repeats an attempt that had been made: the next hop may
// get the message twice, never not at all. Body files are removed after the
// sync that covers their settle; files that nothing refers to, after a start.
package queue

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// DefaultHot is the default of Options.Hot.
const DefaultHot = 64 << 20

// SettleDelay is how long a settle may wait for an accept whose sync it shares.
const SettleDelay = 100 * time.Millisecond

// Errors of the queue.
var (
	ErrClosed   = errors.New("queue: closed")
	ErrNotFound = errors.New("no such message in the queue")
)

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Observer hears of what happens to queued messages without a client or a next
// hop being there to see it. Calls are made by many goroutines, must be quick and
// must not call the queue.
type Observer interface {
	QueueEvent(Event)
}

// Event is one such happening.
type Event struct {
	Kind       string // "expired", "dropped", "held", "released", "damaged"
	ID         string
	Sender     mail.Address
	Recipients int       // that were still waiting
	Hold       *Hold     // the hold that began or ended, if any
	Time       time.Time // by the queue's clock
	Reason     string    // for "damaged"
}

// Options says what a Queue is built on. Only Store must be set.
type Options struct {
	Store    *store.Store
	Clock    Clock        // nil: the system's
	Logger   hclog.Logger // nil: none
	Observer Observer     // nil: none
	Hot      int64        // octets of fresh messages kept in memory; 0: DefaultHot, negative: none

	batch int                        // messages that are made known at a time; 0: readBatch
	pace  func(stop <-chan struct{}) // called before each batch; tests hold the reading with it
}

// Queue is the durable queue. It is safe for concurrent use.
type Queue struct {
	store *store.Store
	clock Clock
	log   hclog.Logger
	obs   Observer
	wake  chan struct{}
	tail  tail

	writes sync.Pool // *write

	closing     atomic.Bool
	suspensions atomic.Pointer[[]Suspension] // not changed once it is here; nil: none

	change sync.Mutex // held while a queued message's durable state changes: batch and memory as one

	reading *reading

	mu    sync.RWMutex // guards what follows; never held during disk work
	index index
}

// Open returns a queue that takes mail. What was queued before is read beside
// that, the oldest first, and is due as it is read (Whole, Reading). The caller
// closes the Queue before the store.
func Open(o Options) (*Queue, error) {
	o = o.withDefaults()
	q := &Queue{
		store: o.Store,
		clock: o.Clock,
		log:   o.Logger,
		obs:   o.Observer,
		wake:  make(chan struct{}, 1),
		index: newIndex(o.Hot),
	}
	q.tail.init(q)
	if err := markLayout(q.store); err != nil {
		return nil, fmt.Errorf("queue: open: %w", err)
	}
	if err := q.readSuspensions(); err != nil {
		return nil, fmt.Errorf("queue: open: %w", err)
	}
	if err := q.startReading(&o); err != nil {
		return nil, fmt.Errorf("queue: open: %w", err)
	}
	return q, nil
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Hot == 0 {
		o.Hot = DefaultHot
	}
	if o.batch == 0 {
		o.batch = readBatch
	}
	return o
}

// Close ends the reading, makes settles that are still waiting durable, removes
// their body files and ends the queue; leases that are out are simply forgotten.
func (q *Queue) Close() error {
	if !q.closing.CompareAndSwap(false, true) {
		return ErrClosed
	}
	q.StopReading()
	<-q.reading.done
	q.change.Lock()
	defer q.change.Unlock()
	q.mu.Lock()
	q.index.closed = true
	q.mu.Unlock()
	return q.tail.close()
}

// Syncs returns the number of disk syncs since the store was opened, with
// those of the spool.
func (q *Queue) Syncs() int64 { return q.store.Syncs() }

// Wake returns a channel that receives after recipients have become due by
// something else than the passing of time. It holds one signal: who receives
// asks Due until it has nothing more.
func (q *Queue) Wake() <-chan struct{} { return q.wake }

func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

type nobody struct{}

func (nobody) QueueEvent(Event) {}
