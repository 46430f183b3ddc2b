// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pool hands out the instances of one stage, each to one call, transaction or
// connection at a time. The one that was used last is handed out first, so that
// few stay warm. Nothing is made ahead of need, and never more than size live at
// once.
type pool struct {
	slots chan struct{} // one token per instance that is leased
	after time.Duration // that a held instance must be idle to be taken back

	mu     sync.Mutex
	idle   []*instance
	held   map[*lease]struct{} // with an instance
	closed bool
}

var errClosed = errors.New("stage is closed")

func newPool(size int) *pool {
	return &pool{slots: make(chan struct{}, size), after: reclaimAfter, held: make(map[*lease]struct{})}
}

// lease takes a slot, waiting for at most d, and an idle instance if there is
// one; nil means that the caller makes one. give ends the lease.
func (p *pool) lease(ctx context.Context, d time.Duration) (*instance, error) {
	if err := p.slot(ctx, d); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		<-p.slots
		return nil, errClosed
	}
	if len(p.idle) == 0 {
		return nil, nil
	}
	last := len(p.idle) - 1
	i := p.idle[last]
	p.idle[last], p.idle = nil, p.idle[:last]
	return i, nil
}

func (p *pool) slot(ctx context.Context, d time.Duration) error {
	select {
	case p.slots <- struct{}{}:
		return nil
	default:
	}
	p.reclaim(p.after)
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return errors.New("no instance became free in " + d.String())
	}
}

// give ends a lease. A nil instance is gone already.
func (p *pool) give(i *instance) {
	if i != nil {
		p.mu.Lock()
		p.idle = append(p.idle, i)
		p.mu.Unlock()
	}
	<-p.slots
}

// reclaim takes back the held instance that was idle for the longest, and at
// least so long. It reports whether there was one.
func (p *pool) reclaim(after time.Duration) bool {
	p.mu.Lock()
	var l *lease
	for h := range p.held {
		if !h.busy && time.Since(h.since) >= after && (l == nil || h.since.Before(l.since)) {
			l = h
		}
	}
	if l == nil {
		p.mu.Unlock()
		return false
	}
	i := l.i
	l.i, l.lost = nil, true
	delete(p.held, l)
	p.mu.Unlock()
	l.s.finish(i)
	p.give(nil)
	return true
}

// coldest takes the idle instance out that was used the longest ago, nil if none
// is idle.
func (p *pool) coldest() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	i := p.idle[0]
	p.idle = append(p.idle[:0], p.idle[1:]...)
	return i
}

// close waits for every lease to end and returns the instances that are left.
// Instances that are held between hooks are taken back. It is called once.
func (p *pool) close() []*instance {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	for p.reclaim(0) {
	}
	for n := 0; n < cap(p.slots); n++ {
		p.slots <- struct{}{}
	}
	for n := 0; n < cap(p.slots); n++ {
		<-p.slots
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.idle
	p.idle = nil
	return left
}
