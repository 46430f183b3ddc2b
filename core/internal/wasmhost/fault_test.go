// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// "fuel: pr_on(message): wasm error: unreachable wasm stack trace: .$8() .pr_on…"
// named neither the limit nor a remedy.
func TestAnExceededLimitIsNamedWithItsValue(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "hostile/loop.wasm"), StageOptions{Limits: Limits{MessageFuel: 1_000_000, Fuel: 1_000_000}})
	want := "fuel: pr_on(message): it used up message_fuel (1000000 and 5,000 for each octet of the message); raise it in limits, or fix the plugin"
	_, err := s.Run(t.Context(), newHook(mail.PhaseMessage, 0, testEnvelope()))
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "unreachable") || strings.Contains(err.Error(), "$") {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestATrapIsToldWithTheFunctionsThatHaveAName(t *testing.T) {
	got := trapped("wasm error: unreachable\nwasm stack trace:\n\t.$8()\n\t.main.(*T).run(i32,i32) i32\n\t.pr_on(i32,i32) i32")
	if want := "unreachable in main.(*T).run, called by pr_on"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// "use another version of it" was all that the author of a Go plugin read who had
// left -buildmode=c-shared out.
func TestAGoPluginWithoutItsBuildMode(t *testing.T) {
	err := &startError{&Fault{Stage: "s", Cause: CauseExit, Detail: "pr_init: it called proc_exit(2); it wrote: runtime: " + tooEarlyInGo}}
	if got := err.Error(); !strings.Contains(got, "build it with -buildmode=c-shared") || strings.Contains(got, "another version") {
		t.Error(got)
	}
}
