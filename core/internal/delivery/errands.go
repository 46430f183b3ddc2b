// SPDX-License-Identifier: Apache-2.0

package delivery

import "sync"

// errandsAtOnce is how many goroutines wait for stages at once, and
// errandsInLine how many errands may be in line before workers run their own.
const (
	errandsAtOnce = 64
	errandsInLine = 256
)

// errands is work that waits for stages: it is done beside the owner and the
// connections, which must not wait. Its goroutines come with the work and end
// with it; Scheduler.Run waits for them.
type errands struct {
	mu      sync.Mutex
	line    fifo[func()]
	running int
	all     sync.WaitGroup
}

// later has f done as soon as a goroutine is free.
func (e *errands) later(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.running >= errandsAtOnce {
		e.line.push(f)
		return
	}
	e.running++
	e.all.Go(func() { e.run(f) })
}

// beside is later for workers: with a long line of errands they do their own, so
// that they bring no more than can be done.
func (e *errands) beside(f func()) {
	e.mu.Lock()
	full := e.line.len() >= errandsInLine
	e.mu.Unlock()
	if full {
		f()
		return
	}
	e.later(f)
}

func (e *errands) run(f func()) {
	for f != nil {
		f()
		f = e.next()
	}
}

// next returns the next errand; nil ends a goroutine.
func (e *errands) next() func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line.len() == 0 {
		e.running--
		return nil
	}
	return e.line.pop()
}
