// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// released is when a message may first be tried.
func released(env *mail.Envelope) time.Time {
	if env.NotBefore.After(env.Received) {
		return env.NotBefore
	}
	return env.Received
}

// overdue reports that a message was to be delivered by now, or to come back
// (RFC 2852, by-mode R).
func overdue(now time.Time, env *mail.Envelope) bool {
	return env.DeliverBy.Return && !now.Before(env.DeliverBy.At)
}

// limitOf says whose limit a message that has expired has met, when it is its
// sender's.
func limitOf(now time.Time, env *mail.Envelope) string {
	if overdue(now, env) {
		return " (deliver by)"
	}
	return ""
}

// promised is when the sender is to hear that a recipient is late, by by-mode N;
// false without it. NOTIFY=NEVER silences it, other values do not.
func promised(env *mail.Envelope, rcpt int) (time.Time, bool) {
	by := env.DeliverBy
	return by.At, by.Given() && !by.Return && env.Recipients[rcpt].Notify != mail.NotifyNever
}

// traced reports whether the sender hears that a host has taken a recipient: a
// trace was asked for, or the host could not be told by when to deliver it.
func traced(env *mail.Envelope, o *mail.Outcome) bool {
	by := env.DeliverBy
	return by.Given() && o.Remote && (by.Trace || !o.DeliverBy) && env.Recipients[o.Recipient].Notify != mail.NotifyNever
}
