// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"slices"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Mode says what a candidate does.
type Mode string

// The modes of a candidate.
const (
	Shadow Mode = "shadow" // applied never, compared always
	Canary Mode = "canary" // applied, to a share of the mail
)

// Candidate is the next version of a stage, beside the live one.
//
// As shadow it is called with every hook of the live stage, at the same time and
// on the same state, in a dry hook whose edits are dropped; what it would have
// done is compared with what the live stage did. As canary it takes its share of
// the mail in place of the live stage; when it fails, the live stage is called
// after all, so that a faulty candidate costs time and nothing else.
type Candidate struct {
	Stage Stage
	Code  string    // as Step.Code
	Mode  Mode      //
	Share float64   // of a canary, 0 to 1, by the session: one client's connection is treated alike
	When  Condition // of a canary: the mail that it takes that share of; nil: all
}

// shadowTime is the longest that the live stage's mail waits for a shadow that
// is slower than the live stage.
const shadowTime = time.Second

// Trial is what one of the two did in a hook.
type Trial struct {
	Code    string
	Called  bool // it is called in that phase
	Verdict mail.Verdict
	Reply   *mail.Reply
	Edits   []Edit
	Body    string // digest of the body that it wrote, empty for none
	Err     error
	Took    time.Duration
}

// Comparison is the account of one hook of a stage with a candidate. Of a canary
// Live is set only when the candidate failed and the live stage was called.
type Comparison struct {
	ID, Pipeline, Stage string
	Mode                Mode
	Phase               mail.Phase
	Arg                 int
	Live, Candidate     Trial
}

// Comparer is told of every hook that a candidate took part in. It must be quick
// and safe for use by many goroutines.
type Comparer interface {
	Compared(c *Comparison)
}

// candidateStep makes the step that stands for a candidate, with the slot after
// those that are taken.
func candidateStep(s *Step, slot int) *Step {
	c := *s
	c.Stage, c.Code, c.Candidate, c.slot = s.Candidate.Stage, s.Candidate.Code, nil, slot
	c.Breaker = nil // the live stage's is not about it
	if s.Candidate.Mode == Canary {
		c.fallback = s
	}
	return &c
}

// step returns the step that a message meets at place i: the stage, or its
// canary.
func (p *Pipeline) step(i int, b *branch) *Step {
	s := &p.o.Steps[i]
	if s.Candidate == nil || s.Candidate.Mode != Canary || !s.Candidate.takes(b) {
		return s
	}
	return s.candidate
}

// takes tells whether a canary gets that mail.
func (c *Candidate) takes(b *branch) bool {
	if c.When != nil {
		if ok, err := c.When.Eval(b.factsFor(-1)); !ok || err != nil {
			return false
		}
	}
	of := b.env.Client.SessionID
	if of == "" {
		of = b.env.ID
	}
	return of != "" && InShare(of, c.Share)
}

// InShare tells whether an id is among a share (0 to 1) of all ids: the same one
// always, and of many the share.
func InShare(id string, share float64) bool {
	h := fnv.New64a()
	h.Write([]byte(id))
	return float64(mix(h.Sum64()))/(1<<64) < share
}

// mix spreads a hash over all bits (the finalizer of MurmurHash3), for ids that
// differ in few of them.
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// wants tells whether the stage, or its shadow, is called in a phase.
func (s *Step) wants(phase mail.Phase) bool {
	return s.Stage.Phases().Has(phase) || s.shadow() && s.Candidate.Stage.Phases().Has(phase) ||
		s.fallback != nil && s.fallback.Stage.Phases().Has(phase)
}

func (s *Step) shadow() bool { return s.Candidate != nil && s.Candidate.Mode == Shadow }

// besides starts the shadow of a stage. The function that it returns waits for
// it, compares it with the live stage, whose hook h is not committed yet, and
// drops what it did; nil when there is none.
func (p *Pipeline) besides(ctx context.Context, s *Step, h *Hook) func(mail.Verdict, error) {
	if !s.shadow() {
		return nil
	}
	twin, began, done := h.twin(s.candidate), time.Now(), make(chan Trial, 1)
	if s.candidate.Stage.Phases().Has(h.phase) {
		go func() { done <- p.trial(ctx, twin) }()
	} else {
		done <- Trial{Code: s.candidate.Code}
	}
	return func(v mail.Verdict, err error) {
		live := h.trial(v, err, time.Since(began))
		shadow := <-done
		twin.drop()
		p.compared(h, s, Shadow, live, shadow)
	}
}

// twin returns a dry hook for another step on the same state. h is new.
func (h *Hook) twin(s *Step) *Hook {
	t := newHook(h.p, h.b, s, h.phase, h.arg)
	t.lives, t.extras, t.room, t.dry = h.lives, h.extras, h.room, true
	for _, l := range t.lives {
		if l != nil {
			l.slot(s.slot, h.p.slots) // made here, for two goroutines will look at it
		}
	}
	return t
}

// trial calls a shadow.
func (p *Pipeline) trial(ctx context.Context, h *Hook) Trial {
	ctx, cancel := context.WithTimeout(ctx, shadowTime)
	defer cancel()
	began := time.Now()
	v, err := p.safely(ctx, h.step, h)
	return h.trial(v, err, time.Since(began))
}

// trial sums up what a hook did that is not committed yet.
func (h *Hook) trial(v mail.Verdict, err error, took time.Duration) Trial {
	t := Trial{Code: h.step.Code, Called: h.step.Stage.Phases().Has(h.phase), Verdict: v, Err: err, Took: took}
	if err != nil {
		return t
	}
	t.Reply, t.Edits = h.reply, slices.Clone(h.edits)
	t.Body, t.Err = h.bodyDigest()
	return t
}

// bodyDigest returns a short digest of the bodies that a hook wrote.
func (h *Hook) bodyDigest() (string, error) {
	sum, any := sha256.New(), false
	err := h.each(func(d *draft) error {
		if err := d.finish(); err != nil || d.newBody == nil {
			return err
		}
		any = true
		return copyBody(sum, d.newBody)
	})
	if !any || err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)[:8]), nil
}

func (p *Pipeline) compared(h *Hook, s *Step, m Mode, live, candidate Trial) {
	if p.o.Comparer == nil {
		return
	}
	p.o.Comparer.Compared(&Comparison{ID: h.env.ID, Pipeline: p.o.Name, Stage: s.Name, Mode: m,
		Phase: h.phase, Arg: h.arg, Live: live, Candidate: candidate})
}

// canary runs a candidate in place of the live stage, and the live stage when it
// fails.
func (p *Pipeline) canary(ctx context.Context, s *Step, h *Hook) fate {
	fresh, began := *h, time.Now()
	v, err := p.attempt(ctx, s, h)
	if err == nil {
		err = h.commit()
	}
	t := Trial{Code: s.Code, Called: s.Stage.Phases().Has(h.phase), Verdict: v, Err: err, Took: time.Since(began)}
	p.observe(s, h, v, t.Took, err)
	if err == nil {
		t.Reply, t.Edits = h.reply, h.edits
		p.compared(h, s, Canary, Trial{}, t)
		return fate{verdict: v, reply: h.replyFor(v), stage: s.Name}
	}
	h.drop()
	*h = fresh
	h.step = s.fallback
	h.b.remark(s.fallback)
	began = time.Now()
	f := p.run(ctx, s.fallback, h)
	p.compared(h, s, Canary, Trial{Code: s.fallback.Code, Called: true, Verdict: f.verdict, Reply: f.reply, Err: f.err, Took: time.Since(began)}, t)
	return f
}

// remark notes that s was called in place of its candidate.
func (b *branch) remark(s *Step) {
	b.marks = slices.Clone(b.marks)
	for i := range b.marks {
		if b.marks[i].Stage == s.Name {
			b.marks[i].Code = s.Code
		}
	}
}

// Differences lists in what the two differ, one line each: what the live stage
// did, an arrow, what the candidate did.
func (c *Comparison) Differences() []string {
	if c.Candidate.Err != nil {
		return []string{"candidate failed: " + c.Candidate.Err.Error()}
	}
	if c.Mode == Canary {
		return nil
	}
	var ds []string
	if a, b := c.Live.says(), c.Candidate.says(); a != b {
		ds = append(ds, a+" -> "+b)
	}
	if c.Live.Err != nil {
		return ds
	}
	ds = append(ds, editsDiffer(c.Live.Edits, c.Candidate.Edits)...)
	if c.Live.Body != c.Candidate.Body {
		ds = append(ds, "body "+orNone(c.Live.Body)+" -> "+orNone(c.Candidate.Body))
	}
	return ds
}

func orNone(s string) string {
	if s == "" {
		return "unchanged"
	}
	return s
}

// says is a verdict with its reply, or a fault.
func (t *Trial) says() string {
	switch {
	case t.Err != nil:
		return "failed: " + t.Err.Error()
	case t.Reply != nil:
		return t.Verdict.String() + " " + t.Says()
	}
	return t.Verdict.String()
}

// Says is what it said with its verdict: the reply, or the reason of a verdict
// that the client is told nothing of.
func (t *Trial) Says() string {
	switch {
	case t.Reply == nil:
		return ""
	case t.Verdict == mail.Quarantine || t.Verdict == mail.Defer:
		return t.Reply.Text
	}
	return t.Reply.Line()
}

// editsDiffer lists the edits that only one of the two made.
func editsDiffer(live, candidate []Edit) []string {
	var ds []string
	rest := slices.Clone(candidate)
	for _, e := range live {
		if i := slices.Index(rest, e); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			ds = append(ds, "only live: "+e.String())
		}
	}
	for _, e := range rest {
		ds = append(ds, "only candidate: "+e.String())
	}
	return ds
}

// String returns the edit on one line.
func (e Edit) String() string {
	s := e.Op
	for _, part := range []string{e.Target, e.Value} {
		if part != "" {
			s += " " + part
		}
	}
	return s
}
