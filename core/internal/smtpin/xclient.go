// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// XCLIENT is Postfix's command by which a proxy or a mail server says for whom it
// speaks: XCLIENT_README of Postfix, "XREADME" below.

// maxXClientValue is the length of a decoded value in octets (XREADME, "Command
// syntax").
const maxXClientValue = 255

// xclient is what one command says. An attribute that is given without a value, as
// [UNAVAILABLE] or [TEMPUNAVAIL], is given and zero.
type xclient struct {
	given             []string // attributes, in upper case
	name, helo, login string
	addr              netip.Addr
	port              uint16
}

func (x *xclient) gives(attribute string) bool { return slices.Contains(x.given, attribute) }

// xclientLine is the line of the EHLO list (XREADME, "XCLIENT server EHLO response").
func xclientLine(login bool) string {
	line := "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT"
	if login {
		line += " LOGIN"
	}
	return line
}

// parseXClient reads the attributes of a command. LOGIN is one of them where it is
// believed.
func parseXClient(arg string, login bool) (*xclient, *refusal) {
	x := &xclient{}
	for _, word := range words(arg) {
		attribute, text, ok := strings.Cut(word, "=")
		value, err := mail.ParseXtext(text)
		if attribute = strings.ToUpper(attribute); !ok || err != nil || len(value) > maxXClientValue || !clean(value) {
			return nil, badXClient("syntax: XCLIENT attribute=value, the value in xtext")
		}
		switch {
		case x.gives(attribute):
			return nil, badXClient("an attribute of XCLIENT stands there twice")
		case attribute == "LOGIN" && !login, !x.set(attribute, value):
			return nil, badXClient("an attribute of XCLIENT is not known, or its value not valid")
		}
		x.given = append(x.given, attribute)
	}
	if len(x.given) == 0 {
		return nil, badXClient("syntax: XCLIENT attribute=value")
	}
	return x, nil
}

func badXClient(text string) *refusal { return refuse(ReasonSyntax, 501, 5, 4, text) }

// set takes one attribute, and reports whether there is such, with such a value.
func (x *xclient) set(attribute, value string) (ok bool) {
	none := strings.EqualFold(value, "[UNAVAILABLE]")
	switch attribute {
	case "NAME":
		none = none || strings.EqualFold(value, "[TEMPUNAVAIL]")
		return none || setText(&x.name, value, validHelo)
	case "HELO":
		return none || setText(&x.helo, value, validHelo)
	case "LOGIN":
		return none || setText(&x.login, value, func(s string) bool { return s != "" })
	case "PROTO":
		return strings.EqualFold(value, "SMTP") || strings.EqualFold(value, "ESMTP")
	}
	var addr netip.Addr
	var port uint16
	switch attribute {
	case "ADDR":
		ok = none || setAddr(&x.addr, value)
	case "PORT":
		ok = none || setPort(&x.port, value)
	case "DESTADDR":
		ok = none || setAddr(&addr, value)
	case "DESTPORT":
		ok = none || setPort(&port, value)
	}
	return ok
}

func setText(at *string, value string, valid func(string) bool) bool {
	*at = value
	return valid(value)
}

// setAddr reads an IPv4 address, or an IPv6 one behind "IPV6:" (XREADME, ADDR).
func setAddr(at *netip.Addr, value string) bool {
	const tag = "IPV6:"
	six := len(value) > len(tag) && strings.EqualFold(value[:len(tag)], tag)
	if six {
		value = value[len(tag):]
	}
	ip, err := netip.ParseAddr(value)
	*at = ip.Unmap()
	return err == nil && ip.Is6() == six && ip.Zone() == ""
}

func setPort(at *uint16, value string) (ok bool) {
	n, bad := portNumber(value)
	*at = n
	return !bad
}

// mayXClient reports whether the client is one that may speak for others. Whom it
// speaks for has no say in it.
func (s *session) mayXClient() bool { return containsAddr(s.server.opts.XClient, s.speaker.Addr()) }

// listed is the EHLO list for this client.
func (s *session) listed(all *offer) *offer {
	if !s.mayXClient() {
		return all
	}
	o, mine := &s.server.opts, *all
	more := newOffer(o.Hostname, append(all.list, xclientLine(o.XClientLogin)), all.size)
	mine.list, mine.text = more.list, more.text
	return &mine
}

// xclient answers XCLIENT. The session begins anew, with another client: with a
// banner, with the Backend's first questions, and with the limits of that client.
func (s *session) xclient(arg string) {
	switch {
	case !s.mayXClient():
		s.refuse(refuse(ReasonUnknown, 550, 7, 0, "XCLIENT is not for you"))
		return
	case s.tx != nil:
		s.refuse(outOfOrder("not in a transaction"))
		return
	case s.greeted && !s.offer.has("XCLIENT"):
		s.refuse(refuse(ReasonUnknown, 502, 5, 1, "XCLIENT not offered"))
		return
	}
	x, bad := parseXClient(arg, s.server.opts.XClientLogin)
	if bad != nil {
		s.refuse(bad)
		return
	}
	s.closeBackend()
	s.backend = nil
	s.become(x)
	s.welcome()
	if s.backend != nil && s.client.TLSVersion != "" && !s.server.opts.Implicit {
		s.overTLS()
	}
	if s.backend != nil && x.login != "" {
		s.vouched(x.login)
	}
}

// vouched notes a user for whom the proxy stands, and asks the Backend as behind
// AUTH. There is no reply to that here, so the client hears of a refusal at its next
// command.
func (s *session) vouched(user string) {
	s.client.User, s.client.Authenticated = user, true
	a, ok := s.backend.(Authenticator)
	if !ok {
		return
	}
	if reply := checked(a.LoggedIn(s.ctx())); !accepted(reply) {
		s.logOut()
		s.sendAway(lastWord(reply, reply.Code))
	}
}

// fromHere reports whether the client, and all that stand between it and us, are on
// this machine.
func (s *session) fromHere() bool {
	local := func(a netip.AddrPort) bool { return a.Addr().IsLoopback() }
	return local(addrPort(s.raw)) && local(s.speaker) && local(s.client.Addr)
}

// become makes the session one of the client that x tells of. Nothing is left of
// the one before but what x does not mention: its address and port. What belongs to
// an address does not outlive it.
func (s *session) become(x *xclient) {
	c := &s.client
	s.server.discharge(s)
	s.greeted, s.extended, s.offer = false, false, s.server.plain
	s.faults, s.logins, s.spokenFor = 0, 0, true
	s.logOut()
	c.Protocol, c.Notes, c.Via = "", map[string]string{}, s.speaker
	c.Helo, c.PeerCert = x.helo, "" // the certificate was the proxy's
	if x.gives("ADDR") {
		c.Addr, c.Name = netip.AddrPortFrom(x.addr, 0), ""
	}
	if x.gives("PORT") {
		c.Addr = netip.AddrPortFrom(c.Addr.Addr(), x.port)
	}
	if x.gives("NAME") {
		c.Name = x.name
	}
}
