// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// split cuts a command line into its verb in upper case and its argument.
func split(line string) (verb, arg string) {
	verb, arg, _ = strings.Cut(line, " ")
	return strings.ToUpper(verb), strings.TrimRight(arg, " ")
}

// dispatch answers a command, or returns what go-smtp has to be told.
func (s *session) dispatch(line string) (handed string) {
	verb, arg := split(line)
	s.count(verb)
	if bad := s.unfit(line, verb); bad != nil {
		s.end(bad)
		return ""
	}
	if s.away != nil {
		return s.goAway(verb)
	}
	if bad := s.between(verb); bad != nil {
		s.end(bad)
		return ""
	}
	switch verb {
	case "EHLO", "HELO", "LHLO":
		return s.greet(verb, arg)
	case "MAIL":
		return s.mail(arg)
	case "RCPT":
		return s.recipient(arg)
	case "DATA":
		return s.data(arg)
	case "BDAT":
		return s.firstChunk(arg)
	case "RSET", "QUIT":
		return s.plain(verb, arg)
	case "STARTTLS":
		s.startTLS(arg)
	case "AUTH":
		s.auth(arg)
	case "XCLIENT":
		s.xclient(arg)
	default:
		s.answer(line, verb, arg)
	}
	return ""
}

// between is asked at each command. Outside a transaction the session follows the
// Backend, so that a client that stays keeps nothing alive, and a client that does
// nothing but idle is ended.
func (s *session) between(verb string) *refusal {
	if s.tx != nil || verb == "QUIT" {
		return nil
	}
	if bad := s.follow(); bad != nil || verb == "MAIL" {
		return bad
	}
	if s.idling++; s.idling > s.server.opts.Limits.IdleCommands {
		return refuse(ReasonIdle, 421, 7, 0, "too many commands without a message, closing")
	}
	return nil
}

// inMessage answers a command that stands between two chunks of a message. It
// reports whether the message is aborted: then the command is still to be
// answered.
func (s *session) inMessage(line, verb, arg string) (aborted bool) {
	switch verb {
	case "EHLO", "HELO", "LHLO", "RSET", "QUIT":
		s.line, s.hasLine = line, true
		return true
	case "MAIL", "RCPT", "DATA", "STARTTLS", "AUTH":
		s.count(verb)
		s.refuse(outOfOrder("not between two chunks of a message"))
	default:
		s.count(verb)
		s.answer(line, verb, arg)
	}
	return false
}

// nextChunk answers commands until there is a BDAT.
func (s *session) nextChunk() (chunk, error) {
	for !s.ended {
		s.spoken = false
		line, err := s.readLine()
		if err != nil {
			return chunk{}, err
		}
		verb, arg := split(line)
		if verb == "BDAT" {
			s.count(verb)
			return s.parseChunk(arg)
		}
		if s.inMessage(line, verb, arg) {
			return chunk{}, errAborted
		}
	}
	return chunk{}, errAborted
}

// parseChunk is the function of that name, for an error that ends the session.
func (s *session) parseChunk(arg string) (chunk, error) {
	c, bad := parseChunk(arg)
	if bad != nil {
		s.end(bad)
		return c, errAborted
	}
	return c, nil
}

// unfit finds reasons to end the session at a command. A client that talks
// HTTP is a browser made to attack us: its headers must not be tried as
// commands one by one.
func (s *session) unfit(line, verb string) *refusal {
	if s.tx == nil && s.draining.Load() && verb != "QUIT" {
		return goingDown()
	}
	switch verb {
	case "GET", "POST", "PUT", "CONNECT", "OPTIONS", "HEAD":
		return refuse(ReasonUnknown, 421, 7, 0, "this is SMTP, closing")
	}
	return nil
}

// answer gives the reply to commands that change nothing.
func (s *session) answer(line, verb, arg string) {
	switch {
	case !clean(line):
		s.refuse(refuse(ReasonSyntax, 500, 5, 2, "control character in a command"))
	case verb == "NOOP":
		s.say(replyOK)
	case verb == "HELP":
		s.say(s.server.opts.Kind.help())
	case verb == "VRFY" && arg == "":
		s.refuse(refuse(ReasonSyntax, 501, 5, 4, "syntax: VRFY address"))
	case verb == "VRFY":
		s.say(replyVrfy)
	case verb == "EXPN":
		s.refuse(refuse(ReasonUnknown, 502, 5, 1, verb+" not supported"))
	default:
		s.refuse(refuse(ReasonUnknown, 500, 5, 1, "command not known"))
	}
}

// clean reports whether s is free of control characters.
func clean(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

func (s *session) greet(verb, arg string) string {
	kind := s.server.opts.Kind
	if !kind.greets(verb) {
		s.refuse(kind.otherGreeting(verb))
		return ""
	}
	if !validHelo(arg) {
		s.refuse(refuse(ReasonSyntax, 501, 5, 4, "syntax: "+verb+" hostname"))
		return ""
	}
	helo, proto, extended := s.client.Helo, s.client.Protocol, verb != "HELO"
	s.client.Helo = arg
	s.client.Protocol = kind.protocol(protocol(extended, &s.client, false))
	o, bad := s.negotiate()
	if bad != nil {
		s.client.Helo, s.client.Protocol = helo, proto
		s.refuse(bad)
		return ""
	}
	s.greeted, s.extended, s.offer = true, extended, o
	s.sayHello()
	return "EHLO peer\r\n"
}

// negotiate asks the Backend what to offer.
func (s *session) negotiate() (*offer, *refusal) {
	all := s.server.plain
	if s.client.TLSVersion != "" {
		all = s.server.secure
	}
	if all.has("FUTURERELEASE") { // its line holds a date
		all = offered(&s.server.opts, s.client.TLSVersion != "")
	}
	all = s.listed(s.withAuth(all))
	list, reply := s.backend.Helo(s.ctx(), all.list)
	if reply = checked(reply); !accepted(reply) {
		return nil, blame(reply)
	}
	o, err := all.edited(s.server.opts.Hostname, list)
	if err != nil {
		return nil, blame(mail.OurFault(err))
	}
	return o, nil
}

// protocol names the session as a Received field does (RFC 3848, RFC 6531 §4.3
// for a transaction that is SMTPUTF8).
func protocol(extended bool, c *mail.Client, utf8 bool) string {
	name := "SMTP"
	switch {
	case utf8:
		name = "UTF8SMTP"
	case extended:
		name = "ESMTP"
	default:
		return name
	}
	if c.TLSVersion != "" {
		name += "S"
	}
	if c.Authenticated {
		name += "A"
	}
	return name
}

func (s *session) sayHello() {
	if s.extended {
		s.say(s.offer.text)
		return
	}
	s.say("250 " + s.server.opts.Hostname + "\r\n")
}

func (s *session) mail(arg string) string {
	switch {
	case !s.greeted:
		s.refuse(outOfOrder(s.server.opts.Kind.hello() + " first"))
		return ""
	case s.tx != nil:
		s.refuse(outOfOrder("nested MAIL, end the transaction or RSET first"))
		return ""
	}
	c, bad := parseMail(arg, s.offer)
	if bad == nil {
		bad = c.count(s.server.opts.Now(), s.offer)
	}
	if bad == nil {
		bad = s.fullDomain(c.from, 7)
	}
	if bad != nil {
		s.refuse(bad)
		return ""
	}
	s.pending = c
	return "MAIL FROM:<>\r\n"
}

func (s *session) recipient(arg string) string {
	if s.tx == nil {
		s.refuse(outOfOrder("MAIL first"))
		return ""
	}
	c, bad := parseRcpt(arg, s.utf8, s.offer, s.server.opts.Hostname)
	if bad == nil {
		bad = s.fullDomain(c.to, 3)
	}
	s.tried = true
	switch {
	case bad != nil:
		s.refuse(bad)
		return ""
	case s.rcpts >= s.offer.rcpts:
		s.refuse(refuse(ReasonRecipients, 452, 5, 3, "too many recipients"))
		return ""
	}
	s.rcpt = c
	return "RCPT TO:<rcpt@peer>\r\n"
}

func (s *session) data(arg string) string {
	if arg != "" {
		s.refuse(refuse(ReasonSyntax, 501, 5, 4, "DATA takes no argument"))
		return ""
	}
	if bad := s.mayNotSend(); bad != nil {
		s.refuse(bad)
		return ""
	}
	if s.binary {
		s.refuse(outOfOrder("a message with BODY=BINARYMIME comes by BDAT (RFC 3030 section 3)"))
		return ""
	}
	if reply := checked(s.tx.Ready(s.ctx())); !accepted(reply) {
		s.refuse(blame(reply))
		return ""
	}
	s.bdat = nil
	s.say(replyData)
	return "DATA\r\n"
}

// mayNotSend says why content is not welcome now (RFC 5321 §3.3).
func (s *session) mayNotSend() *refusal {
	switch {
	case s.tx == nil:
		return outOfOrder("MAIL first")
	case s.rcpts == 0 && s.tried && s.server.opts.Kind != LMTP: // there it is 503 too (RFC 2033 §4.2)
		return refuse(ReasonRecipients, 554, 5, 1, "no valid recipients")
	case s.rcpts == 0:
		return outOfOrder("RCPT first")
	}
	return nil
}

// firstChunk begins a message that comes by BDAT. A chunk that is not welcome
// is passed over (RFC 3030 §2).
func (s *session) firstChunk(arg string) string {
	if !s.offer.has("CHUNKING") {
		s.end(refuse(ReasonUnknown, 502, 5, 1, "BDAT not offered, closing"))
		return ""
	}
	c, err := s.parseChunk(arg)
	if err != nil {
		return ""
	}
	if bad := s.mayNotSend(); bad != nil {
		s.skipped(s.skipChunk(c.size), bad)
		return ""
	}
	if reply := checked(s.tx.Ready(s.ctx())); !accepted(reply) {
		return s.notReady(c, blame(reply))
	}
	s.bdat = &c
	s.spoken = true // go-smtp's 354 is not for the client
	return "DATA\r\n"
}

// notReady refuses the first chunk of a message and ends the transaction: the
// chunks behind it must not pass for a message of their own.
func (s *session) notReady(c chunk, bad *refusal) string {
	s.skipped(s.skipChunk(c.size), bad)
	if s.ended {
		return ""
	}
	return "RSET\r\n"
}

// skipped replies bad behind content that was passed over, or failed to be.
func (s *session) skipped(err error, bad *refusal) {
	switch {
	case err == nil:
		s.refuse(bad)
	case err == errSkip:
		s.end(bad)
	default:
		s.lost(err)
	}
}

func (s *session) plain(verb, arg string) string {
	switch {
	case arg != "":
		s.refuse(refuse(ReasonSyntax, 501, 5, 4, verb+" takes no argument"))
		return ""
	case verb == "QUIT":
		s.say("221 2.0.0 " + s.server.opts.Hostname + " closing\r\n")
		return "QUIT\r\n"
	}
	s.say(replyOK)
	return "RSET\r\n"
}

func outOfOrder(text string) *refusal { return refuse(ReasonSequence, 503, 5, 1, text) }

// count reports a command. The names are a closed set.
func (s *session) count(verb string) {
	switch verb {
	case "EHLO", "HELO", "LHLO", "XCLIENT", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "QUIT", "STARTTLS", "NOOP", "HELP", "VRFY", "EXPN", "AUTH":
		s.server.opts.Observer.Command(verb)
	default:
		s.server.opts.Observer.Command("other")
	}
}
