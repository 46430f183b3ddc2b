// SPDX-License-Identifier: Apache-2.0

package pipeline

import "github.com/postroad-mail/postroad/core/mail"

// in tells whether a phase is one of some.
func in(p mail.Phase, some ...mail.Phase) bool {
	for _, q := range some {
		if p == q {
			return true
		}
	}
	return false
}

// The phases in which a hook may do something: the table of functions and
// phases in sdk/abi/reference.md, which stages in Go keep to as guests do.

// replies tells whether a verdict of p can go with a reply.
func replies(p mail.Phase) bool {
	return !in(p, mail.PhaseQueued, mail.PhaseTick, mail.PhaseReset)
}

// readsMessage tells whether the whole message is readable in p.
func readsMessage(p mail.Phase) bool {
	return in(p, mail.PhaseMessage, mail.PhaseQueued, mail.PhasePredeliver)
}

// readsParts tells whether the MIME tree is readable in p.
func readsParts(p mail.Phase) bool { return in(p, mail.PhaseMessage, mail.PhasePredeliver) }

// editsHeader tells whether p may change the message's header.
func editsHeader(p mail.Phase) bool {
	return in(p, mail.PhaseMessage, mail.PhaseHeaders, mail.PhasePredeliver)
}

// editsBody tells whether p may write a new body.
func editsBody(p mail.Phase) bool { return in(p, mail.PhaseMessage, mail.PhasePredeliver) }

// editsSender tells whether p may change the envelope's sender.
func editsSender(p mail.Phase) bool {
	return in(p, mail.PhaseMail, mail.PhaseMessage, mail.PhasePredeliver)
}

// routes tells whether p may choose a route.
func routes(p mail.Phase) bool {
	return in(p, mail.PhaseMessage, mail.PhaseRcpt, mail.PhaseRoute)
}

// scores tells whether p may score.
func scores(p mail.Phase) bool { return p >= mail.PhaseMail && p <= mail.PhaseMessage }

// notes tells whether p may note something, about the session or a message.
func notes(p mail.Phase) bool { return p >= mail.PhaseConnect && p <= mail.PhaseMessage }

// emits tells whether p may inject a message.
func emits(p mail.Phase) bool {
	return in(p, mail.PhaseMessage, mail.PhaseQueued, mail.PhaseResult, mail.PhaseBounce, mail.PhaseTick)
}

// ofSession tells whether p is about a connection, before any transaction.
func ofSession(p mail.Phase) bool { return p >= mail.PhaseConnect && p <= mail.PhaseAuth }

// delivers tells whether p is one of the phases of delivery.
func delivers(p mail.Phase) bool { return p >= mail.PhaseRoute && p <= mail.PhaseBounce }
