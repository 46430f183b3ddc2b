// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// session is one connection. It begins with the generation of that moment, and
// goes on with the live one as soon as it is outside a transaction, waiting or
// not: a client that stays for hours keeps no old configuration alive, and nothing
// changes under a transaction.
type session struct {
	d      *door
	g      *generation // in use by this session
	client *mail.Client
	pl     *pipeline.Pipeline
	stages *pipeline.Session // of pl

	logins   logins
	stranger *stranger // see strange
	refusals int       // so far
}

// Open begins a session, and asks the stages of phase connect.
func (d *door) Open(ctx context.Context, c *mail.Client) (smtpin.Session, *mail.Reply) {
	g := d.r.acquire()
	l, pl := d.at(g)
	if l == nil {
		g.done()
		return nil, listenerGone()
	}
	s := &session{d: d, g: g, client: c, pl: pl, stages: pl.Session(c)}
	if r := s.meet(ctx); r != nil {
		s.Close()
		return nil, r
	}
	if r := s.asked(refusedConnect, s.stages.Connect(ctx)); r != nil {
		s.Close()
		return nil, r
	}
	return s, nil
}

func listenerGone() *mail.Reply {
	return mail.NewReply(421, mail.Enhanced{4, 3, 2}, "this listener is going down, try again later")
}

// TLS asks the stages of phase tls.
func (s *session) TLS(ctx context.Context) *mail.Reply {
	return s.asked(refusedTLS, s.stages.TLS(ctx))
}

// Helo asks the stages of phase helo.
func (s *session) Helo(ctx context.Context, list []string) ([]string, *mail.Reply) {
	if r := s.asked(refusedHelo, s.greeting()); r != nil {
		return nil, r
	}
	list, r := s.stages.Helo(ctx, s.mayAsk(list))
	return list, s.asked(refusedHelo, r)
}

// Mail begins a transaction with the configuration of this moment.
func (s *session) Mail(ctx context.Context, from mail.Address, p smtpin.MailParams) (smtpin.Transaction, *mail.Reply) {
	if !s.follow() {
		return nil, listenerGone()
	}
	l, _ := s.d.at(s.g)
	if r := s.asked(refusedClear, mustEncrypt(l, s.client)); r != nil {
		return nil, r
	}
	if r := s.asked(refusedLogin, mustLogIn(l, s.client)); r != nil {
		return nil, r
	}
	if r := s.asked(refusedSender, mayNotSendAs(s.account(), from)); r != nil {
		return nil, r
	}
	if r := s.asked(refusedQuota, s.overQuota()); r != nil {
		return nil, r
	}
	if r := s.asked(refusedRate, s.tooMuchMail()); r != nil {
		return nil, r
	}
	t, r := s.d.begin(ctx, s.g, s.pl, s.stages, party{s.client, s.account()}, from, p)
	if r != nil {
		return nil, r
	}
	t.lmtp.on = l.Kind == config.KindLMTP
	t.stranger = s.strange()
	return t, nil
}

// Follow implements smtpin.Follower.
func (s *session) Follow(context.Context) *mail.Reply {
	if !s.follow() {
		return listenerGone()
	}
	return nil
}

// follow goes on with the live generation. What stages noted about the session
// comes along; what they keep in memory ends with their generation. It reports
// whether there is still such a listener.
func (s *session) follow() bool {
	if s.d.r.gen.Load() == s.g {
		s.decided()
		return true
	}
	g := s.d.r.acquire()
	l, pl := s.d.at(g)
	if l == nil { // a reload took it away under this session
		g.done()
		return false
	}
	stages := s.stages.On(pl)
	s.Close()
	s.g, s.pl, s.stages, s.logins.server = g, pl, stages, nil
	return true
}

// decided goes on with the pipeline as it is now: the operator may have promoted
// a candidate, or rolled one back.
func (s *session) decided() {
	_, pl := s.d.at(s.g)
	if pl == s.pl {
		return
	}
	stages := s.stages.On(pl)
	s.stages.Close()
	s.pl, s.stages = pl, stages
}

// Close ends the session.
func (s *session) Close() {
	s.stages.Close()
	s.g.done()
}

// asked returns what the stages of a phase replied, and tells of a refusal.
func (s *session) asked(reason string, r *mail.Reply) *mail.Reply {
	if r == nil {
		return nil
	}
	s.refusals++
	s.d.r.countRefusal(s.d.listener, reason, r)
	s.d.r.log.Log(refusalLevel(s.refusals), "refused", withVia(s.client, "session", s.client.SessionID, "peer", s.client.Addr, "listener", s.d.listener, "reason", reason, "reply", r.Error())...)
	return r
}

// loggedRefusals is how many refusals of one session or transaction are logged
// at info: who tries addresses by the thousand must not fill the disk.
const loggedRefusals = 10

func refusalLevel(so int) hclog.Level {
	if so > loggedRefusals {
		return hclog.Debug
	}
	return hclog.Info
}
