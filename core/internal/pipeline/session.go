// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/postroad-mail/postroad/core/mail"
)

// Session is one connection of a client on its way through a pipeline. One
// goroutine at a time uses it and its transactions.
type Session struct {
	p      *Pipeline
	client *mail.Client
	life   lifetime
	sticky fate             // a failed stage's quarantine: of every message of the session
	marks  []mail.StageMark // the stages that were called
}

// Session starts a session for the client c, whose facts are read anew at each
// phase. It gives c a place for notes when it has none.
func (p *Pipeline) Session(c *mail.Client) *Session {
	if c.Notes == nil {
		c.Notes = map[string]string{}
	}
	return &Session{p: p, client: c}
}

// On returns a session of the same client on pipeline p, to which a reload has
// led: what sticks to the session stays, what stages keep in slots does not.
// The old session is closed by its owner.
func (s *Session) On(p *Pipeline) *Session {
	n := p.Session(s.client)
	n.sticky, n.marks = s.sticky, s.marks
	return n
}

// Connect runs the stages of phase connect, before the banner. A reply refuses
// the connection.
func (s *Session) Connect(ctx context.Context) *mail.Reply {
	return s.run(ctx, mail.PhaseConnect, nil)
}

// TLS runs the stages of phase tls, when the connection is encrypted. A reply
// refuses all that follows.
func (s *Session) TLS(ctx context.Context) *mail.Reply { return s.run(ctx, mail.PhaseTLS, nil) }

// Helo runs the stages of phase helo, after EHLO or HELO. list is what EHLO will
// answer with, one "KEYWORD params" a line and without the greeting; it comes
// back as the stages want it. A reply refuses the command.
func (s *Session) Helo(ctx context.Context, list []string) ([]string, *mail.Reply) {
	e := &extras{ehlo: list}
	r := s.run(ctx, mail.PhaseHelo, e)
	return e.ehlo, r
}

// Auth runs the stages of phase auth, after a successful AUTH: User, Mechanism
// and Authenticated of the client are set. password is what the client gave, nil
// where the mechanism shows none; it is not kept. A reply refuses the login.
func (s *Session) Auth(ctx context.Context, password []byte) *mail.Reply {
	return s.run(ctx, mail.PhaseAuth, &extras{password: password})
}

// Authenticate asks the stages of phase auth who a client is that they alone know:
// User and Mechanism of the client are set, Authenticated is not. accepted reports
// that a stage has accepted it; a reply is why it was refused, or could not be
// judged.
func (s *Session) Authenticate(ctx context.Context, password []byte) (accepted bool, reply *mail.Reply) {
	return s.ask(ctx, mail.PhaseAuth, &extras{password: password})
}

// Begin starts a transaction of this session for env, which the transaction then
// owns.
func (s *Session) Begin(env *mail.Envelope) *Transaction {
	t := s.p.Begin(env)
	t.lives[ScopeSession] = &s.life
	t.sticky, t.session = s.sticky, s.marks
	return t
}

// Close ends what stages keep for the session.
func (s *Session) Close() { s.life.end() }

func (s *Session) run(ctx context.Context, phase mail.Phase, e *extras) *mail.Reply {
	_, reply := s.ask(ctx, phase, e)
	return reply
}

// ask runs the stages of a phase. accepted reports that one has accepted; the reply
// is nil unless they refused.
func (s *Session) ask(ctx context.Context, phase mail.Phase, e *extras) (accepted bool, reply *mail.Reply) {
	if !s.p.Has(phase) {
		return false, nil
	}
	c := chain{phase: phase, about: -1, extras: e, lives: lives{ScopeSession: &s.life}}
	c.b = &branch{env: &mail.Envelope{Client: *s.client}}
	f := s.p.decide(ctx, &c)
	s.marks = union(s.marks, c.b.marks)
	if f.refused() {
		return false, f.reply
	}
	if f.verdict != mail.Continue {
		s.sticky = f
	}
	return c.accepted, nil
}
