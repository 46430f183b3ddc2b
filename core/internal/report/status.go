// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// status is the part for programs: a group of fields about the message, and one
// about each recipient (RFC 3464 §2). To a sender with SMTPUTF8 it goes as
// message/global-delivery-status, when it has to (RFC 6533 §3).
func (d *dsn) status() part {
	var b []byte
	if d.Envelope.EnvelopeID != "" {
		b = field(b, "Original-Envelope-Id", cleanASCII(d.Envelope.EnvelopeID))
	}
	b = field(b, "Reporting-MTA", "dns; "+d.Hostname)
	b = field(b, "X-Postroad-Message", d.id)
	if !d.Envelope.Received.IsZero() {
		b = field(b, "Arrival-Date", d.Envelope.Received.Format(time.RFC1123Z))
	}
	if by := d.Envelope.DeliverBy; by.Given() { // RFC 2852 §5
		b = field(b, "Deliver-By-Date", by.At.Format(time.RFC1123Z))
	}
	for i := range d.Told {
		b = append(b, '\r', '\n')
		b = d.recipientStatus(b, &d.Told[i])
	}
	if ascii(string(b)) {
		return part{"Delivery report", "message/delivery-status", "7bit", b}
	}
	return part{"Delivery report", "message/global-delivery-status", "8bit", b}
}

// recipientStatus appends the fields about one recipient. Whom the sender wrote
// to is said when ORCPT said it, and only then (RFC 3461 §6.3).
func (d *dsn) recipientStatus(b []byte, o *mail.Told) []byte {
	r := d.recipient(o)
	if r.ORCPT != "" {
		b = field(b, "Original-Recipient", d.typed(r.ORCPT))
	}
	b = field(b, "Final-Recipient", d.typed(mail.TypedAddress(r.Address)))
	b = field(b, "Action", o.Action.String())
	b = field(b, "Status", d.statusCode(o))
	if o.Remote && o.NextHop != "" {
		b = field(b, "Remote-MTA", "dns; "+cleanASCII(o.NextHop))
	}
	if o.Reply.Code != 0 && o.Action != mail.ActionDelivered {
		b = field(b, "Diagnostic-Code", d.diagnostic(&o.Outcome))
	}
	b = field(b, "Last-Attempt-Date", d.Now.Format(time.RFC1123Z))
	if o.Action == mail.ActionDelayed && !o.Until.IsZero() {
		b = field(b, "Will-Retry-Until", o.Until.Format(time.RFC1123Z))
	}
	return b
}

// typed returns an address as a field has it (RFC 3464 §2.1.2, RFC 6533 §3):
// UTF-8 as it stands for who understands it, otherwise in ASCII.
func (d *dsn) typed(typed string) string {
	kind, address, _ := strings.Cut(typed, ";")
	if !d.utf8 && !ascii(address) {
		address = mail.UTF8Xtext(address)
	}
	return cleanASCII(kind) + "; " + address
}

// diagnostic says why: in the host's words, or in ours.
func (d *dsn) diagnostic(o *mail.Outcome) string {
	kind := "x-postroad; "
	if o.Remote {
		kind = "smtp; "
	}
	line := kind + o.Reply.Line()
	if d.utf8 && utf8.ValidString(line) {
		return line
	}
	return cleanASCII(line)
}

// statusCode returns the enhanced status code, made up where the host gave none,
// or one of another class than the action's (RFC 3463 §2): a host that turns us
// away with 5xx can still mean a delay.
func (d *dsn) statusCode(o *mail.Told) string {
	e, class := o.Reply.Enhanced, o.Reply.Code/100
	switch o.Action {
	case mail.ActionDelayed:
		if class = 4; d.Envelope.DeliverBy.Given() { // RFC 2852: its time is over
			e = mail.Enhanced{4, 4, 7}
		}
	case mail.ActionDelivered, mail.ActionRelayed, mail.ActionExpanded:
		class = 2
	default:
		if e[0] == 4 || e[0] == 5 {
			return e.String()
		}
		class = max(4, min(class, 5))
	}
	if e[0] == class {
		return e.String()
	}
	return mail.Enhanced{class, 0, 0}.String()
}
