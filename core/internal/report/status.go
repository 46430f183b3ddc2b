// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// status is the part for programs: a group of fields about the message, and one
// about each recipient (RFC 3464 §2). To a sender with SMTPUTF8 it goes as
// message/global-delivery-status, when it has to (RFC 6533 §3).
func (d *dsn) status() part {
	b := field(nil, "Reporting-MTA", "dns; "+d.Hostname)
	b = field(b, "X-Postroad-Message", d.id)
	if !d.Envelope.Received.IsZero() {
		b = field(b, "Arrival-Date", d.Envelope.Received.Format(time.RFC1123Z))
	}
	for _, o := range d.Failed {
		b = append(b, '\r', '\n')
		b = d.recipientStatus(b, o)
	}
	if ascii(string(b)) {
		return part{"Delivery report", "message/delivery-status", "7bit", b}
	}
	return part{"Delivery report", "message/global-delivery-status", "8bit", b}
}

func (d *dsn) recipientStatus(b []byte, o mail.Outcome) []byte {
	r := d.recipient(o)
	if r.Original != "" && r.Original != r.Address {
		b = field(b, "Original-Recipient", d.typed(r.Original))
	}
	b = field(b, "Final-Recipient", d.typed(r.Address))
	b = field(b, "Action", "failed")
	b = field(b, "Status", statusCode(o.Reply))
	if o.Remote && o.NextHop != "" {
		b = field(b, "Remote-MTA", "dns; "+cleanASCII(o.NextHop))
	}
	b = field(b, "Diagnostic-Code", d.diagnostic(o))
	return field(b, "Last-Attempt-Date", d.Now.Format(time.RFC1123Z))
}

// typed returns an address with its address type (RFC 3464 §2.3.1, RFC 6533
// §3): utf-8 as it stands for who understands it, otherwise in ASCII.
func (d *dsn) typed(a mail.Address) string {
	switch {
	case a.ASCII():
		return "rfc822; " + string(a)
	case d.utf8:
		return "utf-8; " + string(a)
	}
	return "utf-8; " + xtext(string(a))
}

// xtext encodes an address as utf-8-addr-xtext (RFC 6533 §3).
func xtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '\\' || r == '+' || r == '=' {
			fmt.Fprintf(&b, "\\x{%02X}", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// diagnostic says why: in the host's words, or in ours.
func (d *dsn) diagnostic(o mail.Outcome) string {
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

// statusCode returns the enhanced status code, made up from the reply code when
// the host gave none (RFC 3463 §2).
func statusCode(r mail.Reply) string {
	e := r.Enhanced
	if e[0] == 4 || e[0] == 5 {
		return e.String()
	}
	if r.Code/100 == 4 {
		return "4.0.0"
	}
	return "5.0.0"
}
