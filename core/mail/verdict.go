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

// The phases that stages can subscribe to: those of the session, of the
// transaction, of delivery, and two without a message.
const (
	PhaseConnect    Phase = 0  // before the banner
	PhaseTLS        Phase = 1  // after STARTTLS or implicit TLS
	PhaseHelo       Phase = 2  // after EHLO or HELO
	PhaseAuth       Phase = 3  // after AUTH
	PhaseMail       Phase = 4  // after MAIL FROM
	PhaseRcpt       Phase = 5  // after each RCPT TO; the argument is the recipient's index
	PhaseData       Phase = 6  // after DATA, before 354
	PhaseHeaders    Phase = 7  // the header section is complete
	PhaseBody       Phase = 8  // a chunk of the body arrived; the argument is its length
	PhaseMessage    Phase = 9  // end of data, the whole message is readable
	PhaseQueued     Phase = 10 // after the durable enqueue
	PhaseRoute      Phase = 16 // before a next hop is chosen; the argument is the recipient's index
	PhasePredeliver Phase = 17 // before a delivery attempt; the argument is its number
	PhaseResult     Phase = 18 // after a delivery attempt; the argument is its number
	PhaseBounce     Phase = 19 // before a report is built; the argument is the recipient's index
	PhaseTick       Phase = 24 // at an interval, without a message
	PhaseReset      Phase = 31 // the transaction is over or aborted
)

// phase is what is fixed about a phase: its name and the verdicts it allows,
// bit n for verdict n.
type phase struct {
	name  string
	allow uint8
}

const (
	allowSession  = 1<<Continue | 1<<Accept | 1<<Reject | 1<<Tempfail
	allowRcpt     = allowSession | 1<<Discard | 1<<Defer
	allowRefuse   = 1<<Continue | 1<<Reject | 1<<Tempfail
	allowHeaders  = allowSession | 1<<Discard | 1<<Quarantine
	allowMessage  = allowHeaders | 1<<Defer
	allowDelivery = allowRefuse | 1<<Discard | 1<<Defer
)

func (p Phase) info() phase {
	switch p {
	case PhaseConnect:
		return phase{"connect", allowSession}
	case PhaseTLS:
		return phase{"tls", allowRefuse}
	case PhaseHelo:
		return phase{"helo", allowSession}
	case PhaseAuth:
		return phase{"auth", allowSession}
	case PhaseMail:
		return phase{"mail", allowSession}
	case PhaseRcpt:
		return phase{"rcpt", allowRcpt}
	case PhaseData:
		return phase{"data", allowRefuse}
	case PhaseHeaders:
		return phase{"headers", allowHeaders}
	case PhaseBody:
		return phase{"body", allowRefuse | 1<<Skip}
	case PhaseMessage:
		return phase{"message", allowMessage}
	case PhaseQueued:
		return phase{"queued", 1 << Continue}
	case PhaseRoute:
		return phase{"route", allowDelivery}
	case PhasePredeliver:
		return phase{"predeliver", allowDelivery}
	case PhaseResult:
		return phase{"result", 1<<Continue | 1<<Reject | 1<<Defer}
	case PhaseBounce:
		return phase{"bounce", 1<<Continue | 1<<Discard}
	case PhaseTick:
		return phase{"tick", 1 << Continue}
	case PhaseReset:
		return phase{"reset", 1 << Continue}
	}
	return phase{fmt.Sprintf("phase(%d)", int32(p)), 1 << Continue}
}

// AllPhases returns every phase in the order of a message's way.
func AllPhases() []Phase {
	return []Phase{PhaseConnect, PhaseTLS, PhaseHelo, PhaseAuth, PhaseMail, PhaseRcpt, PhaseData, PhaseHeaders,
		PhaseBody, PhaseMessage, PhaseQueued, PhaseRoute, PhasePredeliver, PhaseResult, PhaseBounce, PhaseTick, PhaseReset}
}

// String returns the phase's name as logs, metrics and HCL spell it.
func (p Phase) String() string { return p.info().name }

// PhaseByName returns the phase that is spelled so.
func PhaseByName(name string) (Phase, bool) {
	for _, p := range AllPhases() {
		if p.info().name == name {
			return p, true
		}
	}
	return 0, false
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
func (p Phase) Allowed(v Verdict) bool { return v >= 0 && v <= Skip && p.info().allow>>uint(v)&1 != 0 }
