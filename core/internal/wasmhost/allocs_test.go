// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// uncounted is an Observer that only listens.
type uncounted struct{}

func (uncounted) PluginCall(Call)             {}
func (uncounted) PluginInstances(string, int) {}

// A message makes one call of each stage in each phase: what a call allocates is
// allocated thousands of times a second.
func TestCallAllocatesNothing(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{Observer: uncounted{}}), "guests/empty.wasm"), StageOptions{})
	h, ctx := newHook(mail.PhaseMail, 0, testEnvelope()), context.Background()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Run(ctx, h); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a call", n)
	}
}
