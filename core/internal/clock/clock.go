// SPDX-License-Identifier: Apache-2.0

// Package clock is the time that the rooms of the relay go by: the system's,
// or for tests one that moves only when it is told to.
package clock

import "time"

// System is the system's clock.
type System struct{}

// Now returns the current time.
func (System) Now() time.Time { return time.Now() }

// AfterFunc has f called on a goroutine of its own after d. stop takes the call
// back and reports whether it was still to come.
func (System) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	return time.AfterFunc(d, f).Stop
}
