// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Kind is what a Server speaks. go-smtp believes that it is SMTP always.
type Kind uint8

// The kinds of servers.
const (
	SMTP       Kind = iota // RFC 5321
	Submission             // RFC 6409: SMTP, with full domain names in all addresses
	LMTP                   // RFC 2033: LHLO, and one reply for each recipient after the data
)

// Each is what a Transaction also offers that can take a message for some of its
// recipients and not for others. An LMTP server asks; the others have one reply.
type Each interface {
	// Replies is called once behind Data, when the message was read to its end: one
	// reply for each recipient that Rcpt accepted, in that order. None at all means
	// what Data returned, for each. Where there are more or fewer, or one is nil, it
	// is a fault of ours for all, or for that one.
	Replies() []*mail.Reply
}

// banner is the word in the greeting.
func (k Kind) banner() string {
	if k == LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// greets reports whether a session begins with this verb (RFC 2033 §4.1).
func (k Kind) greets(verb string) bool { return (k == LMTP) == (verb == "LHLO") }

// protocol is the name of a session for a Received field, from that of SMTP
// (RFC 3848, RFC 6531 §4.3).
func (k Kind) protocol(smtp string) string {
	if k != LMTP {
		return smtp
	}
	if rest, ok := strings.CutPrefix(smtp, "UTF8SMTP"); ok {
		return "UTF8LMTP" + rest
	}
	return "LMTP" + strings.TrimPrefix(smtp, "ESMTP")
}

// hello is the verb that begins a session.
func (k Kind) hello() string {
	if k == LMTP {
		return "LHLO"
	}
	return "EHLO"
}

// help is the reply to HELP.
func (k Kind) help() string {
	if k == LMTP {
		return strings.Replace(replyHelp, "EHLO HELO", "LHLO", 1)
	}
	return replyHelp
}

// otherGreeting refuses the verb that begins a session of another kind.
func (k Kind) otherGreeting(verb string) *refusal {
	if k == LMTP {
		return refuse(ReasonUnknown, 500, 5, 1, "this is LMTP, say LHLO and not "+verb)
	}
	return refuse(ReasonUnknown, 500, 5, 1, "command not known")
}

// fullDomain refuses a name of one word, which means another host to everybody
// (RFC 6409 §4.2). Our own name is what it is.
func (s *session) fullDomain(a mail.Address, detail int) *refusal {
	d, o := a.Domain(), &s.server.opts
	if o.Kind != Submission || a.IsNull() || strings.Contains(d, ".") || strings.HasPrefix(d, "[") || strings.EqualFold(d, o.Hostname) {
		return nil
	}
	return refuse(ReasonSyntax, 554, 1, detail, "the domain is not a full one")
}

// concluded gives the reply to a message that came whole: one, or one for each
// recipient (RFC 2033 §4.2).
func (s *session) concluded(reply *mail.Reply) error {
	if s.server.opts.Kind != LMTP {
		return s.decided(reply, "")
	}
	for _, r := range s.replies(reply) {
		if r.Positive() {
			s.say(wireText(r))
			continue
		}
		bad := blame(r)
		s.note(bad)
		s.say(wireText(bad.reply))
	}
	if reply.Positive() {
		return nil
	}
	return smtpError(reply)
}

// replies returns the final reply for each recipient.
func (s *session) replies(all *mail.Reply) []*mail.Reply {
	var each []*mail.Reply
	if t, ok := s.tx.(Each); ok {
		each = t.Replies()
	}
	if len(each) == 0 {
		return slices.Repeat([]*mail.Reply{notClosing(all)}, s.rcpts)
	}
	if len(each) != s.rcpts {
		return slices.Repeat([]*mail.Reply{mail.OurFault(errNoReply)}, s.rcpts)
	}
	for i, r := range each {
		if each[i] = notClosing(checked(r)); r == nil {
			each[i] = mail.OurFault(errNoReply)
		}
	}
	return each
}

// notClosing makes 451 of a 421: the session goes on behind the replies.
func notClosing(r *mail.Reply) *mail.Reply {
	if r == nil || r.Code != 421 {
		return r
	}
	c := *r
	c.Code = 451
	return &c
}

// owed is how many replies a message gets that broke the rules: none but the
// chunk that is the last one stands for the message (RFC 2033 §4.2).
func (s *session) owed(m *message) int {
	if c, ok := m.framer.(*chunks); s.server.opts.Kind != LMTP || ok && !c.chunk.last {
		return 1
	}
	return s.rcpts
}

// skippedIn passes over what is left of a message that is refused, and says so.
func (s *session) skippedIn(m *message, bad *refusal) {
	err := m.framer.skip()
	s.copies = s.owed(m)
	s.skipped(err, bad)
	s.copies = 0
}

// sayEach gives the reply to the current command as often as it is owed, but one
// that ends the session once.
func (s *session) sayEach(r *mail.Reply) {
	n := max(1, s.copies)
	if s.copies = 0; r.Code == 421 {
		n = 1
	}
	for text := wireText(r); n > 0; n-- {
		s.say(text)
	}
}
