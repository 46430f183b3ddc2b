// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// budget bounds the octets of linear memory that all instances of a host have
// together, images of restored ones included, so that many plugins, each within
// its own limit, cannot use up the machine. Idle instances are given up for it:
// they only save time.
type budget struct {
	max uint64

	mu     sync.Mutex
	used   uint64
	stages map[*Stage]struct{} // who may have idle instances
	freed  chan struct{}       // closed when something is given back; nil while nobody waits
}

func newBudget(max int64) *budget {
	return &budget{max: uint64(max), stages: make(map[*Stage]struct{})}
}

// try takes n octets if they are there.
func (b *budget) try(n uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.max || b.used > b.max-n {
		return false
	}
	b.used += n
	return true
}

// take takes n octets, if need be by giving up idle instances.
func (b *budget) take(n uint64) bool {
	for !b.try(n) {
		if n > b.max || !b.shed() {
			return false
		}
	}
	return true
}

// wait takes n octets as soon as they are there, for at most d.
func (b *budget) wait(ctx context.Context, n uint64, d time.Duration) error {
	if b.take(n) {
		return nil
	}
	if n > b.max {
		return fmt.Errorf("it starts with %d octets of memory, and the instances of all plugins together may have %d; raise plugin_memory of the server", n, b.max)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		freed := b.news()
		if b.take(n) {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
			return fmt.Errorf("the instances of all plugins together have their %d octets of memory; "+
				"lower limit instances of some, or raise plugin_memory of the server", b.max)
		}
	}
}

// news returns a channel that is closed when octets are given back.
func (b *budget) news() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	return b.freed
}

// give gives n octets back.
func (b *budget) give(n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// join and leave tell which stages there are.
func (b *budget) join(s *Stage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stages[s] = struct{}{}
}

func (b *budget) leave(s *Stage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.stages, s)
}

// shed frees one idle instance of any stage and reports whether there was one.
func (b *budget) shed() bool {
	b.mu.Lock()
	stages := make([]*Stage, 0, len(b.stages))
	for s := range b.stages {
		stages = append(stages, s)
	}
	b.mu.Unlock()
	for _, s := range stages {
		if s.shed() {
			return true
		}
	}
	return false
}
