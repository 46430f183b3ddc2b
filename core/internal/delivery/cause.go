// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"strings"
	"unicode"

	"github.com/postroad-mail/postroad/core/mail"
)

// causeMark stands between what anybody may read of a deferral and its cause,
// which is for the operator. The queue keeps both in the reply's text.
const causeMark = "; cause: "

// kept is an outcome as the queue keeps it: a deferral by a fault that the reply
// does not explain, which is mail.OurFault's 4.3.0, with its cause. Of a panic
// that is the first line: the stack is in the log.
func kept(o mail.Outcome) mail.Outcome {
	if cause := o.Reply.Cause; o.Status == mail.Deferred && !o.Remote && cause != nil && o.Reply.Enhanced == (mail.Enhanced{4, 3, 0}) {
		why, _, _ := strings.Cut(cause.Error(), "\n")
		o.Reply.Text = oneLine(o.Reply.Text + causeMark + harmless(why))
	}
	return o
}

// harmless replaces control characters: a cause may hold a stranger's text.
func harmless(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// public is an outcome that the queue kept, as stages and senders hear of it.
func public(o mail.Outcome) mail.Outcome {
	if !o.Remote {
		o.Reply.Text, _, _ = strings.Cut(o.Reply.Text, causeMark)
	}
	return o
}

// Why says to the operator what an outcome that the queue kept was about: the
// reply, or the cause where the fault was ours.
func Why(o mail.Outcome) string {
	if _, cause, ok := strings.Cut(o.Reply.Text, causeMark); ok && !o.Remote {
		return cause
	}
	return o.Reply.Line()
}
