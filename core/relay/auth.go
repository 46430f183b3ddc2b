// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/auth/sasl"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// refusedAuth is the reason of logins that the stages of phase auth refused.
const refusedAuth = "auth"

// failedLogins is how many logins of one address may fail in a short time.
const failedLogins = 10

// logins is what a session knows of logging in.
type logins struct {
	server   *sasl.Server  // of the listener, in this generation; nil: not made yet
	who      *auth.Account // who has logged in; see account
	password []byte        // that the client has shown, until the stages were asked
	asked    bool          // the stages have decided already
}

// account is who has logged in, nil if nobody has.
func (s *session) account() *auth.Account {
	if !s.client.Authenticated {
		return nil
	}
	return s.logins.who
}

// Mechanisms implements smtpin.Authenticator.
func (s *session) Mechanisms(state *tls.ConnectionState) []string {
	if srv := s.saslServer(); srv != nil {
		return srv.Mechanisms(state)
	}
	return nil
}

// saslServer returns what clients of the listener log in to, nil if they cannot.
func (s *session) saslServer() *sasl.Server {
	l, _ := s.d.at(s.g)
	if l == nil || l.Auth == nil {
		return nil
	}
	if s.logins.server == nil {
		s.logins.server = sasl.New(s.saslOptions(l))
	}
	return s.logins.server
}

func (s *session) saslOptions(l *config.Listener) sasl.Options {
	o := sasl.Options{
		Mechanisms: l.Auth.Mechanisms, Hostname: s.g.config.Server.Hostname, Secret: s.d.r.authKey, Gate: s.d.r.guard,
		Shown: func(password string) { s.logins.password = []byte(password) },
	}
	for _, name := range l.Auth.Users {
		d := s.g.directories[name]
		if _, own := d.(stagesDecide); own {
			d = sessionStages{s}
		}
		o.Directories = append(o.Directories, d)
	}
	return o
}

// Login implements smtpin.Authenticator.
func (s *session) Login(mechanism string, state *tls.ConnectionState) smtpin.Login {
	s.logins.password, s.logins.asked = nil, false
	p := auth.Peer{Addr: s.client.Addr, Listener: s.d.listener, TLS: state}
	return &login{s: s, mechanism: mechanism, x: s.saslServer().Begin(mechanism, p)}
}

// LoggedIn implements smtpin.Authenticator: the stages of phase auth have a say.
func (s *session) LoggedIn(ctx context.Context) *mail.Reply {
	if err := s.vouched(ctx); err != nil {
		return mail.OurFault(err)
	}
	password, asked := s.logins.password, s.logins.asked
	s.logins.password = nil
	if asked {
		return nil
	}
	r := s.asked(refusedAuth, s.stages.Auth(ctx, password))
	if r != nil {
		s.login(s.client.Mechanism, "refused")
	}
	return r
}

// login counts how a login ended.
func (s *session) login(mechanism, result string) {
	s.d.r.metrics.Login(s.d.listener, mechanism, result)
}

// login is one exchange.
type login struct {
	s         *session
	mechanism string
	x         auth.Exchange
}

// Next implements smtpin.Login.
func (l *login) Next(ctx context.Context, response []byte) (challenge []byte, user string, reply *mail.Reply) {
	challenge, who, err := l.x.Next(ctx, response)
	switch {
	case err == nil && who == nil:
		return challenge, "", nil
	case err == nil && plainText(who.User):
		l.s.logins.who = who
		l.s.login(l.mechanism, "ok")
		return nil, who.User, nil
	case errors.Is(err, auth.ErrDenied):
		l.s.login(l.mechanism, "denied")
		return nil, "", mail.NewReply(535, mail.Enhanced{5, 7, 8}, "authentication failed")
	}
	l.s.login(l.mechanism, "fault")
	l.s.d.r.log.Warn("a login could not be checked", "session", l.s.client.SessionID, "listener", l.s.d.listener, "mechanism", l.mechanism, "error", err)
	return nil, "", mail.OurFault(err)
}

// plainText reports whether a user's name can stand in logs and records.
func plainText(user string) bool {
	return len(user) <= 255 && !strings.ContainsFunc(user, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// sessionStages is a directory whose users the stages of phase auth know.
type sessionStages struct{ s *session }

// Password implements auth.Passwords.
func (d sessionStages) Password(ctx context.Context, a auth.Attempt) (*auth.Account, error) {
	s := d.s
	was := *s.client
	s.client.User, s.client.Mechanism = a.User, a.Mechanism // facts of the phase; smtpin sets them for good
	accepted, reply := s.stages.Authenticate(ctx, []byte(a.Password))
	s.client.User, s.client.Mechanism = was.User, was.Mechanism
	switch {
	case reply != nil && reply.Temporary():
		return nil, reply
	case !accepted || reply != nil:
		return nil, auth.ErrDenied
	}
	s.logins.asked = true
	return &auth.Account{User: a.User}, nil
}
