// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// deliveryHooks are the pipelines of routes, as delivery declares them. Each
// attempt uses the generation that is live when it begins, and keeps it open.
type deliveryHooks struct{ r *Relay }

// Wants implements delivery.Hooks.
func (h deliveryHooks) Wants(route string, p mail.Phase) bool {
	pl := h.r.gen.Load().routePipeline(route)
	return pl != nil && pl.Has(p)
}

// Begin implements delivery.Hooks.
func (h deliveryHooks) Begin(route string, env *mail.Envelope, c delivery.Content) delivery.Attempt {
	g := h.r.acquire()
	pl := g.routePipeline(route)
	if pl == nil {
		g.done()
		return nil
	}
	header := mail.ParseHeader(c.Header)
	header.End()
	return &attempt{r: h.r, g: g, env: env, out: pl.Outbound(env, header, c.Body)}
}

// routePipeline returns the pipeline of a route as it runs now, nil if there is
// none.
func (g *generation) routePipeline(route string) *pipeline.Pipeline {
	r := g.routing.routes[route]
	if r == nil || r.Pipeline == "" {
		return nil
	}
	return g.pipeline(r.Pipeline)
}

// attempt is one delivery attempt with the stages of its generation.
type attempt struct {
	r   *Relay
	g   *generation
	env *mail.Envelope
	out *pipeline.Outbound
}

func known(f delivery.Facts) pipeline.Delivery {
	return pipeline.Delivery{Route: f.Route, NextHop: f.NextHop, Attempt: f.Attempt, Outcomes: f.Outcomes, Last: f.Last}
}

// Route implements delivery.Attempt.
func (a *attempt) Route(ctx context.Context, rcpt int, f delivery.Facts) delivery.Choice {
	d := a.out.Route(ctx, rcpt, known(f))
	return delivery.Choice{Ruling: delivery.Ruling{Verdict: d.Verdict, Reply: d.Reply, Stage: d.Stage}, Route: d.Route, NextHop: d.NextHop, Outside: d.Outside}
}

// Predeliver implements delivery.Attempt.
func (a *attempt) Predeliver(ctx context.Context, f delivery.Facts, rcpts []int) delivery.Edited {
	d := a.out.Predeliver(ctx, known(f), rcpts)
	e := delivery.Edited{Ruling: delivery.Ruling{Verdict: d.Verdict, Reply: d.Reply, Stage: d.Stage}}
	if !d.Changed {
		return e
	}
	env := *a.env
	env.Sender = d.Sender
	env.EightBit = true // who wrote it did not say
	e.Changed, e.Envelope, e.Body = true, &env, d.Body
	e.Header = d.Header.AppendTo(make([]byte, 0, d.Header.Size()))
	return e
}

// Result implements delivery.Attempt.
func (a *attempt) Result(ctx context.Context, f delivery.Facts) delivery.Review {
	d := a.out.Result(ctx, known(f))
	return delivery.Review{Ruling: delivery.Ruling{Verdict: d.Verdict, Reply: d.Reply, Stage: d.Stage}, NotBefore: d.NotBefore}
}

// Bounce implements delivery.Attempt.
func (a *attempt) Bounce(ctx context.Context, rcpt int, f delivery.Facts) delivery.Notice {
	d := a.out.Bounce(ctx, rcpt, known(f))
	return delivery.Notice{Suppress: d.Suppress, Reply: d.Reply, Header: d.Header}
}

// End implements delivery.Attempt. What stages emitted may hold the message's
// body, so it is queued first, whatever time is left.
func (a *attempt) End() {
	defer a.g.done()
	defer a.out.Close()
	if marks := a.out.Stages(); len(marks) > 0 && a.r.log.IsInfo() {
		a.r.log.Info("stages of an attempt", "id", a.env.ID, "stages", spelled(marks))
	}
	a.r.emit(context.Background(), a.out.Emitted(), origin{id: a.env.ID, binary: a.env.Binary, requireTLS: a.env.RequireTLS})
}
