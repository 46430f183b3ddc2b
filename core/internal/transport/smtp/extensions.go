// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"errors"
	"strconv"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Replies that are ours, for what a host cannot be asked for.
var (
	needsDeliverBy = mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 3, 3}, Text: "the next host does not offer DELIVERBY, and the message is to come back when it is late (RFC 2852)"}
	needsRRVS      = mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 19}, Text: "the next host does not offer RRVS: nobody can say since when the mailbox is the recipient's (RFC 7293)"}
	unconvertible  = mail.Reply{Code: 554, Enhanced: mail.Enhanced{5, 6, 3}, Text: "the next host cannot take the message as it is, and it cannot be converted"}
)

// Limits returns the most recipients of one transaction, and the most domains that
// they may have, as the host said (RFC 9422); 0 for no limit.
func (c *Conn) Limits() (rcpts, domains int) { return c.ext.limits.rcpts, c.ext.limits.domains }

// full reports that the host wants no more transactions on this connection
// (RFC 9422 §4.1).
func (c *Conn) full() bool { return c.ext.limits.mails > 0 && c.mails >= c.ext.limits.mails }

// fit makes the content of t one that the host can take. When that cannot be, it
// says why and returns false.
func (c *Conn) fit(t *transaction) (why mail.Reply, ok bool) {
	env := t.job.Envelope
	switch {
	case env.RequireTLS && !env.Sender.IsNull() && !c.mayRequireTLS():
		return needsRequireTLS, false // not reached: such mail has connections of its own
	case env.DeliverBy.Return && !c.ext.deliverBy:
		return needsDeliverBy, false
	}
	t.tls = env.RequireTLS && c.mayRequireTLS()
	t.now = c.client.o.Now()
	t.sayValidSince(&c.ext)
	return c.fitBody(t)
}

// fitBody decides how the body travels.
func (c *Conn) fitBody(t *transaction) (why mail.Reply, ok bool) {
	env := t.job.Envelope
	if c.ext.eightBit && (env.EightBit || env.Binary) {
		t.bodyType = "8BITMIME"
	}
	switch {
	case env.Binary && c.ext.chunking && c.ext.binary:
		t.bodyType, t.chunk = "BINARYMIME", true
		t.header = wellFormed(t.header)
		return why, true
	case !env.Binary && (c.ext.eightBit || !eightBit(t.body)):
		return why, true
	case c.client.o.Convert != nil:
		return c.convert(t)
	}
	return unconvertible, !env.Binary
}

// convert has the content converted. Octets above 127 that nobody announced go on as
// they came when nothing else can be done: the host before us sent them so.
func (c *Conn) convert(t *transaction) (why mail.Reply, ok bool) {
	env := t.job.Envelope
	m, err := c.client.o.Convert(t.header, t.body, c.ext.eightBit)
	switch {
	case err == nil:
		t.header, t.body, t.release = m.Header, m.Body, m.Release
		return why, true
	case !errors.Is(err, ErrUnconvertible):
		return *mail.OurFault(err), false
	}
	why = unconvertible
	why.Text = printable([]byte(why.Text + ": " + err.Error()))
	return why, !env.Binary && !env.EightBit
}

// eightBit reports whether b has octets above 127. One that cannot be read is
// found out when it is sent.
func eightBit(b mail.Body) bool {
	if mem, ok := b.(mail.BytesBody); ok || b == nil {
		return !ascii(mem)
	}
	piece := make([]byte, min(b.Size(), pieceSize))
	for off := int64(0); off < b.Size(); {
		n, _ := b.ReadAt(piece[:min(int64(len(piece)), b.Size()-off)], off)
		if n == 0 {
			return false
		}
		if !ascii(piece[:n]) {
			return true
		}
		off += int64(n)
	}
	return false
}

// extend appends the parameters of MAIL that belong to extensions of their own.
func (t *transaction) extend(b []byte, ext *extensions) []byte {
	env := t.job.Envelope
	if t.tls {
		b = append(b, " REQUIRETLS"...)
	}
	if ext.deliverBy && env.DeliverBy.Given() {
		b = appendParam(b, "BY", env.DeliverBy.String(t.now))
	}
	if ext.priority && env.MTPriority {
		b = appendParam(b, "MT-PRIORITY", mail.FormatMTPriority(env.Priority))
	}
	return b
}

// validSince returns the RRVS of the recipient with that RCPT.
func (t *transaction) validSince(rcpt int) mail.ValidSince {
	return t.job.Envelope.Recipients[t.outcomes[t.rcpts[rcpt]].Recipient].ValidSince
}

// sayValidSince puts what a host without RRVS cannot be told into a field of the
// header, for a recipient who may go on without it (RFC 7293 §3.1). Where the message
// goes to several, each would read of the other, and the field is left out.
func (t *transaction) sayValidSince(ext *extensions) {
	if ext.validSince || len(t.job.Recipients) != 1 {
		return
	}
	r := &t.job.Envelope.Recipients[t.job.Recipients[0]]
	if v := r.ValidSince; v.Given() && v.Continue && r.Address.ASCII() {
		field := "Require-Recipient-Valid-Since: " + string(r.Address) + ";\r\n " + v.At.Format(time.RFC1123Z) + "\r\n"
		t.header = append([]byte(field), t.header...)
	}
}

// appender takes content into a buffer, in pieces.
type appender interface {
	append(dst, src []byte) []byte
}

// plainly takes content as it is.
type plainly struct{}

func (plainly) append(dst, src []byte) []byte { return append(dst, src...) }

// wellFormed returns a header section with its line ends repaired, as DATA would
// have sent it, but without dots before dots.
func wellFormed(header []byte) []byte {
	s := stuffer{plain: true}
	return s.end(s.append(make([]byte, 0, len(header)+2), header))
}

// binary writes the content as one chunk (RFC 3030 §2): the header section is lines,
// and the body what it is. The end of it stays in the buffer.
func (c *Conn) binary(t *transaction, piece []byte) error {
	c.wire.out = append(c.wire.out, "BDAT "...)
	c.wire.out = strconv.AppendInt(c.wire.out, t.size(), 10)
	c.wire.out = append(c.wire.out, " LAST\r\n"...)
	if err := c.stuff(plainly{}, t.header); err != nil {
		return err
	}
	return c.body(plainly{}, t.body, piece)
}
