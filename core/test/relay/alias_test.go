// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

type (
	testEvent  = testkit.Event
	testAction = testkit.Action
)

func newSink(t *testing.T) *testkit.Sink { return testkit.NewSink(t, testkit.SinkOptions{}) }
