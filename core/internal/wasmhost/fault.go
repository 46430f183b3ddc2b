// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// Causes of a Fault.
const (
	CauseFuel     = "fuel"     // the budget of instructions is used up
	CauseDeadline = "deadline" // the wall-clock time is used up
	CauseDepth    = "depth"    // calls are nested too deep
	CauseMemory   = "memory"   // it failed after the memory cap refused it more
	CauseTrap     = "trap"     // any other trap of the guest
	CauseExit     = "exit"     // the guest ended itself through WASI proc_exit
	CauseVerdict  = "verdict"  // a verdict that the phase does not permit
	CauseError    = "error"    // pr_on or pr_init returned a negative number
	CausePool     = "pool"     // no instance became free in time
)

// Fault is the failure of a plugin in one call, or in starting an instance. The
// instance that failed is gone, its edits are dropped, others are not touched.
type Fault struct {
	Stage  string
	Cause  string // one of the Cause constants
	Detail string // for the log: what the guest was doing; one line, at most 1,000 octets
}

// Error implements error.
func (f *Fault) Error() string {
	if f.Detail == "" {
		return fmt.Sprintf("plugin of stage %s failed: %s", f.Stage, f.Cause)
	}
	return fmt.Sprintf("plugin of stage %s failed: %s: %s", f.Stage, f.Cause, f.Detail)
}

// FaultCause returns Cause, for rooms that know no plugins.
func (f *Fault) FaultCause() string { return f.Cause }

// detail makes one line of at most 1,000 octets of what is known.
func detail(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p = strings.Join(strings.Fields(p), " "); p != "" {
			kept = append(kept, p)
		}
	}
	s := strings.ToValidUTF8(strings.Join(kept, "; "), "?")
	if len(s) > 1000 {
		s = strings.ToValidUTF8(s[:1000], "")
	}
	return s
}

// cause tells why a call of the guest ended with an error. The engine has no
// error values to ask, so the instance's state says it: what stopped the guest
// is written there before it is stopped.
func (i *instance) cause(err error) string {
	m := i.meter.state().Cause()
	switch {
	case m == metering.CauseDepth || strings.Contains(err.Error(), "stack overflow"):
		return CauseDepth
	case i.watch.fired():
		return CauseDeadline
	case m == metering.CauseFuel:
		return CauseFuel
	case i.memory.refused:
		return CauseMemory
	case i.exited:
		return CauseExit
	}
	return CauseTrap
}

// fault makes the Fault of a call named what that ended with err.
func (i *instance) fault(what string, err error) *Fault {
	return &Fault{Stage: i.stage.name, Cause: i.cause(err), Detail: detail(what+": "+firstLines(err.Error()), i.out.tail())}
}

// firstLines keeps the message and the innermost frames of a wasm stack.
func firstLines(s string) string {
	lines := strings.SplitN(s, "\n", 8)
	return strings.Join(lines[:min(len(lines), 6)], "\n")
}
