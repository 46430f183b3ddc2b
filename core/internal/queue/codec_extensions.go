// SPDX-License-Identifier: Apache-2.0

package queue

import "github.com/postroad-mail/postroad/core/mail"

// The flags of an envelope since version 4.
const (
	flagBinary = 1 << iota
	flagRequireTLS
	flagTLSOptional
	flagMTPriority
	flagDeliverBy
	flagReturnThen // by-mode R
	flagTrace
)

// appendExtensions appends what version 4 added to an envelope.
func appendExtensions(b []byte, e *mail.Envelope) []byte {
	by := e.DeliverBy
	b = append(b, bits(e.Binary, e.RequireTLS, e.TLSOptional, e.MTPriority, by.Given(), by.Return, by.Trace))
	if by.Given() {
		b = appendTime(b, by.At)
	}
	return b
}

// extensions reads what appendExtensions wrote.
func (d *decoder) extensions(e *mail.Envelope) {
	flags := d.byte()
	has := func(flag byte) bool { return flags&flag != 0 }
	e.Binary, e.RequireTLS, e.TLSOptional, e.MTPriority = has(flagBinary), has(flagRequireTLS), has(flagTLSOptional), has(flagMTPriority)
	if has(flagDeliverBy) {
		e.DeliverBy = mail.DeliverBy{At: d.time(), Return: has(flagReturnThen), Trace: has(flagTrace)}
	}
}
