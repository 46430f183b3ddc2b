// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"time"

	"github.com/postroad-mail/postroad/core/internal/clock"
)

// Clock is a clock that moves only when Advance is called.
type Clock = clock.Fake

// NewClock returns a clock that shows start.
func NewClock(start time.Time) *Clock { return clock.NewFake(start) }
