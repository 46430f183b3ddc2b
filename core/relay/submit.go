// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// Submission is a message that a program hands in without SMTP.
type Submission struct {
	Listener   string    // whose pipeline and limits apply; empty: the first
	Sender     string    // empty: the null sender
	Recipients []string  // at least one; to any domain
	Content    io.Reader // header and body; LF or CRLF line ends

	// What the sender wants to hear, as SMTP's RET, ENVID, NOTIFY and ORCPT say
	// it (RFC 3461). Values that SMTP would refuse are an error.
	Return     mail.Return             // how much of the message a report on its failure brings back
	EnvelopeID string                  // comes back in reports: printable ASCII, 100 octets at most as xtext
	DSN        map[string]RecipientDSN // by recipient, as it stands in Recipients
}

// RecipientDSN is what the sender wants to hear about one recipient. The zero
// value is what it hears without asking: of failures, and of delays where the
// route warns of them.
type RecipientDSN struct {
	Notify mail.Notify
	ORCPT  string // the recipient as the sender knew it, with its type: "rfc822;bob@old.test"; empty: none
}

// Submit takes a message as a trusted client of a listener would hand it in,
// through all stages, and returns its id after it is durable in the queue. An
// error holds the *mail.Reply that SMTP would have given. There is no session:
// the phases connect, tls, helo and auth are not called, those from mail on are.
func (r *Relay) Submit(ctx context.Context, s Submission) (id string, err error) {
	g := r.acquire()
	defer g.done()
	if s.Listener == "" && len(g.config.Listeners) > 0 {
		s.Listener = g.config.Listeners[0].Name
	}
	if g.listeners[s.Listener] == nil {
		return "", fmt.Errorf("submit: no listener %q", s.Listener)
	}
	if len(s.Recipients) == 0 {
		return "", errors.New("submit: no recipients")
	}
	sender, utf8, err := addresses(&s)
	if err != nil {
		return "", err
	}
	wishes, err := s.wishes(utf8)
	if err != nil {
		return "", err
	}
	d := &door{r: r, listener: s.Listener}
	client := &mail.Client{Protocol: "local", Listener: s.Listener, SessionID: r.newID(), Notes: map[string]string{}}
	_, pl := d.at(g)
	t, reply := d.begin(ctx, g, pl, pl, party{client: client}, sender, wishes)
	if reply != nil {
		return "", reply
	}
	defer t.Close()
	t.trusted = true
	for _, to := range s.Recipients {
		if reply := t.Rcpt(ctx, mail.Address(to), s.wishesFor(to)); reply != nil {
			return "", fmt.Errorf("recipient %s: %w", to, reply)
		}
	}
	if reply := t.Ready(ctx); reply != nil {
		return "", reply
	}
	limit := g.listeners[s.Listener].Limits.MessageSize
	if reply := t.Data(ctx, &atMost{r: &crlfReader{r: s.Content}, left: limit}); !reply.Positive() {
		return "", reply
	}
	return t.tx.Envelope().ID, nil
}

func addresses(s *Submission) (sender mail.Address, utf8 bool, err error) {
	for i, a := range append([]string{s.Sender}, s.Recipients...) {
		if i == 0 && a == "" {
			continue // the null sender
		}
		if _, err := mail.ParseAddress(a, true); err != nil {
			return "", false, fmt.Errorf("submit: address %q: %w", a, err)
		}
		utf8 = utf8 || !mail.Address(a).ASCII()
	}
	return mail.Address(s.Sender), utf8, nil
}

// atMost refuses what is longer than the listener takes.
type atMost struct {
	r    io.Reader
	left int64
}

// Read implements io.Reader.
func (a *atMost) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if a.left -= int64(n); a.left < 0 {
		return 0, mail.NewReply(552, mail.Enhanced{5, 3, 4}, "message exceeds the size limit")
	}
	return n, err
}

// crlfReader gives every line a CRLF end: a bare CR or LF becomes one.
type crlfReader struct {
	r    io.Reader
	buf  [4096]byte
	out  bytes.Buffer
	cr   bool // the last octet read was CR
	fail error
}

// Read implements io.Reader.
func (c *crlfReader) Read(p []byte) (int, error) {
	for c.out.Len() == 0 && c.fail == nil {
		n, err := c.r.Read(c.buf[:])
		c.take(c.buf[:n])
		if c.fail = err; err == io.EOF && c.cr {
			c.out.WriteString("\r\n")
			c.cr = false
		}
	}
	if c.out.Len() > 0 {
		return c.out.Read(p)
	}
	return 0, c.fail
}

func (c *crlfReader) take(p []byte) {
	for _, b := range p {
		switch {
		case b == '\n':
			c.out.WriteString("\r\n")
			c.cr = false
			continue
		case c.cr:
			c.out.WriteString("\r\n")
		}
		if c.cr = b == '\r'; !c.cr {
			c.out.WriteByte(b)
		}
	}
}

// queued is an accepted message as the queue takes it.
func (r *Relay) queued(m *pipeline.Message) *queue.Message {
	m.Envelope.Client.Notes = nil // the session goes on with them; the queue keeps none
	q := &queue.Message{Envelope: m.Envelope, Header: m.Header.AppendTo(make([]byte, 0, m.Header.Size())), Body: m.Body}
	if m.Hold != nil {
		q.Hold = r.hold(m.Hold)
	}
	return q
}

// hold keeps quarantined mail for a while, and deferred mail until somebody
// releases it.
func (r *Relay) hold(h *pipeline.Hold) *queue.Hold {
	q := &queue.Hold{Kind: queue.OnHold, Reason: strings.TrimSpace(h.Reason), By: h.Stage}
	if h.Verdict == mail.Quarantine {
		q.Kind, q.Until = queue.Quarantine, r.clock.Now().Add(quarantineTime)
	}
	return q
}
