// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"io"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/mail"
)

var errNoReply = errors.New("smtpin: the backend gave no answer")

// Mail implements smtp.Session. What go-smtp was told is a placeholder; the
// real command is in s.pending.
func (s *session) Mail(string, *smtp.MailOptions) (err error) {
	defer s.rescue(&err)
	deepen(0)
	c := s.pending
	s.client.Protocol = s.server.opts.Kind.protocol(protocol(s.extended, &s.client, c.params.SMTPUTF8))
	tx, reply := s.backend.Mail(s.ctx(), c.from, c.params)
	reply = checked(reply)
	switch {
	case accepted(reply) && tx == nil:
		reply = mail.OurFault(errNoReply)
	case accepted(reply):
		s.begin(tx, c)
	}
	return s.decided(reply, replyMail)
}

func (s *session) begin(tx Transaction, c mailCommand) {
	s.tx = tx
	s.idling = 0
	s.utf8 = c.params.SMTPUTF8
	s.binary = c.params.Binary
	s.tried = false
	s.rcpts = 0
	s.expires = time.Now().Add(s.server.opts.Limits.TransactionTime)
}

// Rcpt implements smtp.Session. The real recipient is in s.rcpt.
func (s *session) Rcpt(string, *smtp.RcptOptions) (err error) {
	defer s.rescue(&err)
	reply := checked(s.tx.Rcpt(s.ctx(), s.rcpt.to, s.rcpt.params))
	if accepted(reply) {
		s.rcpts++
	}
	return s.decided(reply, replyRcpt)
}

// Data implements smtp.Session. It reads the message off the wire itself and
// then lets go-smtp find the end of its own, empty one.
func (s *session) Data(io.Reader) (err error) {
	defer s.rescue(&err)
	m := s.message()
	reply := checked(s.tx.Data(s.ctx(), m))
	if reply == nil {
		reply = mail.OurFault(errNoReply)
	}
	s.handed = ".\r\n"
	return s.settle(m, reply)
}

func (s *session) message() *message {
	l := &s.server.opts.Limits
	s.pace = newPace(l)
	m := &message{lines: lineCheck{limit: l.LineLength, binary: s.binary}, limit: s.offer.size}
	if s.bdat != nil {
		m.framer = &chunks{s: s, chunk: *s.bdat}
		return m
	}
	m.framer = &dots{s: s}
	m.err = s.flush() // 354 does not wait for a Backend that reads late
	return m
}

// settle brings the message to its end and gives the one reply to it: that of
// the Backend, or ours if the message broke the rules.
func (s *session) settle(m *message, reply *mail.Reply) error {
	if m.err == nil && reply.Positive() {
		m.rest()
	}
	var bad *refusal
	switch {
	case m.err == io.EOF:
		s.faults = 0
		return s.concluded(reply)
	case errors.As(m.err, &bad):
		s.skippedIn(m, bad)
	case m.err == nil: // the Backend refused half way
		s.skippedIn(m, blame(reply))
	case m.err != errAborted:
		s.lost(m.err)
	}
	s.spoken = true // go-smtp has nothing to add
	return smtpError(mail.OurFault(m.err))
}

// decided gives the Backend's reply, or the usual one where it had none, and
// returns it as go-smtp wants it.
func (s *session) decided(r *mail.Reply, usual string) error {
	switch {
	case r == nil:
		s.say(usual)
		return nil
	case r.Positive():
		s.say(wireText(r))
		return nil
	}
	s.refuse(blame(r))
	return smtpError(r)
}

// blame tells the Backend's refusals from our faults.
func blame(r *mail.Reply) *refusal {
	if IsFault(r) {
		return &refusal{ReasonFault, r}
	}
	return &refusal{ReasonBackend, r}
}

// IsFault reports whether a reply of the Backend is for a fault of ours that
// nobody was told of. Observer.Refused hears of it with ReasonFault; every other
// refusal of the Backend is the Backend's to count.
func IsFault(r *mail.Reply) bool {
	var told interface{ Told() bool }
	known := errors.As(r.Cause, &told) && told.Told()
	return r.Code == 451 && r.Enhanced == (mail.Enhanced{4, 3, 0}) && !known
}

// Reset implements smtp.Session: the transaction is over.
func (s *session) Reset() {
	var err error
	defer s.rescue(&err)
	tx := s.tx
	s.tx, s.rcpts, s.tried, s.bdat = nil, 0, false, nil
	if tx != nil {
		s.expires = time.Time{}
		tx.Close()
	}
}

// Logout implements smtp.Session: the connection is over.
func (s *session) Logout() error {
	s.Reset()
	return nil
}
