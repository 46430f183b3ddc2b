// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// watch ends the calls of one instance at their deadline. A guest cannot be
// preempted, so a timer writes the kill counter that the guest's own code looks
// at between slices, and host functions look at done. It uses the machine's
// clock and not the relay's, for what it bounds is processor time.
//
// The engine's code reads the counter without the lock; it is one aligned word
// that only goes from 0 to 1 while a call lasts.
type watch struct {
	mu    sync.Mutex
	kill  api.MutableGlobal // nil until the instance has its counters
	timer *time.Timer
	until time.Time // deadline of the running call, zero between calls
	done  atomic.Bool
	wake  chan struct{} // closed at the deadline; replaced when it was
}

func newWatch() *watch {
	return &watch{wake: make(chan struct{})}
}

// attach gives the watch its counter.
func (w *watch) attach(kill api.MutableGlobal) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kill = kill
}

// start begins a call that may last until the given time.
func (w *watch) start(until time.Time, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = until
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.expire)
		return
	}
	w.timer.Reset(d)
}

// stop ends the call.
func (w *watch) stop() {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until = time.Time{}
}

// expire is the timer. One that comes late, from a call that has ended, finds no
// deadline or one that is still to come, and does nothing.
func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.until.IsZero() || time.Now().Before(w.until) || w.done.Load() {
		return
	}
	w.done.Store(true)
	close(w.wake)
	if w.kill != nil {
		w.kill.Set(1)
	}
}

// deadline returns when the running call ends.
func (w *watch) deadline() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.until
}

// fired reports whether a deadline passed. It stays so: the instance is used up.
func (w *watch) fired() bool { return w.done.Load() }
