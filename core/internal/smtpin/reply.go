// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"strconv"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/mail"
)

// refusal is a negative reply with its reason for the metrics. As an error it
// is found by mail.ReplyOf.
type refusal struct {
	reason string
	reply  *mail.Reply
}

func refuse(reason string, code int, subject, detail int, text string) *refusal {
	return &refusal{reason, mail.NewReply(code, mail.Enhanced{code / 100, subject, detail}, text)}
}

func (r *refusal) Error() string { return r.reply.Line() }

// Unwrap gives the reply, which is an error too.
func (r *refusal) Unwrap() error { return r.reply }

// maxReplyLine is the limit of a reply line with its CRLF (RFC 5321 §4.5.3.1.5).
const maxReplyLine = 512

// appendReply appends r as one line. The text comes from stages and is made
// harmless: anything but printable ASCII is replaced, too long is cut.
func appendReply(out []byte, r *mail.Reply) []byte {
	start := len(out)
	out = strconv.AppendInt(out, int64(r.Code), 10)
	if r.Code/100 != 3 {
		out = append(out, ' ')
		out = append(out, enhanced(r).String()...)
	}
	out = append(out, ' ')
	for i := 0; i < len(r.Text) && len(out)-start < maxReplyLine-2; i++ {
		out = append(out, printable(r.Text[i]))
	}
	return append(out, '\r', '\n')
}

func printable(c byte) byte {
	if c < ' ' || c > '~' {
		return '?'
	}
	return c
}

// enhanced returns r's enhanced code, or X.0.0 when it has none that fits
// (RFC 2034 §4 wants one in every 2xx, 4xx and 5xx reply).
func enhanced(r *mail.Reply) mail.Enhanced {
	e := r.Enhanced
	if e[0] != r.Code/100 || e[1] < 0 || e[1] > 999 || e[2] < 0 || e[2] > 999 {
		return mail.Enhanced{r.Code / 100, 0, 0}
	}
	return e
}

// checked returns what the Backend replied, if that is a final reply at all.
// Without a reply it returns other.
func checked(r, other *mail.Reply) *mail.Reply {
	switch {
	case r == nil:
		return other
	case r.Positive() || r.Temporary() || r.Permanent():
		return r
	}
	return mail.OurFault(r)
}

// smtpError is a negative r for go-smtp, which knows nothing but its own type.
func smtpError(r *mail.Reply) error {
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode(enhanced(r)), Message: "refused"}
}

func ok(detail ...int) *mail.Reply {
	e := mail.Enhanced{2, 0, 0}
	copy(e[1:], detail)
	return mail.NewReply(250, e, "ok")
}
