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
	Index     int // of the recipient in the envelope
	Reply     *mail.Reply
	Stage     string
}

// Result is what becomes of a message.
type Result struct {
	Reply     *mail.Reply // nil: accepted; else nothing of it is taken
	Messages  []*Message  // what to queue; more than one where recipients differ
	Refused   []Refusal   // with on_mixed accept_and_bounce: owed a DSN; with accept_and_drop: a record; with MixedEach also those tempfailed, and all when none is left
	Discarded int         // recipients that a stage dropped
	Emitted   []Emission  // new messages to queue, whatever Reply says
}

// Message runs the stages of phase message over the whole message. received is
// the id of our own Received field in header, which stages cannot change, or -1;
// after Headers both are what Headers made of them. The bodies in the result
// belong to the caller, all others go with Close.
func (t *Transaction) Message(ctx context.Context, header mail.Header, body mail.Body, received int, mixed OnMixed) Result {
	if !t.headed {
		t.head(header, received)
	}
	t.root.body = body
	t.owns(body)
	if t.over != nil {
		return Result{Reply: t.over, Emitted: t.Emitted()}
	}
	t.first = *t.root
	t.first.header = t.came
	t.root.settleAll(t.sticky, t.root.fates)
	if f := t.poisoned(t.suspect); f.refused() {
		return Result{Reply: f.reply, Emitted: t.Emitted()}
	} else if f.failed {
		t.root.settleAll(f, nil)
	}
	t.branches = []*branch{t.root}
	for i := range t.p.o.Steps {
		s := t.p.step(i, t.root)
		if !s.wants(mail.PhaseMessage) {
			continue
		}
		for _, b := range t.branches {
			t.branches = append(t.branches, t.step(ctx, s, b)...)
		}
	}
	r := fold(t.branches, mixed)
	for _, m := range r.Messages {
		m.Envelope.Stages = union(t.session, m.Envelope.Stages)
	}
	r.Emitted = t.Emitted()
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

// step runs s on b, and returns the branches that split off.
func (t *Transaction) step(ctx context.Context, s *Step, b *branch) []*branch {
	if b.ended && !s.Always || b.env.Live() == 0 {
		return nil
	}
	selected, n, err := b.selected(s.When)
	switch {
	case err != nil:
		b.settleAll(s.fault(mail.PhaseMessage, err), nil)
		return nil
	case n == 0:
		return nil
	case n == b.env.Live():
		_, children := t.runOn(ctx, s, b)
		return children
	}
	c := b.split(selected)
	shared, children := t.runOn(ctx, s, c)
	if shared || c.ended || c.keeps().verdict != b.keeps().verdict {
		return append(children, c)
	}
	for i := range selected {
		if selected[i] {
			b.env.Recipients[i].Removed = false
		}
	}
	b.merge(c, selected)
	return nil
}

// runOn runs s on b and reports whether it changed what all recipients share,
// and the branches that it split off.
func (t *Transaction) runOn(ctx context.Context, s *Step, b *branch) (shared bool, children []*branch) {
	b.mark(s)
	h := newHook(t.p, b, s, mail.PhaseMessage, 0)
	h.lives, h.out, h.room = t.lives, &t.out, max(0, maxBranches-len(t.branches))
	f := t.poisoned(t.p.run(ctx, s, h))
	t.bodies = append(t.bodies, h.bodies()...)
	for idx, own := range h.rcpts {
		h.holder(idx).settle(idx, own)
	}
	b.settleAll(f, h.rcpts)
	for _, c := range h.children {
		c.settleAll(f, h.rcpts)
	}
	return h.shared, h.children
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
