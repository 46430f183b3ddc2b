// SPDX-License-Identifier: Apache-2.0

package smtp

import "github.com/postroad-mail/postroad/core/mail"

// appendReturn appends RET and ENVID as MAIL of our client had them
// (RFC 3461 §5.2.1).
func appendReturn(b []byte, env *mail.Envelope) []byte {
	b = appendParam(b, "RET", env.Return.String())
	id := mail.Xtext(env.EnvelopeID)
	if len(id) > mail.MaxEnvelopeID {
		return b // not reached: it came in as long at most
	}
	return appendParam(b, "ENVID", id)
}

// appendWishes appends NOTIFY and ORCPT of a recipient. When a stage wants no
// reports, the next host makes none either. An address that a stage has changed
// takes the original one along, so that the sender knows whom a report is about
// (RFC 3461 §5.2.1).
func appendWishes(b []byte, env *mail.Envelope, rcpt int) []byte {
	r := &env.Recipients[rcpt]
	notify, orcpt := r.Notify, r.ORCPT
	if env.NoDSN {
		notify = mail.NotifyNever
	}
	if orcpt == "" && r.Original != "" && r.Original != r.Address {
		orcpt = mail.TypedAddress(r.Original)
	}
	b = appendParam(b, "NOTIFY", notify.String())
	if orcpt == "" {
		return b
	}
	return appendParam(b, "ORCPT", mail.FormatORCPT(orcpt))
}

// appendParam appends a parameter that has a value.
func appendParam(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return append(append(append(append(b, ' '), key...), '='), value...)
}
