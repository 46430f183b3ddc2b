// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"slices"

	"github.com/postroad-mail/postroad/core/mail"
)

// Transaction is one envelope on its way through a pipeline. One goroutine at a
// time uses it.
type Transaction struct {
	p        *Pipeline
	root     *branch
	first    branch           // what phase message began with, and the header as it came
	attempts int              // at this message that made a stage fail; 0: not counted yet
	session  []mail.StageMark // the stages that were called for the connection
	queued   []mail.StageMark // the stages that were called in phase queued
	branches []*branch        // of phase message
	lives    lives
	life     lifetime
	sticky   fate // of the phases before RCPT, for all recipients: a failed stage's quarantine
	came     mail.Header
	headed   bool // the header section is there: it came
	feeds    []feed
	closed   bool
	over     *mail.Reply // the phases data, headers or body refused the message
	suspect  fate        // the fault of a stage in headers or body that the message may be the cause of
	out      []Emission
	bodies   []releaser // every body made on the way
	kept     map[releaser]bool
}

// releaser is a body that holds something until it is released.
type releaser interface{ Release() }

// Begin starts a transaction for env, which the transaction then owns, without a
// session.
func (p *Pipeline) Begin(env *mail.Envelope) *Transaction {
	t := &Transaction{p: p, root: &branch{env: env}}
	t.lives[ScopeMessage] = &t.life
	return t
}

// Envelope returns the committed envelope. It belongs to the transaction.
func (t *Transaction) Envelope() *mail.Envelope { return t.root.env }

// Mail runs the stages of phase mail. A reply refuses the sender.
func (t *Transaction) Mail(ctx context.Context) *mail.Reply {
	f := t.decide(ctx, mail.PhaseMail, 0, -1)
	if f.refused() {
		return f.reply
	}
	if f.verdict != mail.Continue {
		t.sticky = f
	}
	return nil
}

// Rcpt adds a recipient and runs the stages of phase rcpt for it. A reply
// refuses the recipient; a discarded one is accepted and goes no further.
func (t *Transaction) Rcpt(ctx context.Context, r mail.Recipient) *mail.Reply {
	t.root.env.Recipients = append(t.root.env.Recipients, r)
	idx := len(t.root.env.Recipients) - 1
	f := t.decide(ctx, mail.PhaseRcpt, idx, idx)
	if f.refused() { // told so at once: nothing of it stays, however many there are
		t.root.env.Recipients = t.root.env.Recipients[:idx]
		return f.reply
	}
	t.root.settle(idx, f)
	return nil
}

// decide runs the stages of a phase over the whole envelope.
func (t *Transaction) decide(ctx context.Context, phase mail.Phase, arg, about int) fate {
	if !t.p.Has(phase) {
		return fate{}
	}
	return t.p.decide(ctx, &chain{phase: phase, arg: arg, about: about, b: t.root, lives: t.lives, out: &t.out})
}

// Stages returns the stages that were called so far with their code, each once,
// in the order of their first call, those that were called for the connection
// first. Envelopes of a result have those that were called for them.
func (t *Transaction) Stages() []mail.StageMark { return union(t.session, t.own()) }

// own returns the stages that were called for this transaction.
func (t *Transaction) own() []mail.StageMark {
	marks := t.root.marks
	for _, b := range t.branches {
		marks = union(marks, b.marks)
	}
	return marks
}

// union returns the marks of a and those that only b has. It changes neither.
func union(a, b []mail.StageMark) []mail.StageMark {
	if len(a) == 0 {
		return b
	}
	for _, m := range b {
		if !slices.Contains(a, m) {
			a = append(a[:len(a):len(a)], m)
		}
	}
	return a
}

// Emitted returns what stages have emitted and no Result has told, once: after
// phase queued, or for a message that was given up. Content of a message's own
// body is readable until that body is released.
func (t *Transaction) Emitted() []Emission {
	out := t.out
	t.out = nil
	return out
}

// Close ends the transaction, whatever became of it: the stages of phase reset
// are called, what stages keep for the transaction ends, and every body that the
// result did not hand over is dropped. It may be called again.
func (t *Transaction) Close() {
	if !t.closed {
		t.closed = true
		t.reset()
	}
	t.life.end()
	for _, b := range t.bodies {
		if !t.kept[b] {
			b.Release()
		}
	}
	t.bodies = nil
}

// reset calls the stages of phase reset that saw a hook of the transaction. Their
// verdicts and faults change nothing.
func (t *Transaction) reset() {
	if !t.p.Has(mail.PhaseReset) {
		return
	}
	marks := slices.Concat(t.queued, t.own())
	for i := range t.p.o.Steps {
		s := t.p.step(i, t.root)
		called := slices.ContainsFunc(marks, func(m mail.StageMark) bool { return m.Stage == s.Name })
		if called && s.wants(mail.PhaseReset) {
			h := newHook(t.p, &branch{env: t.root.env}, s, mail.PhaseReset, 0)
			h.lives = t.lives
			t.p.run(context.Background(), s, h)
		}
	}
}

func (t *Transaction) owns(b mail.Body) {
	if r, ok := b.(releaser); ok {
		t.bodies = append(t.bodies, r)
	}
}
