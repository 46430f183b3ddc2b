// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pool hands out the instances of one stage, each to one call at a time. The
// one that was used last is handed out first, so that few stay warm. Nothing is
// made ahead of need, and never more than size live at once.
type pool struct {
	slots chan struct{} // one token per instance that is leased

	mu     sync.Mutex
	idle   []*instance
	closed bool
}

var errClosed = errors.New("stage is closed")

func newPool(size int) *pool { return &pool{slots: make(chan struct{}, size)} }

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

// close waits for every lease to end and returns the instances that are left. It
// is called once.
func (p *pool) close() []*instance {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
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
