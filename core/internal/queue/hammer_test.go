// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestHammer has sessions, deliveries, operators and a running clock at work at
// once. In the end every message was delivered once or dropped by an operator,
// no recipient was leased twice at a time, and nothing is left.
func TestHammer(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	hammerOn(&hammer{rig: r, leased: map[string]bool{}, done: map[string]int{}, dropped: map[string]bool{}})
}

// TestHammerWhileTheQueueIsRead has what was queued before in hand as well, which
// is read meanwhile.
func TestHammerWhileTheQueueIsRead(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	h := &hammer{rig: r, leased: map[string]bool{}, done: map[string]int{}, dropped: map[string]bool{}, before: 200}
	h.session(hammerBefore, h.before)
	r.batch, r.pace = 3, func(<-chan struct{}) { runtime.Gosched() }
	r.reopen()
	r.batch, r.pace = 0, nil
	hammerOn(h)
}

// hammerBefore is the session of what was queued before.
const hammerBefore = 99

func hammerOn(h *hammer) {
	r, t := h.rig, h.t
	const sessions, each = 6, 60
	var accept, rest sync.WaitGroup
	stop := make(chan struct{})
	for s := range sessions {
		accept.Go(func() { h.session(s, each) })
	}
	for w := range 3 {
		rest.Go(func() { h.deliver(w, stop) })
	}
	rest.Go(func() { h.operate(stop) })
	accept.Wait()
	close(stop)
	rest.Wait()
	h.drain()
	if s := r.queue.Stats(); s != (Stats{}) {
		t.Errorf("left: %+v", s)
	}
	for s := range sessions {
		h.check(s, each)
	}
	h.check(hammerBefore, h.before)
	if r.queue.index.hot != 0 {
		t.Errorf("%d octets are still counted as kept in memory", r.queue.index.hot)
	}
	r.reopen()
	if s := r.queue.Stats(); s != (Stats{}) {
		t.Errorf("back after a restart: %+v", s)
	}
}

// check looks whether all messages of a session are done.
func (h *hammer) check(s, each int) {
	for i := range each {
		id := ident(fmt.Sprint(s, "-", i))
		for rcpt := range 2 {
			if n := h.done[fmt.Sprint(id, rcpt)]; n != 1 && !h.dropped[id] {
				h.t.Errorf("recipient %d of %s was delivered %d times", rcpt, id, n)
			}
		}
	}
}

type hammer struct {
	*rig
	before  int // messages that were queued before the start
	mu      sync.Mutex
	leased  map[string]bool
	done    map[string]int
	dropped map[string]bool
}

func (h *hammer) session(s, each int) {
	for i := range each {
		m := message(ident(fmt.Sprint(s, "-", i)), small+i%3*big/2, "x@one.example", "y@two.example")
		if err := h.queue.Enqueue(context.Background(), m); err != nil {
			h.t.Error(err)
		}
	}
}

func (h *hammer) deliver(w int, stop chan struct{}) {
	for n := w; ; n++ {
		select {
		case <-stop:
			return
		default:
			h.round(n)
		}
	}
}

// round leases some messages and does with each something else.
func (h *hammer) round(n int) {
	leases := h.queue.Due(h.clock.Now(), 3)
	h.claim(leases, true)
	for i, l := range leases {
		id := l.Message.ID()
		h.claim(leases[i:i+1], false)
		switch (n + i) % 4 {
		case 0:
			h.queue.Return(id, l.Recipients)
		case 1:
			h.queue.Postpone(id, l.Recipients, h.clock.Now().Add(time.Second))
		case 2:
			h.try(later(id, l.Recipients[0], h.clock.Now().Add(time.Second)))
			h.queue.Return(id, l.Recipients[1:])
		case 3:
			h.finish(l)
		}
	}
	h.clock.Advance(time.Millisecond)
}

// claim checks that no recipient is leased twice.
func (h *hammer) claim(leases []Lease, take bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		for _, i := range l.Recipients {
			key := fmt.Sprint(l.Message.ID(), i)
			if take && h.leased[key] {
				h.t.Errorf("%s is leased twice", key)
			}
			h.leased[key] = take
		}
	}
}

func (h *hammer) finish(l Lease) {
	h.try(delivered(l.Message.ID(), l.Recipients...))
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, i := range l.Recipients {
		h.done[fmt.Sprint(l.Message.ID(), i)]++
	}
}

func (h *hammer) try(r Result) {
	if err := h.queue.Settle(context.Background(), r); err != nil {
		h.t.Error(err)
	}
}

// operate is an operator with nothing better to do.
func (h *hammer) operate(stop chan struct{}) {
	ctx := context.Background()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		for i, s := range h.list(Filter{Limit: 5, State: []Class{"", Ready, Deferred, Held}[n%4]}) {
			var err error
			switch (n + i) % 6 {
			case 0:
				err = h.queue.Hold(ctx, Hold{Kind: OnHold, Until: h.clock.Now().Add(time.Second)}, s.ID)
			case 1:
				err = h.queue.Release(ctx, s.ID)
			case 2:
				err = h.queue.Retry(ctx, s.ID)
			case 3:
				if n%5 == 0 {
					h.mu.Lock()
					h.dropped[s.ID] = true
					h.mu.Unlock()
					err = h.queue.Drop(ctx, s.ID)
				}
			default:
				_, err = h.show(s.ID)
			}
			if err != nil && !errors.Is(err, ErrNotFound) {
				h.t.Error(err)
			}
		}
		h.operateByFilter(n)
		_ = h.queue.Stats()
		_, _ = h.queue.NextDue()
	}
}

// operateByFilter is the operator who goes by what mail is like.
func (h *hammer) operateByFilter(n int) {
	f := Filter{State: []Class{Ready, Deferred}[n%2], Route: []string{"", "other"}[n/2%2]}
	ids, _ := h.sel(f)
	ids = ids[:min(len(ids), 7)]
	var err error
	switch n % 4 {
	case 0:
		_, err = h.queue.Change(context.Background(), Change{Verb: Reroute, Route: "other", Only: f}, ids)
	case 1:
		_, err = h.queue.Change(context.Background(), Change{Verb: Retry, Only: f}, ids)
	case 2:
		err = h.suspendAndResume(n)
	case 3:
		h.takeOver(ids, f)
	}
	if err != nil {
		h.t.Error(err)
	}
	_ = h.queue.LeasedBefore(h.clock.Now(), 10)
	_, _, _ = h.queue.OldestDue(h.clock.Now())
}

func (h *hammer) suspendAndResume(n int) error {
	s, err := h.queue.Suspend(Suspension{ID: serial(int64(n)), Domain: "one.example", Until: h.clock.Now().Add(time.Minute)})
	if err != nil {
		return err
	}
	for _, l := range h.queue.Due(h.clock.Now(), 3) {
		h.claim([]Lease{l}, true)
		h.claim([]Lease{l}, false)
		h.queue.Shelve(l.Message.ID(), l.Recipients, s.Until)
	}
	_, err = h.queue.Resume(s.ID)
	return err
}

// takeOver takes messages and gives them back.
func (h *hammer) takeOver(ids []string, f Filter) {
	h.queue.Seize(ids...)
	defer h.queue.Unseize(ids...)
	for _, id := range ids {
		l, _, err := h.queue.TakeOver(id, f)
		if err != nil && !errors.Is(err, ErrNotFound) {
			h.t.Error(err)
		}
		if len(l.Recipients) > 0 {
			h.claim([]Lease{l}, true)
			h.claim([]Lease{l}, false)
			h.queue.Return(id, l.Recipients)
		}
	}
}

// drain delivers what is left.
func (h *hammer) drain() {
	for range 100 {
		h.clock.Advance(time.Second)
		for {
			leases := h.queue.Due(h.clock.Now(), 50)
			if leases == nil {
				break
			}
			for _, l := range leases {
				h.finish(l)
			}
		}
	}
}
