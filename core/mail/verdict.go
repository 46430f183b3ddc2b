// SPDX-License-Identifier: Apache-2.0

package mail

import "fmt"

// Verdict is what a stage says of a message, or of one recipient. The numbers
// are those of the plugin ABI.
type Verdict int32

// The verdicts. Reject and Tempfail are answered with a Reply; Quarantine and
// Defer accept the message and hold it in the queue; Discard accepts and drops.
const (
	Continue   Verdict = 0 // no opinion: the next stage
	Accept     Verdict = 1 // skip the remaining stages of this phase
	Reject     Verdict = 2 // refuse for good, 5xx
	Tempfail   Verdict = 3 // refuse for now, 4xx
	Discard    Verdict = 4 // answer 250 and drop
	Quarantine Verdict = 5 // accept, keep aside until released or expired
	Defer      Verdict = 6 // accept, hold in the queue until released
	Skip       Verdict = 7 // no more calls of this stage in this phase of the transaction
)

var verdictNames = [...]string{"continue", "accept", "reject", "tempfail", "discard", "quarantine", "defer", "skip"}

// String returns the verdict's name as logs, metrics and HCL spell it.
func (v Verdict) String() string {
	if v >= 0 && int(v) < len(verdictNames) {
		return verdictNames[v]
	}
	return fmt.Sprintf("verdict(%d)", int32(v))
}

// Final reports whether the verdict ends a chain of stages.
func (v Verdict) Final() bool {
	return v == Accept || v == Reject || v == Tempfail || v == Discard
}

// Phase is a moment in a message's way at which stages are called. The numbers
// are those of the plugin ABI and are never reused.
type Phase int32

// The phases that stages can subscribe to.
const (
	PhaseMail    Phase = 4 // after MAIL FROM
	PhaseRcpt    Phase = 5 // after each RCPT TO; the argument is the recipient's index
	PhaseMessage Phase = 9 // end of data, the whole message is readable
)

// String returns the phase's name as logs, metrics and HCL spell it.
func (p Phase) String() string {
	switch p {
	case PhaseMail:
		return "mail"
	case PhaseRcpt:
		return "rcpt"
	case PhaseMessage:
		return "message"
	}
	return fmt.Sprintf("phase(%d)", int32(p))
}

// PhaseSet is a bitmask of phases: bit n stands for phase n.
type PhaseSet uint64

// Phases returns the set of the given phases.
func Phases(ps ...Phase) PhaseSet {
	var s PhaseSet
	for _, p := range ps {
		s |= 1 << uint(p)
	}
	return s
}

// Has reports whether p is in the set.
func (s PhaseSet) Has(p Phase) bool { return p >= 0 && p < 64 && s&(1<<uint(p)) != 0 }

// Allowed reports whether a stage may return v in phase p.
func (p Phase) Allowed(v Verdict) bool {
	switch p {
	case PhaseMail:
		return v >= Continue && v <= Tempfail
	case PhaseRcpt:
		return v >= Continue && v <= Discard || v == Defer
	case PhaseMessage:
		return v >= Continue && v <= Defer
	}
	return v == Continue
}
