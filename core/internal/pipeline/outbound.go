// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Delivery is what is known of an attempt, or of one that is to come.
type Delivery struct {
	Route    string               // name of the route
	NextHop  string               // host name or "host:port"; empty before it is chosen
	Attempt  int                  // its number, from 1
	Outcomes map[int]mail.Outcome // by recipient index, in the phases result and bounce
	Last     map[int]mail.Outcome // of the attempt before, by recipient index
}

func (d *Delivery) fact(name string) (any, bool) {
	if d == nil {
		return nil, false
	}
	switch name {
	case "delivery.route":
		return d.Route, true
	case "delivery.next_hop":
		return d.NextHop, true
	case "delivery.attempt":
		return int64(d.Attempt), true
	}
	return nil, false
}

// Outbound is a queued message in the phases of delivery, for one attempt. One
// goroutine at a time uses it. It reads the envelope and the body that it was
// made of and changes neither.
//
// A stage that fails loses nothing: on_error tempfail is another try, quarantine
// is a hold, and in the phases result and bounce all goes on as without it. A
// message on which stages fail again and again is held.
type Outbound struct {
	p      *Pipeline
	env    *mail.Envelope
	header mail.Header
	body   mail.Body
	life   lifetime
	marks  []mail.StageMark // the stages that were called
	out    []Emission
	bodies []releaser
}

// Outbound starts the phases of delivery for a message.
func (p *Pipeline) Outbound(env *mail.Envelope, header mail.Header, body mail.Body) *Outbound {
	return &Outbound{p: p, env: env.Clone(), header: header, body: body}
}

// RouteDecision is what the stages say of a recipient's way.
type RouteDecision struct {
	Verdict mail.Verdict // Continue, Reject (failed), Tempfail (another try), Discard or Defer (hold)
	Reply   *mail.Reply  // of a reject or a tempfail; else what the stage said, or nil
	Route   string       // name of the route that a stage chose, now or before; empty: routing decides
	NextHop string       // raw next hop that a stage chose; empty: the route decides
	Outside bool         // NextHop must have a public address
	Stage   string       // that decided
}

// Route runs the stages of phase route for one recipient. d.Route is the route
// that the recipient would take.
func (o *Outbound) Route(ctx context.Context, rcpt int, d Delivery) RouteDecision {
	b := o.branch(o.env, &d)
	f := o.decide(ctx, mail.PhaseRoute, rcpt, rcpt, b)
	o.env = b.env
	r := &b.env.Recipients[rcpt]
	return RouteDecision{Verdict: f.verdict, Reply: f.reply, Route: r.Route, NextHop: r.NextHop, Outside: r.Outside, Stage: f.stage}
}

// Decision is what the stages say of an attempt, and what is to be sent.
type Decision struct {
	Verdict mail.Verdict // Continue, Reject (failed), Tempfail (another try), Discard or Defer (hold)
	Reply   *mail.Reply  // as in RouteDecision
	Stage   string       // that decided
	Changed bool         // Header, Body or Sender are not what they were
	Sender  mail.Address
	Header  mail.Header
	Body    mail.Body // belongs to the Outbound
}

// Predeliver runs the stages of phase predeliver for an attempt at some
// recipients. What stages edit is for this attempt alone.
func (o *Outbound) Predeliver(ctx context.Context, d Delivery, rcpts []int) Decision {
	b := o.branch(only(o.env, rcpts), &d)
	f := o.decide(ctx, mail.PhasePredeliver, d.Attempt, -1, b)
	return Decision{Verdict: f.verdict, Reply: f.reply, Stage: f.stage, Changed: b.changed, Sender: b.env.Sender, Header: b.header, Body: b.body}
}

// ResultDecision is what the stages say after an attempt.
type ResultDecision struct {
	Verdict   mail.Verdict // Continue; Reject: what was deferred has failed; Defer: what was not delivered is held, until NotBefore if that is set
	Reply     *mail.Reply  // of a reject; else what the stage said, or nil
	NotBefore time.Time    // when to try again; zero: as the schedule says
	Stage     string       // that decided
}

// Result runs the stages of phase result, with d.Outcomes.
func (o *Outbound) Result(ctx context.Context, d Delivery) ResultDecision {
	env := only(o.env, sortedKeys(d.Outcomes))
	env.NotBefore = time.Time{}
	b := o.branch(env, &d)
	f := o.decide(ctx, mail.PhaseResult, d.Attempt, -1, b)
	return ResultDecision{Verdict: f.verdict, Reply: f.reply, NotBefore: b.env.NotBefore, Stage: f.stage}
}

// BounceDecision is what the stages say of a report on one recipient.
type BounceDecision struct {
	Suppress bool        // no report on this recipient
	Reply    *mail.Reply // to be told in the report in place of the outcome's; nil: that one
	Header   []byte      // header fields for the report, lines ending in CRLF
	Stage    string      // that decided
}

// Bounce runs the stages of phase bounce for a recipient that has failed, before
// the report is built.
func (o *Outbound) Bounce(ctx context.Context, rcpt int, d Delivery) BounceDecision {
	b := o.branch(o.env, &d)
	f := o.decide(ctx, mail.PhaseBounce, rcpt, rcpt, b)
	return BounceDecision{Suppress: f.verdict == mail.Discard, Reply: f.reply, Header: b.added, Stage: f.stage}
}

// Stages returns the stages that were called so far with their code, each once,
// in the order of their first call.
func (o *Outbound) Stages() []mail.StageMark { return o.marks }

// Emitted returns what stages have emitted since the last call.
func (o *Outbound) Emitted() []Emission {
	out := o.out
	o.out = nil
	return out
}

// Close ends what stages keep for the attempt and drops the bodies that they
// wrote.
func (o *Outbound) Close() {
	o.life.end()
	for _, b := range o.bodies {
		b.Release()
	}
	o.bodies = nil
}

// branch is the committed state of one phase.
func (o *Outbound) branch(env *mail.Envelope, d *Delivery) *branch {
	return &branch{env: env, header: o.header, body: o.body, delivery: d, own: o.header.Find("Received", -1) + 1}
}

func (o *Outbound) decide(ctx context.Context, phase mail.Phase, arg, about int, b *branch) fate {
	if !o.p.Has(phase) {
		return fate{}
	}
	c := &chain{phase: phase, arg: arg, about: about, b: b, lives: lives{ScopeMessage: &o.life}, out: &o.out, bodies: &o.bodies}
	f := o.p.decide(ctx, c)
	o.marks = union(o.marks, b.marks)
	return o.poisoned(f, phase, about, b)
}

// only returns a copy of env with no recipients but some.
func only(env *mail.Envelope, rcpts []int) *mail.Envelope {
	c := env.Clone()
	for i := range c.Recipients {
		c.Recipients[i].Removed = true
	}
	for _, i := range rcpts {
		if i >= 0 && i < len(c.Recipients) {
			c.Recipients[i].Removed = env.Recipients[i].Removed
		}
	}
	return c
}
