// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// wantFault runs a hook that must fail with a cause.
func wantFault(t testing.TB, s *Stage, h *pipeline.Hook, cause, detail string) {
	t.Helper()
	_, err := s.Run(context.Background(), h)
	var f *Fault
	if !errors.As(err, &f) || f.Cause != cause || !strings.Contains(f.Detail, detail) || f.Stage != s.name {
		t.Errorf("stage failed with %v, want cause %s with %q", err, cause, detail)
	}
}

// hostileLimits give a guest that waits for memory enough fuel to reach its
// deadline, and the others a budget that is soon burnt.
func hostileLimits(cause string) Limits {
	if cause == CauseDeadline {
		return Limits{MessageFuel: 1 << 40, MessageDeadline: 50 * time.Millisecond}
	}
	return Limits{MessageFuel: 20_000_000, MessageDeadline: time.Minute}
}

// TestHostileGuests: every guest that means harm is stopped within its budget,
// for the cause that its text names, while calls of other stages complete.
func TestHostileGuests(t *testing.T) {
	logger, sink := newLog(hclog.Trace)
	h := newHost(t, Options{Logger: logger})
	honest := newTestStage(t, load(t, h, "guests/fields.wasm"), StageOptions{Name: "honest", Grant: everything()})
	for _, name := range guests(t, "hostile") {
		t.Run(name, func(t *testing.T) {
			wat := filepath.Join("testdata", "hostile", name+".wat")
			done := make(chan int)
			stop := make(chan struct{})
			go func() { done <- keepCalling(t, honest, stop) }()
			attack(t, load(t, h, "hostile/"+name+".wasm"), header(t, wat, "when"), header(t, wat, "cause"))
			close(stop)
			if n := <-done; n < honestCalls {
				t.Errorf("only %d honest calls completed", n)
			}
		})
	}
	if n := len(sink.String()); n > 1<<20 {
		t.Errorf("%d octets were logged", n)
	}
}

const honestCalls = 20

// keepCalling calls an honest stage until stop, at least honestCalls times, and
// returns how many calls succeeded. It collects garbage too: a guest must not
// keep the process from stopping for that.
func keepCalling(t *testing.T, s *Stage, stop chan struct{}) int {
	for n := 0; ; n++ {
		if _, err := s.Run(context.Background(), newHook(mail.PhaseMessage, 0, testEnvelope())); err != nil {
			t.Errorf("honest call failed: %v", err)
			return n
		}
		if n == honestCalls/2 {
			runtime.GC()
		}
		select {
		case <-stop:
			if n >= honestCalls {
				return n
			}
		default:
		}
	}
}

func attack(t *testing.T, m *Module, when, cause string) {
	s, err := m.NewStage(context.Background(), StageOptions{Name: "hostile", Grant: everything(), Limits: hostileLimits(cause)})
	if when != "hook" {
		var f *Fault
		if !errors.As(err, &f) || f.Cause != cause {
			t.Errorf("starting failed with %v, want cause %s", err, cause)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for n := 0; n < 2; n++ { // the second time in a new instance
		wantFault(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()), cause, "")
	}
	if live := s.live.Load(); live != 0 {
		t.Errorf("%d instances live on after they failed", live)
	}
}
