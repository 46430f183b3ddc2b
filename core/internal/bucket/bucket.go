// SPDX-License-Identifier: Apache-2.0

// Package bucket limits rates: token buckets by key, as pipeline.hcl declares
// them, shared by all instances of all stages.
//
// A bucket is one number: the time at which it will be full again (the generic
// cell rate algorithm, ITU-T I.371). Taking n tokens moves that time by n
// intervals, and is allowed as long as it stays within a burst of now. There is
// nothing to refill and no timer.
//
// Keys come from strangers, so their number is bounded. A full bucket is the
// same as an unknown one and is forgotten first; only when every known bucket is
// in use does the least recently used one go, and Options.Forgets is told: the
// bound is then too small for the traffic.
package bucket

import (
	"math"
	"sync"
	"time"
)

// DefaultKeys is the default of Options.Keys. BenchmarkMemory states the price.
const DefaultKeys = 100_000

// Clock tells the time.
type Clock interface {
	Now() time.Time
}

// Options describes the buckets. Rate, Per and Clock must be set.
type Options struct {
	Rate  int           // tokens that come back in Per
	Per   time.Duration // at least Rate nanoseconds
	Burst int           // tokens that a full bucket holds; 0: Rate
	Keys  int           // buckets that are kept at most; 0: DefaultKeys
	Clock Clock

	// Forgets is told how many buckets were dropped before they were full, when
	// that is 1, 2, 4, 8 and so on. nil: nobody is told.
	Forgets func(so int64)
}

// Buckets is a set of token buckets, one per key, all alike. A key that was
// never seen has a full bucket. It is safe for concurrent use.
type Buckets struct {
	clock   Clock
	keys    int
	forgets func(so int64)

	mu        sync.Mutex
	interval  int64 // nanoseconds in which one token comes back
	burst     int64 // nanoseconds in which a whole bucket comes back
	byKey     map[string]*bucket
	oldest    bucket // ring: oldest.next is the least recently used
	forgotten int64
}

// bucket is the state of one key, in the ring of the last uses.
type bucket struct {
	key        string
	full       int64 // when it will be full, nanoseconds since 1970
	prev, next *bucket
}

// New returns buckets that are all full.
func New(o Options) *Buckets {
	b := &Buckets{clock: o.Clock, keys: o.Keys, forgets: o.Forgets, byKey: make(map[string]*bucket)}
	if b.keys <= 0 {
		b.keys = DefaultKeys
	}
	b.oldest.prev, b.oldest.next = &b.oldest, &b.oldest
	b.Configure(o)
	return b
}

// Configure changes rate and burst; what is missing in the buckets stays
// missing for as long as it would have been. A reload calls it.
func (b *Buckets) Configure(o Options) {
	rate, burst := max(o.Rate, 1), o.Burst
	if burst <= 0 {
		burst = rate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.interval = max(int64(o.Per)/int64(rate), 1)
	b.burst = product(b.interval, burst)
}

// Take takes cost tokens from the bucket of key, or none; then wait is how long
// it takes until they are there. A cost beyond the burst is never allowed and
// waits for ever: the longest Duration. A cost below 1 counts as 1.
func (b *Buckets) Take(key string, cost int) (allowed bool, wait time.Duration) {
	before, after, allowed, wait := b.take(key, cost)
	if b.forgets != nil && after > before && after&(after-1) == 0 {
		b.forgets(after)
	}
	return allowed, wait
}

// take is Take, and says how many buckets were forgotten before and after.
func (b *Buckets) take(key string, cost int) (before, after int64, allowed bool, wait time.Duration) {
	now := b.clock.Now().UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	before = b.forgotten
	need := product(b.interval, max(cost, 1))
	if need > b.burst {
		return before, before, false, math.MaxInt64
	}
	k := b.use(key, now)
	if wait := b.wait(k, need, now); wait > 0 {
		return before, b.forgotten, false, wait
	}
	k.full = max(k.full, now) + need
	return before, b.forgotten, true, 0
}

// wait returns how long it takes until a bucket, nil for a full one, has what is
// needed.
func (b *Buckets) wait(k *bucket, need, now int64) time.Duration {
	full := now
	if k != nil {
		full = max(k.full, now)
	}
	return time.Duration(max(full+need-now-b.burst, 0))
}

// Peek says what Take would, and takes nothing.
func (b *Buckets) Peek(key string, cost int) (allowed bool, wait time.Duration) {
	now := b.clock.Now().UnixNano()
	b.mu.Lock()
	defer b.mu.Unlock()
	need := product(b.interval, max(cost, 1))
	if need > b.burst {
		return false, math.MaxInt64
	}
	wait = b.wait(b.byKey[key], need, now)
	return wait == 0, wait
}

// Len returns the number of buckets that are kept.
func (b *Buckets) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byKey)
}

// use returns the bucket of key as the most recently used.
func (b *Buckets) use(key string, now int64) *bucket {
	k := b.byKey[key]
	if k == nil {
		b.makeRoom(now)
		k = &bucket{key: key, full: now}
		b.byKey[key] = k
	} else {
		k.unlink()
	}
	last := b.oldest.prev
	k.prev, k.next = last, &b.oldest
	last.next, b.oldest.prev = k, k
	return k
}

// makeRoom drops full buckets from the old end of the ring, a few at a time, and
// one that is not full when there is no other way. Looking at two for each new
// one keeps up with any traffic.
func (b *Buckets) makeRoom(now int64) {
	for range 2 {
		if k := b.oldest.next; k != &b.oldest && k.full <= now {
			b.drop(k)
		}
	}
	if len(b.byKey) >= b.keys {
		b.drop(b.oldest.next)
		b.forgotten++
	}
}

func (b *Buckets) drop(k *bucket) {
	k.unlink()
	delete(b.byKey, k.key)
}

func (k *bucket) unlink() { k.prev.next, k.next.prev = k.next, k.prev }

// product multiplies without overflow; the result leaves room for adding a time.
func product(interval int64, n int) int64 {
	const limit = math.MaxInt64 / 4
	if int64(n) > limit/interval {
		return limit
	}
	return interval * int64(n)
}
