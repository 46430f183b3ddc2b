// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/postroad-mail/postroad/core/mail"
)

// Message is an accepted message for some of the recipients: those of Envelope
// that are not removed.
type Message struct {
	Envelope *mail.Envelope
	Header   mail.Header
	Body     mail.Body
	Hold     *Hold // nil: deliver
}

// Hold says that a message is to be kept, by which stage and why.
type Hold struct {
	Verdict mail.Verdict // Quarantine or Defer
	Stage   string
	Reason  string
}

// Refusal is a recipient that was refused although others were accepted.
type Refusal struct {
	Recipient mail.Recipient
	Reply     *mail.Reply
	Stage     string
}

// Result is what becomes of a message.
type Result struct {
	Reply     *mail.Reply // nil: accepted; else nothing of it is taken
	Messages  []*Message  // what to queue; more than one where recipients differ
	Refused   []Refusal   // with on_mixed accept_and_bounce: owed a DSN; with accept_and_drop: a record
	Discarded int         // recipients that a stage dropped
}

// Message runs the stages of phase message over the whole message. received is
// the id of our own Received field in header, which stages cannot change, or -1.
// The bodies in the result belong to the caller, all others go with Close.
func (t *Transaction) Message(ctx context.Context, header mail.Header, body mail.Body, received int, mixed OnMixed) Result {
	t.root.header, t.root.body, t.root.own = header, body, received+1
	t.own(body)
	t.root.settleAll(t.sticky, t.root.fates)
	branches := []*branch{t.root}
	for i := range t.p.o.Steps {
		s := &t.p.o.Steps[i]
		if !s.Stage.Phases().Has(mail.PhaseMessage) {
			continue
		}
		for _, b := range branches {
			if c := t.step(ctx, s, b); c != nil {
				branches = append(branches, c)
			}
		}
	}
	r := fold(branches, mixed)
	t.keep(r)
	return r
}

func (t *Transaction) keep(r Result) {
	t.kept = map[releaser]bool{}
	for _, m := range r.Messages {
		if b, ok := m.Body.(releaser); ok {
			t.kept[b] = true
		}
	}
}

// step runs s on b, and returns the branch that it split off, if any.
func (t *Transaction) step(ctx context.Context, s *Step, b *branch) *branch {
	if b.ended && !s.Always || b.env.Live() == 0 {
		return nil
	}
	selected, n, err := b.selected(s.When)
	switch {
	case err != nil:
		b.settleAll(fault(s, err), nil)
		return nil
	case n == 0:
		return nil
	case n == b.env.Live():
		t.runOn(ctx, s, b)
		return nil
	}
	c := b.split(selected)
	if shared := t.runOn(ctx, s, c); shared || c.ended {
		return c
	}
	for i := range selected {
		if selected[i] {
			b.env.Recipients[i].Removed = false
		}
	}
	b.merge(c, selected)
	return nil
}

func fault(s *Step, err error) fate {
	v, r := s.fault(err)
	return fate{verdict: v, reply: r, stage: s.Name}
}

// runOn runs s on b and reports whether it changed what all recipients share.
func (t *Transaction) runOn(ctx context.Context, s *Step, b *branch) (shared bool) {
	t.pass(s)
	h := newHook(t.p, b, s, mail.PhaseMessage, 0)
	v, err := t.p.call(ctx, s, h)
	if err == nil {
		err = h.commit(b)
	}
	if err != nil {
		h.drop()
		b.settleAll(fault(s, err), nil)
		return false
	}
	if h.newBody != nil {
		t.own(b.body)
	}
	for idx, f := range h.rcpts {
		b.settle(idx, f)
	}
	b.settleAll(fate{verdict: v, reply: h.replyFor(v), stage: s.Name}, h.rcpts)
	return h.shared
}

// settleAll gives f to every live recipient but those that the same stage gave
// a verdict of their own.
func (b *branch) settleAll(f fate, except map[int]fate) {
	if f.verdict == mail.Accept {
		b.ended = true
	}
	for i := range b.env.Recipients {
		if _, own := except[i]; !own && !b.env.Recipients[i].Removed {
			b.settle(i, f)
		}
	}
}

// selected evaluates `when` for b: which recipients the stage sees, and how many.
func (b *branch) selected(c Condition) ([]bool, int, error) {
	sel, n := make([]bool, len(b.env.Recipients)), 0
	all := c == nil
	if c != nil && !c.PerRecipient() {
		ok, err := c.Eval(b.factsFor(-1))
		if err != nil || !ok {
			return sel, 0, err
		}
		all = true
	}
	for i := range b.env.Recipients {
		if b.env.Recipients[i].Removed {
			continue
		}
		ok := all
		if !all {
			var err error
			if ok, err = c.Eval(b.factsFor(i)); err != nil {
				return sel, 0, err
			}
		}
		if ok {
			sel[i] = true
			n++
		}
	}
	return sel, n, nil
}
