// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"time"

	"github.com/postroad-mail/postroad/core/internal/clock"
)

// Clock is the time that retries, expiries and limits go by. f is called on a
// goroutine of the clock's own, or by FakeClock's Advance.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// FakeClock is a Clock for tests: it moves only when Advance is called.
type FakeClock struct{ fake *clock.Fake }

// NewFakeClock returns a clock that shows start.
func NewFakeClock(start time.Time) *FakeClock { return &FakeClock{clock.NewFake(start)} }

// Now implements Clock.
func (c *FakeClock) Now() time.Time { return c.fake.Now() }

// AfterFunc implements Clock.
func (c *FakeClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return c.fake.AfterFunc(d, f)
}

// Advance moves the clock by d. What comes due is called before it returns.
// Relay.Idle then waits for the work that this has started.
func (c *FakeClock) Advance(d time.Duration) { c.fake.Advance(d) }
