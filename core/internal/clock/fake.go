// SPDX-License-Identifier: Apache-2.0

package clock

import (
	"sync"
	"time"
)

// Fake is a clock that moves only when Advance is called. It has the methods
// of the Clock interfaces that the rooms declare, and is safe for many
// goroutines.
type Fake struct {
	advance sync.Mutex // one Advance at a time: callbacks run in order

	mu     sync.Mutex
	now    time.Time
	timers []*timer // in the order of AfterFunc
}

type timer struct {
	at time.Time
	f  func()
}

// NewFake returns a clock that shows start.
func NewFake(start time.Time) *Fake { return &Fake{now: start} }

// Now returns the time that the clock shows.
func (c *Fake) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc has f called by the Advance that reaches now plus d, on the
// goroutine that called Advance; with d <= 0 by the next Advance, even of 0.
// stop takes the call back and reports whether it was still to come.
func (c *Fake) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now.Add(max(d, 0)), f: f}
	c.timers = append(c.timers, t)
	return func() bool { return c.stop(t) }
}

// Advance moves the clock by d. Callbacks that come due run before it returns,
// in the order of their time, and each of them sees the clock at that time.
// Those which a callback adds and which are due within d run too. A callback
// must not call Advance.
func (c *Fake) Advance(d time.Duration) {
	c.advance.Lock()
	defer c.advance.Unlock()
	end := c.Now().Add(d)
	for {
		f := c.step(end)
		if f == nil {
			return
		}
		f()
	}
}

// Next returns the time of the earliest callback that is still to come.
func (c *Fake) Next() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.first(); i >= 0 {
		return c.timers[i].at, true
	}
	return time.Time{}, false
}

// step moves the clock to the first callback due by end and takes it out; to
// end, returning nil, when there is none.
func (c *Fake) step(end time.Time) func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := c.first()
	if i < 0 || c.timers[i].at.After(end) {
		c.now = end
		return nil
	}
	t := c.timers[i]
	c.timers = append(c.timers[:i], c.timers[i+1:]...)
	if t.at.After(c.now) {
		c.now = t.at
	}
	return t.f
}

// first returns the index of the earliest timer, -1 without one. Of two for
// the same time the older one is first.
func (c *Fake) first() int {
	first := -1
	for i, t := range c.timers {
		if first < 0 || t.at.Before(c.timers[first].at) {
			first = i
		}
	}
	return first
}

func (c *Fake) stop(t *timer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.timers {
		if c.timers[i] == t {
			c.timers = append(c.timers[:i], c.timers[i+1:]...)
			return true
		}
	}
	return false
}
