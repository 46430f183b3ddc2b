// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"strconv"
	"time"

	"golang.org/x/net/idna"

	"github.com/postroad-mail/postroad/core/mail"
)

// transaction is one Job on its way: a list of commands, of which some are
// written and some answered, and what has become of each recipient.
//
// The commands are RSET if the one before left something behind, MAIL, one RCPT
// for each recipient that is still open, and DATA.
type transaction struct {
	job      *Job
	outcomes []mail.Outcome // parallel to job.Recipients; open while Reply.Code is 0
	rcpts    []int          // indices in outcomes, in the order of their RCPT
	paths    []string       // parallel to rcpts: what RCPT says
	sender   string         // what MAIL says
	utf8     bool           // MAIL says SMTPUTF8
	rset     int            // 1: RSET comes first
	header   []byte         // what is sent: the job's, or what it was made into
	body     mail.Body
	bodyType string // value of BODY=, empty for none
	chunk    bool   // the content goes in one BDAT, not by DATA
	tls      bool   // MAIL says REQUIRETLS
	now      time.Time
	release  func() // frees the body; nil: nothing

	written, answered int // commands
	mailTaken         bool
	accepted          int  // recipients
	goAhead           bool // DATA was answered with 354
}

// reset makes t ready for job. The outcomes are the caller's in the end, so
// they are made anew; the rest is used again.
func (t *transaction) reset(job *Job, rset bool) {
	*t = transaction{job: job, header: job.Header, body: job.Body, outcomes: make([]mail.Outcome, len(job.Recipients)), rcpts: t.rcpts[:0], paths: t.paths[:0]}
	for i, n := range job.Recipients {
		t.outcomes[i].Recipient = n
	}
	if rset {
		t.rset = 1
	}
}

// done hands the job back, and frees what the transaction holds.
func (t *transaction) done(done Done, outcomes []mail.Outcome) {
	if t.release != nil {
		t.release()
		t.release = nil
	}
	done(t.job, outcomes)
}

// size returns the length of the content in octets.
func (t *transaction) size() int64 {
	n := int64(len(t.header))
	if t.body != nil {
		n += t.body.Size()
	}
	return n
}

// envelope is the number of commands before DATA.
func (t *transaction) envelope() int { return t.rset + 1 + len(t.rcpts) }

// total is the number of commands: BDAT is none of them, for it goes out when the
// others are answered.
func (t *transaction) total() int {
	if t.chunk {
		return t.envelope()
	}
	return t.envelope() + 1
}

// stuck reports whether all commands so far are answered and no more makes
// sense: MAIL was refused, or every recipient.
func (t *transaction) stuck() bool {
	if t.answered < t.written || t.answered <= t.rset {
		return false
	}
	return !t.mailTaken || t.accepted == 0 && t.answered >= t.envelope()
}

// command appends the command at that position to b.
func (t *transaction) command(b []byte, at int, ext *extensions) []byte {
	switch rcpt := at - t.rset - 1; {
	case at < t.rset:
		b = append(b, "RSET"...)
	case rcpt < 0:
		b = t.mail(b, ext)
	case rcpt < len(t.rcpts):
		b = append(b, "RCPT TO:<"...)
		b = append(b, t.paths[rcpt]...)
		b = append(b, '>')
		if ext.dsn {
			b = appendWishes(b, t.job.Envelope, t.outcomes[t.rcpts[rcpt]].Recipient)
		}
		if v := t.validSince(rcpt); ext.validSince && v.Given() {
			b = appendParam(b, "RRVS", v.String())
		}
	default:
		b = append(b, "DATA"...)
	}
	return append(b, '\r', '\n')
}

// mail appends MAIL with the parameters that the host knows.
func (t *transaction) mail(b []byte, ext *extensions) []byte {
	b = append(b, "MAIL FROM:<"...)
	b = append(b, t.sender...)
	b = append(b, '>')
	if ext.size {
		b = append(b, " SIZE="...)
		b = strconv.AppendInt(b, t.size(), 10)
	}
	b = appendParam(b, "BODY", t.bodyType)
	if t.utf8 {
		b = append(b, " SMTPUTF8"...)
	}
	if ext.dsn {
		b = appendReturn(b, t.job.Envelope)
	}
	return t.extend(b, ext)
}

// timeout returns how long the reply to the next unanswered command may take.
func (t *transaction) timeout(o *Timeouts) time.Duration {
	switch {
	case t.answered <= t.rset:
		return o.Mail
	case t.answered < t.envelope():
		return o.Rcpt
	}
	return o.Data
}

// take takes the reply to the next unanswered command. It fails when the reply
// cannot be one to that command: then we and the host do not mean the same.
func (t *transaction) take(r *reply, c *Conn) error {
	at := t.answered
	positive := r.code/100 == 2
	if at < t.rset && !positive || at == t.envelope() && positive {
		return errOutOfStep
	}
	t.answered++
	switch {
	case at < t.rset:
	case at == t.rset:
		t.mailTaken = positive
		if !t.mailTaken {
			t.settleOpen(c.spoken(r))
		}
	case at < t.envelope():
		t.takeRcpt(at-t.rset-1, r, c)
	case r.code/100 == 3:
		t.goAhead = true
	default:
		t.settleOpen(c.spoken(r))
	}
	return nil
}

func (t *transaction) takeRcpt(rcpt int, r *reply, c *Conn) {
	if !t.mailTaken {
		return // 503, and MAIL's reply says why
	}
	if r.code/100 == 2 {
		t.accepted++
		return
	}
	t.settle(t.rcpts[rcpt], c.spoken(r))
}

// untouched reports whether the host has not even answered MAIL.
func (t *transaction) untouched() bool { return t.answered <= t.rset }

// settle sets the outcome of one recipient.
func (t *transaction) settle(i int, o mail.Outcome) {
	o.Recipient = t.outcomes[i].Recipient
	t.outcomes[i] = o
}

// settleOpen sets the outcome of all recipients that have none.
func (t *transaction) settleOpen(o mail.Outcome) {
	for i := range t.outcomes {
		if t.outcomes[i].Reply.Code == 0 {
			t.settle(i, o)
		}
	}
}

// address sets what MAIL and RCPT say, and settles the recipients that this
// host cannot be told about.
func (t *transaction) address(c *Conn) {
	env := t.job.Envelope
	var ok bool
	if t.sender, ok = c.path(env.Sender); !ok {
		t.settleOpen(c.ours(needsUTF8))
		return
	}
	if !safePath(t.sender) {
		t.settleOpen(c.ours(badSender))
		return
	}
	if env.SMTPUTF8 && !c.ext.utf8 && !ascii(t.header) {
		t.settleOpen(c.ours(needsUTF8))
		return
	}
	t.utf8 = c.ext.utf8 && (env.SMTPUTF8 || !env.Sender.ASCII())
	for i, n := range t.job.Recipients {
		t.addressRcpt(i, env.Recipients[n].Address, c)
	}
}

func (t *transaction) addressRcpt(i int, a mail.Address, c *Conn) {
	path, ok := c.path(a)
	v := t.job.Envelope.Recipients[t.outcomes[i].Recipient].ValidSince
	switch {
	case v.Given() && !v.Continue && !c.ext.validSince:
		t.settle(i, c.ours(needsRRVS))
	case !ok:
		t.settle(i, c.ours(needsUTF8))
	case path == "" || !safePath(path):
		t.settle(i, c.ours(badRecipient))
	default:
		t.utf8 = t.utf8 || c.ext.utf8 && !a.ASCII()
		t.rcpts = append(t.rcpts, i)
		t.paths = append(t.paths, path)
	}
}

// Replies that are ours: the host was never asked.
var (
	needsUTF8    = mail.Reply{Code: 553, Enhanced: mail.Enhanced{5, 6, 7}, Text: "the next host does not support SMTPUTF8, which this message needs"}
	badSender    = mail.Reply{Code: 553, Enhanced: mail.Enhanced{5, 1, 7}, Text: "the sender address cannot be sent by SMTP"}
	badRecipient = mail.Reply{Code: 553, Enhanced: mail.Enhanced{5, 1, 3}, Text: "the recipient address cannot be sent by SMTP"}
	tooLarge     = mail.Reply{Code: 552, Enhanced: mail.Enhanced{5, 3, 4}, Text: "the message is larger than the next host takes"}
)

// path returns a as this host can be told. Without SMTPUTF8 a domain becomes
// A-labels (RFC 5890 §2.3.2.1), which mean the same; for a local part there is
// no such way, and the result is false.
func (c *Conn) path(a mail.Address) (string, bool) {
	if a.ASCII() || c.ext.utf8 {
		return string(a), true
	}
	if local := a.Local(); mail.Address(local).ASCII() {
		domain, err := idna.Lookup.ToASCII(a.Domain())
		return local + "@" + domain, err == nil
	}
	return "", false
}

// safePath reports whether a path stays one path on the wire: no control
// characters, and no space or angle bracket outside a quoted string. Addresses
// were checked when they came in; this is the last door.
func safePath(p string) bool {
	quoted := false
	for i := 0; i < len(p); i++ {
		switch ch := p[i]; {
		case ch < ' ' || ch == 0x7f:
			return false
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case !quoted && (ch == ' ' || ch == '<' || ch == '>'):
			return false
		}
	}
	return !quoted
}

func ascii(b []byte) bool {
	for _, ch := range b {
		if ch >= 0x80 {
			return false
		}
	}
	return true
}
