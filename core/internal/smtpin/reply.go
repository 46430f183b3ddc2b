// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"strconv"

	"github.com/emersion/go-smtp"
	"github.com/hashicorp/go-hclog"

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

// level is how loudly the log speaks of r. What a client can have as often as
// it likes is for debugging; the Observer counts it.
func (r *refusal) level() hclog.Level {
	switch r.reason {
	case ReasonFault:
		return hclog.Warn
	case ReasonBareNewline, ReasonLineLength, ReasonSize, ReasonTLS, ReasonAuth, ReasonEarly, ReasonErrors, ReasonIdle, ReasonTimeout, ReasonSlow, ReasonChunks, ReasonProxy:
		return hclog.Info
	}
	return hclog.Debug
}

// maxReplyLine is the limit of a reply line with its CRLF (RFC 5321 §4.5.3.1.5).
const maxReplyLine = 512

// wireText returns r as one line with its CRLF. The text comes from stages and
// is made harmless: anything but printable ASCII is replaced, too long is cut.
func wireText(r *mail.Reply) string {
	b := make([]byte, 0, 128)
	b = strconv.AppendInt(b, int64(r.Code), 10)
	b = append(b, ' ')
	b = append(b, enhanced(r).String()...)
	b = append(b, ' ')
	for i := 0; i < len(r.Text) && len(b) < maxReplyLine-2; i++ {
		b = append(b, printable(r.Text[i]))
	}
	return string(append(b, '\r', '\n'))
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

// checked returns what the Backend replied, if that is a final reply or none at
// all.
func checked(r *mail.Reply) *mail.Reply {
	if r == nil || r.Positive() || r.Temporary() || r.Permanent() {
		return r
	}
	return mail.OurFault(r)
}

func accepted(r *mail.Reply) bool { return r == nil || r.Positive() }

// smtpError is a negative r for go-smtp, which knows nothing but its own type.
func smtpError(r *mail.Reply) error {
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.EnhancedCode(enhanced(r)), Message: "refused"}
}

// The usual replies, as they go over the wire.
const (
	replyOK    = "250 2.0.0 ok\r\n"
	replyMail  = "250 2.1.0 ok\r\n"
	replyRcpt  = "250 2.1.5 ok\r\n"
	replyChunk = "250 2.0.0 chunk received\r\n"
	replyData  = "354 end data with <CR><LF>.<CR><LF>\r\n"
	replyVrfy  = "252 2.1.5 not verified, send mail and see\r\n"
	replyHelp  = "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP STARTTLS AUTH QUIT; see RFC 5321\r\n"
	replyTLS   = "220 2.0.0 go ahead\r\n"
)
