// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// chain is one run of the stages of a phase that has one thing to decide: the
// connection, a recipient, an attempt.
type chain struct {
	phase  mail.Phase
	arg    int
	about  int // the recipient that `when` may ask about, -1: none
	b      *branch
	lives  lives
	out    *[]Emission // where emitted messages go
	bodies *[]releaser // where new bodies go
	extras *extras     // nil in the phases that have none

	accepted bool // a stage has accepted
}

// extras are what hooks of some phases have beside the envelope and the message.
// What stages may edit is the committed state.
type extras struct {
	chunk    []byte // phase body
	offset   int64
	ehlo     []string // phase helo
	password []byte   // phase auth
}

// decide runs the stages in their order: the first final verdict ends the chain,
// but for stages marked always behind an accept; others stick, and so does a
// reply without any.
func (p *Pipeline) decide(ctx context.Context, c *chain) fate {
	var sticky fate
	for i := range p.o.Steps {
		s := p.step(i, c.b)
		if !s.wants(c.phase) || c.accepted && !s.Always {
			continue
		}
		f := p.one(ctx, s, c)
		switch {
		case f.verdict == mail.Accept:
			c.accepted = true
		case f.verdict.Final():
			return f
		case f.verdict != mail.Continue || f.reply != nil && sticky.verdict == mail.Continue:
			sticky = f
		}
	}
	return sticky
}

// one calls one stage, when it is for it.
func (p *Pipeline) one(ctx context.Context, s *Step, c *chain) fate {
	ok, err := c.selects(s)
	if err != nil {
		return s.fault(c.phase, err)
	}
	if !ok {
		return fate{}
	}
	return p.called(ctx, s, c)
}

// selects tells whether the stage is for it.
func (c *chain) selects(s *Step) (bool, error) {
	if s.When == nil {
		return true, nil
	}
	return s.When.Eval(c.b.factsFor(c.about))
}

// called calls one stage.
func (p *Pipeline) called(ctx context.Context, s *Step, c *chain) fate {
	c.b.mark(s)
	h := newHook(p, c.b, s, c.phase, c.arg)
	h.lives, h.out, h.extras = c.lives, c.out, c.extras
	f := p.run(ctx, s, h)
	if c.bodies != nil {
		*c.bodies = append(*c.bodies, h.bodies()...)
	}
	return f
}

// run calls a stage, or its candidate, and commits or drops what it did.
func (p *Pipeline) run(ctx context.Context, s *Step, h *Hook) fate {
	if s.fallback != nil {
		return p.canary(ctx, s, h)
	}
	compare := p.besides(ctx, s, h)
	began := time.Now()
	v, err := p.attempt(ctx, s, h)
	took := time.Since(began)
	if compare != nil {
		compare(v, err)
	}
	if err == nil {
		err = h.commit()
	}
	p.observe(s, h, v, took, err)
	p.noted(s, h, err)
	if err != nil {
		h.drop()
		return s.fault(h.phase, err)
	}
	return fate{verdict: v, reply: h.replyFor(v), stage: s.Name}
}

// attempt calls a stage that is called in that phase and not broken in it.
func (p *Pipeline) attempt(ctx context.Context, s *Step, h *Hook) (mail.Verdict, error) {
	if !s.Stage.Phases().Has(h.phase) {
		return mail.Continue, nil
	}
	if s.Breaker != nil && !s.Breaker.in(h.phase).allow(p.o.Now()) {
		return mail.Continue, brokenError{}
	}
	return p.safely(ctx, s, h)
}

// observe tells the observer how a hook ended, its commit included.
func (p *Pipeline) observe(s *Step, h *Hook, v mail.Verdict, took time.Duration, err error) {
	if p.o.Observer != nil && s.Stage.Phases().Has(h.phase) {
		p.o.Observer.StageDone(h.env, s.Name, h.phase, v, took, err)
	}
}

// noted tells a stage's breaker how a hook ended.
func (p *Pipeline) noted(s *Step, h *Hook, err error) {
	b := s.Breaker
	if b == nil || errors.As(err, new(brokenError)) {
		return
	}
	changed := false
	if err == nil {
		changed = b.in(h.phase).succeeded() && !b.Open()
	} else if !overloaded(err) {
		changed = b.in(h.phase).failedFrom(h.env.Client.Addr.Addr(), p.o.Now())
	}
	if changed && p.o.OnBreaker != nil {
		p.o.OnBreaker(s.Name, err != nil)
	}
}

// fate is what was decided for one recipient, or for the message.
type fate struct {
	verdict mail.Verdict
	reply   *mail.Reply
	stage   string
	failed  bool  // the stage failed: on_error decided
	err     error // why it failed
}

// stageError is the failure of a stage as the cause of a reply.
type stageError struct {
	stage string
	phase mail.Phase
	err   error
}

func (e *stageError) Error() string {
	return fmt.Sprintf("stage %s failed in %v: %v", e.stage, e.phase, e.err)
}

func (e *stageError) Unwrap() error { return e.err }

// Told says that the observer was told of it, with the message's id.
func (e *stageError) Told() bool { return true }

func (f fate) refused() bool { return f.verdict == mail.Reject || f.verdict == mail.Tempfail }

// fault is the fate that on_error gives when step s failed in a phase. In
// delivery no message is lost by it, or returned: what says quarantine is held,
// what says reject is tried again, and in the phases in which the decision has
// been made it stays as it was.
func (s *Step) fault(phase mail.Phase, err error) fate {
	f := fate{stage: s.Name, failed: true, err: err}
	err = &stageError{s.Name, phase, err}
	switch {
	case s.OnError == OnErrorSkip || phase > mail.PhaseMessage && !in(phase, mail.PhaseRoute, mail.PhasePredeliver):
		return f
	case s.OnError == OnErrorReject && !delivers(phase):
		f.verdict, f.reply = mail.Reject, mail.NewReply(554, mail.Enhanced{5, 3, 0}, "message could not be processed").Because(err)
	case s.OnError == OnErrorQuarantine && delivers(phase):
		f.verdict, f.reply = mail.Defer, mail.NewReply(451, mail.Enhanced{4, 3, 0}, "stage "+s.Name+" failed").Because(err)
	case s.OnError == OnErrorQuarantine:
		f.verdict, f.reply = mail.Quarantine, mail.NewReply(250, mail.Enhanced{2, 0, 0}, "stage "+s.Name+" failed").Because(err)
	default:
		f.verdict, f.reply = mail.Tempfail, mail.OurFault(err)
	}
	return f
}
