// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain finds goroutines that outlive their owner. The one that is let pass
// is left behind by pebble.Open when it fails, which tests make it do.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/cockroachdb/pebble/v2.(*ConcurrencyLimitScheduler).periodicGranter"))
}
