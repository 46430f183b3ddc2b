// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"

	"github.com/postroad-mail/postroad/core/mail"
)

// Data runs the stages of phase data, after DATA and before its 354 (BDAT:
// before the first chunk is taken). A reply refuses the message.
func (t *Transaction) Data(ctx context.Context) *mail.Reply {
	return t.conclude(t.decide(ctx, mail.PhaseData, 0, -1))
}

// Headers runs the stages of phase headers over the header section, as soon as
// it is complete. received is the id of our own Received field in it, or -1. A
// reply refuses the message: the rest of it is read and thrown away. Edits stay;
// a message that is discarded or quarantined here goes on to phase message.
func (t *Transaction) Headers(ctx context.Context, header mail.Header, received int) *mail.Reply {
	t.head(header, received)
	return t.conclude(t.decide(ctx, mail.PhaseHeaders, 0, -1))
}

func (t *Transaction) head(header mail.Header, received int) {
	t.root.header, t.root.own, t.came, t.headed = header, received+1, header, true
}

// conclude keeps what a phase before the end of the data came to: a refusal for
// those who still ask, anything else for every recipient. The fault of a stage
// that the message may be the cause of is decided when all of it is there.
func (t *Transaction) conclude(f fate) *mail.Reply {
	switch {
	case t.headed && t.suspects(f):
		t.suspect = f
	case f.refused() && t.over == nil:
		t.over = f.reply
	case !f.refused() && f.verdict != mail.Continue:
		t.root.settleAll(f, nil)
	}
	return t.over
}

// feed is what a stage wants of the body.
type feed uint8

const (
	feedUnasked feed = iota
	feedWanted
	feedEnough
)

// WantsBody reports whether a chunk of the body would reach any stage. It is
// asked again before each chunk.
func (t *Transaction) WantsBody() bool {
	if !t.p.Has(mail.PhaseBody) || t.over != nil || t.suspect.failed || t.root.env.Live() == 0 {
		return false
	}
	for i := range t.p.o.Steps {
		if t.p.step(i, t.root).wants(mail.PhaseBody) && (t.feeds == nil || t.feeds[i] != feedEnough) {
			return true
		}
	}
	return false
}

// Body runs the stages of phase body over a chunk that starts at octet off of
// the body. `when` is asked at the first chunk; a stage that says skip gets no
// more of this message. The chunk is not kept. A reply refuses the message.
func (t *Transaction) Body(ctx context.Context, chunk []byte, off int64) *mail.Reply {
	if !t.WantsBody() {
		return t.over
	}
	if t.feeds == nil {
		t.feeds = make([]feed, len(t.p.o.Steps))
	}
	c := &chain{phase: mail.PhaseBody, arg: len(chunk), about: -1, b: t.root, lives: t.lives, extras: &extras{chunk: chunk, offset: off}}
	for i := range t.p.o.Steps {
		s := t.p.step(i, t.root)
		if !s.wants(mail.PhaseBody) || t.feeds[i] == feedEnough {
			continue
		}
		if r := t.conclude(t.feed(ctx, s, c, &t.feeds[i])); r != nil || t.suspect.failed {
			return r
		}
	}
	return nil
}

// feed gives a stage a chunk. One that has failed gets no more.
func (t *Transaction) feed(ctx context.Context, s *Step, c *chain, state *feed) fate {
	var f fate
	if *state == feedUnasked {
		f = t.p.ask(s, c, state)
	}
	if *state == feedWanted {
		f = t.p.called(ctx, s, c)
	}
	if f.failed || f.verdict == mail.Skip {
		*state = feedEnough
	}
	if f.verdict == mail.Skip {
		return fate{}
	}
	return f
}

// ask finds out whether a stage wants the body at all.
func (p *Pipeline) ask(s *Step, c *chain, state *feed) fate {
	ok, err := c.selects(s)
	switch {
	case err != nil:
		return s.fault(c.phase, err)
	case ok:
		*state = feedWanted
	default:
		*state = feedEnough
	}
	return fate{}
}

// Queued tells the stages of phase queued that m is in the queue. Its envelope
// and header are only read, by the time of the call they belong to the queue;
// its body has to be readable still. What they emit is in Emitted.
func (t *Transaction) Queued(ctx context.Context, m *Message) {
	if !t.p.Has(mail.PhaseQueued) {
		return
	}
	b := &branch{env: m.Envelope, header: m.Header, body: m.Body}
	t.p.decide(ctx, &chain{phase: mail.PhaseQueued, about: -1, b: b, lives: t.lives, out: &t.out})
	t.queued = append(t.queued, b.marks...)
}
