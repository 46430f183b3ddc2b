// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"errors"
	"fmt"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/postroad-mail/postroad/core/mail"
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

// Error says what happened; whoever tells of it knows the stage.
func (f *Fault) Error() string {
	switch {
	case f.Detail == "":
		return f.Cause
	case f.Cause == CauseError:
		return f.Detail
	}
	return f.Cause + ": " + f.Detail
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
	c := i.cause(err)
	why := i.exceeded(c)
	switch at := frames(err.Error()); {
	case why == "":
		why = trapped(err.Error())
	case at != "" && (c == CauseFuel || c == CauseDeadline):
		why += "; it was in " + at
	}
	return &Fault{Stage: i.stage.name, Cause: c, Detail: detail(what+": "+why, i.out.tail())}
}

// exceeded names the limit that a call ran into, with its value and the remedy;
// empty for other causes.
func (i *instance) exceeded(cause string) string {
	l, prefix, more := &i.stage.limits, "message_", " and 5,000 for each octet of the message"
	fuel, deadline := l.MessageFuel, l.MessageDeadline
	if i.hook != nil && !asMessage(i.hook.Phase()) {
		prefix, more, fuel, deadline = "", "", l.Fuel, l.Deadline
		if i.hook.Phase() == mail.PhaseBody {
			more = " and 5,000 for each octet of the chunk"
		}
	}
	what := ""
	switch cause {
	case CauseFuel:
		what = fmt.Sprintf("it used up %sfuel (%d%s)", prefix, fuel, more)
	case CauseDeadline:
		what = fmt.Sprintf("it took longer than %sdeadline (%v)", prefix, deadline)
	case CauseDepth:
		what = fmt.Sprintf("its calls are nested deeper than depth (%d)", l.Depth)
	case CauseMemory:
		what = fmt.Sprintf("it needs more than memory (%d octets)", l.Memory)
	default:
		return ""
	}
	return what + "; raise it in limits, or fix the plugin"
}

// trapped is what an engine says of a trap, and where it was.
func trapped(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	text := strings.TrimSuffix(strings.TrimPrefix(first, "wasm error: "), " (recovered by wazero)")
	if at := frames(s); at != "" {
		text += " in " + at
	}
	return text
}

// frames are the innermost functions of a wasm stack trace that have a name.
func frames(s string) string {
	var names []string
	for line := range strings.Lines(s) {
		name, isFrame := strings.CutPrefix(line, "\t")
		name = strings.TrimPrefix(name, ".")
		if at := strings.LastIndex(name, "("); isFrame && at > 0 && name[0] != '$' && len(names) < 4 {
			names = append(names, name[:at])
		}
	}
	return strings.Join(names, ", called by ")
}

// startError is a Fault of the first start, told to the operator, who has written
// the configuration that leads to it.
type startError struct{ *Fault }

// Unwrap returns the Fault.
func (e *startError) Unwrap() error { return e.Fault }

// Error is one sentence about the module, with the cause and the remedy.
func (e *startError) Error() string { return "it does not start (" + e.Cause + "): " + e.sentence() }

func (e *startError) sentence() string {
	where, _, _ := strings.Cut(e.Detail, ": ") // what was called
	if where == startName {
		where = "its start section"
	}
	switch e.Cause {
	case CauseFuel:
		return fmt.Sprintf("%s needs more than %d units of fuel%s", where, initFuel, faulty)
	case CauseDeadline:
		return where + " takes longer than limit message_deadline; raise it" + orElse
	case CauseDepth:
		return "the calls in " + where + " are nested deeper than limit depth; raise it" + orElse
	case CauseMemory:
		return where + " needs more than limit memory; raise it"
	case CauseError:
		return e.refusal()
	case CausePool:
		return e.Detail
	}
	if strings.Contains(e.Detail, tooEarlyInGo) {
		return where + " was called before the Go runtime had started, for there is no _initialize; build it with -buildmode=c-shared"
	}
	return e.Detail + faulty
}

// The remedies, for who writes the plugin and who uses it.
const (
	faulty = "; that is a fault of the plugin: if it is yours, correct it; else use another version of it"
	orElse = ", or correct the plugin if it is yours, or use another version of it"
)

// tooEarlyInGo is what Go says in a program that was built without
// -buildmode=c-shared.
const tooEarlyInGo = "wasmexport function called before runtime initialization"

// refusal is the sentence about a plugin that does not want to start: its own
// words, where it has any.
func (e *startError) refusal() string {
	if strings.Contains(e.Detail, "it wrote: ") {
		return e.Detail
	}
	return e.Detail + "; it does not say why: check its config block by its documentation"
}

// notStarted tells of a Fault as a startError.
func notStarted(err error) error {
	var f *Fault
	if errors.As(err, &f) {
		return &startError{f}
	}
	return err
}
