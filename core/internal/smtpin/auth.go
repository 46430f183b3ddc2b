// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Authenticator is what a Session also offers whose clients can log in (AUTH,
// RFC 4954). Its methods are called on the connection's goroutine, and only where
// a password may be shown: above TLS, or on a connection from this machine.
type Authenticator interface {
	// Mechanisms returns the SASL mechanisms that the client may use, by their
	// names in upper case, in the order in which they are offered. None means no
	// AUTH. state is that of the TLS connection, nil without TLS.
	Mechanisms(state *tls.ConnectionState) []string
	// Login begins an exchange by one of them.
	Login(mechanism string, state *tls.ConnectionState) Login
	// LoggedIn is called when the client's User, Mechanism and Authenticated are
	// set. A refusal takes the login back.
	LoggedIn(ctx context.Context) *mail.Reply
}

// Login is one exchange of AUTH.
type Login interface {
	// Next takes the client's response, decoded: nil when there is none yet. It
	// returns the next challenge, or the user once it is known, which ends the
	// exchange, or a negative reply, which ends it too. A reply other than a 4xx or
	// 5xx counts as a fault of ours (454 4.7.0).
	Next(ctx context.Context, response []byte) (challenge []byte, user string, reply *mail.Reply)
}

const (
	// maxResponse is how long a line with a response may be, with its CRLF
	// (RFC 4954 §4).
	maxResponse = 12288
	// maxLogins is how many logins may fail in one session.
	maxLogins = 5
)

const replyAuth = "235 2.7.0 authentication successful\r\n"

// private reports whether a password may be shown on this connection.
func (s *session) private() bool {
	return s.client.TLSVersion != "" || s.fromHere()
}

// state is that of the TLS connection, nil without TLS.
func (s *session) state() *tls.ConnectionState {
	c, ok := s.conn.(*tls.Conn)
	if !ok {
		return nil
	}
	st := c.ConnectionState()
	if s.spokenFor { // the certificate was the proxy's
		st.PeerCertificates, st.VerifiedChains = nil, nil
	}
	return &st
}

// inTheClear reports whether the client could log in if the connection were
// encrypted.
func (s *session) inTheClear() bool {
	a, ok := s.backend.(Authenticator)
	return ok && !s.private() && len(a.Mechanisms(nil)) > 0
}

// mechanisms are those that the client may use now.
func (s *session) mechanisms() []string {
	a, ok := s.backend.(Authenticator)
	if !ok || s.client.Authenticated || !s.private() || !s.server.opts.offers("AUTH") {
		return nil
	}
	return a.Mechanisms(s.state())
}

// withAuth returns the offer with AUTH, where the client can log in.
func (s *session) withAuth(all *offer) *offer {
	names := s.mechanisms()
	if len(names) == 0 {
		return all
	}
	return all.with(s.server.opts.Hostname, "AUTH "+strings.Join(names, " "))
}

// with returns the offer with one more line.
func (f *offer) with(hostname, line string) *offer {
	o := newOffer(hostname, append(slices.Clone(f.list), line), f.size)
	o.bounds = f.bounds
	return o
}

// auth answers AUTH.
func (s *session) auth(arg string) {
	w := words(arg)
	if bad := s.mayNotLogIn(w); bad != nil {
		s.refuse(bad)
		return
	}
	mechanism := strings.ToUpper(w[0])
	var response []byte
	if len(w) == 2 {
		var bad *refusal
		if response, bad = initial(w[1]); bad != nil {
			s.refuse(bad)
			return
		}
	}
	s.exchange(mechanism, response)
}

// mayNotLogIn says why AUTH with these arguments is not welcome now (RFC 4954 §4).
func (s *session) mayNotLogIn(w []string) *refusal {
	switch {
	case s.client.Authenticated:
		return outOfOrder("logged in already")
	case !s.extended:
		return outOfOrder("EHLO first")
	case s.tx != nil:
		return outOfOrder("not in a transaction")
	case s.inTheClear():
		return refuse(ReasonAuth, 538, 7, 11, "encryption is needed before AUTH: STARTTLS first")
	case !s.offer.has("AUTH"):
		return refuse(ReasonUnknown, 502, 5, 1, "AUTH not offered")
	case len(w) == 0 || len(w) > 2:
		return refuse(ReasonSyntax, 501, 5, 4, "syntax: AUTH mechanism [initial-response]")
	case !s.offered(w[0]):
		return refuse(ReasonAuth, 504, 5, 4, "mechanism not offered")
	}
	return nil
}

// offered reports whether a mechanism is on the client's EHLO list, and one of
// those that it may use.
func (s *session) offered(mechanism string) bool {
	shown, _ := s.offer.find("AUTH")
	is := func(name string) bool { return strings.EqualFold(name, mechanism) }
	return slices.ContainsFunc(words(shown), is) && slices.ContainsFunc(s.mechanisms(), is)
}

// initial reads an initial response; "=" is an empty one.
func initial(word string) ([]byte, *refusal) {
	if word == "=" {
		return []byte{}, nil
	}
	return decoded(word)
}

// decoded reads a response in base64. An empty line is an empty response.
func decoded(line string) ([]byte, *refusal) {
	b, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || strings.ContainsAny(line, "\r\n") {
		return nil, refuse(ReasonSyntax, 501, 5, 2, "the response is not base64")
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}

// exchange plays one exchange to its end.
func (s *session) exchange(mechanism string, response []byte) {
	login := s.backend.(Authenticator).Login(mechanism, s.state())
	for {
		challenge, user, reply := login.Next(s.ctx(), response)
		switch {
		case reply != nil:
			s.loginRefused(reply)
			return
		case user != "":
			s.loggedIn(user, mechanism)
			return
		}
		s.say("334 " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
		var ok bool
		if response, ok = s.response(); !ok {
			return
		}
	}
}

// response reads the client's response. An exchange that the client gave up, or
// that cannot go on, has its reply then.
func (s *session) response() ([]byte, bool) {
	line, err := s.readResponse()
	if err != nil {
		s.lost(err)
		return nil, false
	}
	bad := refuse(ReasonAuth, 501, 7, 0, "AUTH cancelled")
	if line != "*" {
		var b []byte
		if b, bad = decoded(line); bad == nil {
			return b, true
		}
	}
	s.refuse(bad)
	return nil, false
}

// readResponse reads the line with the client's response.
func (s *session) readResponse() (string, error) {
	s.grow()
	until := s.deadline(s.server.opts.Limits.CommandTimeout)
	for {
		line, n, bad := cutLine(s.unread(), maxResponse)
		if bad != nil {
			return "", bad
		}
		if n > 0 {
			text := string(line)
			s.take(n)
			return text, nil
		}
		if err := s.fill(until, inHandshake); err != nil {
			return "", err
		}
	}
}

// loginRefused tells the client that it is not logged in, and ends a session in
// which that has happened too often.
func (s *session) loginRefused(reply *mail.Reply) {
	if !reply.Temporary() && !reply.Permanent() {
		reply = authFault(mail.OurFault(reply))
	}
	reason := ReasonAuth
	if IsFault(reply) {
		reason = ReasonFault
	}
	if reply.Code == 451 { // AUTH has a code of its own for that
		reply = authFault(reply)
	}
	if s.logins++; s.logins >= maxLogins {
		s.end(&refusal{ReasonAuth, mail.NewReply(421, mail.Enhanced{4, 7, 0}, "too many failed logins, closing")})
		return
	}
	s.refuse(&refusal{reason, reply})
}

// authFault is a fault of ours as AUTH tells it (RFC 4954 §6).
func authFault(r *mail.Reply) *mail.Reply {
	f := *r
	f.Code, f.Enhanced, f.Text = 454, mail.Enhanced{4, 7, 0}, "temporary authentication failure"
	return &f
}

// loggedIn notes who the client is, and asks the Backend whether it may be.
func (s *session) loggedIn(user, mechanism string) {
	a := s.backend.(Authenticator)
	s.client.User, s.client.Mechanism, s.client.Authenticated = user, mechanism, true
	if reply := checked(a.LoggedIn(s.ctx())); !accepted(reply) {
		s.logOut()
		s.loginRefused(reply)
		return
	}
	s.idling, s.logins = 0, 0
	s.say(replyAuth)
}

// logOut forgets who the client is.
func (s *session) logOut() {
	s.client.User, s.client.Mechanism, s.client.Authenticated = "", "", false
}
