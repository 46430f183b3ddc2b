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
	p      *Pipeline
	root   *branch
	sticky fate       // of phase mail, for all recipients: a failed stage's quarantine
	passed []string   // names of the stages that were called, in order
	bodies []releaser // every body made on the way
	kept   map[releaser]bool
}

// releaser is a body that holds something until it is released.
type releaser interface{ Release() }

// Begin starts a transaction for env, which the transaction then owns.
func (p *Pipeline) Begin(env *mail.Envelope) *Transaction {
	return &Transaction{p: p, root: &branch{env: env}}
}

// Envelope returns the committed envelope. It belongs to the transaction.
func (t *Transaction) Envelope() *mail.Envelope { return t.root.env }

// Mail runs the stages of phase mail. A reply refuses the sender.
func (t *Transaction) Mail(ctx context.Context) *mail.Reply {
	f := t.runEarly(ctx, mail.PhaseMail, 0)
	if f.refused() {
		return f.reply
	}
	t.sticky = f
	return nil
}

// Rcpt adds a recipient and runs the stages of phase rcpt for it. A reply
// refuses the recipient; a discarded one is accepted and goes no further.
func (t *Transaction) Rcpt(ctx context.Context, r mail.Recipient) *mail.Reply {
	t.root.env.Recipients = append(t.root.env.Recipients, r)
	idx := len(t.root.env.Recipients) - 1
	f := t.runEarly(ctx, mail.PhaseRcpt, idx)
	if f.refused() { // told so at once: nothing of it stays, however many there are
		t.root.env.Recipients = t.root.env.Recipients[:idx]
		return f.reply
	}
	t.root.settle(idx, f)
	return nil
}

// runEarly runs the stages of a phase that has one thing to decide.
func (t *Transaction) runEarly(ctx context.Context, phase mail.Phase, arg int) fate {
	var sticky fate
	for i := range t.p.o.Steps {
		s := &t.p.o.Steps[i]
		if !s.Stage.Phases().Has(phase) {
			continue
		}
		f := t.early(ctx, s, phase, arg)
		switch {
		case f.verdict == mail.Accept:
			return sticky
		case f.verdict.Final():
			return f
		case f.verdict != mail.Continue:
			sticky = f
		}
	}
	return sticky
}

func (t *Transaction) early(ctx context.Context, s *Step, phase mail.Phase, arg int) fate {
	about := -1
	if phase == mail.PhaseRcpt {
		about = arg
	}
	ok, err := selects(s.When, t.root.factsFor(about))
	if err == nil && !ok {
		return fate{}
	}
	h := newHook(t.p, t.root, s, phase, arg)
	var v mail.Verdict
	if err == nil {
		t.pass(s)
		v, err = t.p.call(ctx, s, h)
	}
	if err == nil {
		err = h.commit(t.root)
	}
	if err != nil {
		h.drop()
		v, r := s.fault(err)
		return fate{verdict: v, reply: r, stage: s.Name}
	}
	return fate{verdict: v, reply: h.replyFor(v), stage: s.Name}
}

func selects(c Condition, fact func(string) (any, bool)) (bool, error) {
	if c == nil {
		return true, nil
	}
	return c.Eval(fact)
}

// Passed returns the names of the stages that were called so far, each once, in
// the order of their first call.
func (t *Transaction) Passed() []string { return t.passed }

func (t *Transaction) pass(s *Step) {
	if !slices.Contains(t.passed, s.Name) {
		t.passed = append(t.passed, s.Name)
	}
}

// Close drops every body that the result did not hand over.
func (t *Transaction) Close() {
	for _, b := range t.bodies {
		if !t.kept[b] {
			b.Release()
		}
	}
	t.bodies = nil
}

func (t *Transaction) own(b mail.Body) {
	if r, ok := b.(releaser); ok {
		t.bodies = append(t.bodies, r)
	}
}

// fate is what was decided for one recipient, or for the message.
type fate struct {
	verdict mail.Verdict
	reply   *mail.Reply
	stage   string
}

func (f fate) refused() bool { return f.verdict == mail.Reject || f.verdict == mail.Tempfail }

// branch is one line of a message's way. A stage that is for some recipients
// only, and changes what all share, splits a branch in two.
type branch struct {
	env    *mail.Envelope
	header mail.Header
	body   mail.Body
	fates  map[int]fate // by recipient index; absent: no verdict yet
	ended  bool         // accepted: only stages marked always still run
	own    int          // id of our Received field, protected; 0-based id + 1
}

// settle records a recipient's fate. A refused or discarded one leaves the
// envelope; a held one stays.
func (b *branch) settle(idx int, f fate) {
	if f.verdict == mail.Continue || f.verdict == mail.Accept {
		return
	}
	if b.fates == nil {
		b.fates = map[int]fate{}
	}
	b.fates[idx] = f
	if f.refused() || f.verdict == mail.Discard {
		b.env.Recipients[idx].Removed = true
	}
}

// split returns a branch for the selected recipients and leaves the others in b.
func (b *branch) split(selected []bool) *branch {
	c := &branch{env: b.env.Clone(), header: b.header.Clone(), body: b.body, ended: b.ended, own: b.own, fates: map[int]fate{}}
	for i := range b.env.Recipients {
		if i < len(selected) && selected[i] {
			b.env.Recipients[i].Removed = true
			if f, ok := b.fates[i]; ok {
				c.fates[i] = f
				delete(b.fates, i)
			}
		} else {
			c.env.Recipients[i].Removed = true
		}
	}
	return c
}

// merge gives the recipients of c, which changed nothing that all share, back
// to b.
func (b *branch) merge(c *branch, selected []bool) {
	for i := range c.env.Recipients {
		switch {
		case i >= len(b.env.Recipients):
			b.env.Recipients = append(b.env.Recipients, c.env.Recipients[i])
		case i < len(selected) && selected[i]:
			b.env.Recipients[i] = c.env.Recipients[i]
		}
	}
	for i, f := range c.fates {
		b.settle(i, f)
	}
}
