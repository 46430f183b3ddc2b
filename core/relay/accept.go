// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"slices"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/report"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// enqueue puts all messages of a result into the queue in one synced batch.
func (t *transaction) enqueue(ctx context.Context, res *pipeline.Result) error {
	var ms []*queue.Message
	seen := map[mail.Body]bool{}
	for i, m := range res.Messages {
		if i > 0 {
			m.Envelope.ID = t.r.newID()
		}
		if len(res.Messages) > 1 {
			if err := t.ownBody(m, seen); err != nil {
				releaseAll(res.Messages)
				return err
			}
		}
		ms = append(ms, t.r.queued(m))
	}
	ms = append(ms, t.bounces(res)...)
	ms = append(ms, t.expansions(res)...)
	if len(ms) == 0 {
		t.emit(ctx, res.Emitted)
		return nil
	}
	return t.enqueueWith(ctx, ms, res)
}

// enqueueWith puts what the stages emitted into the same batch, and tells the
// stages of phase queued.
func (t *transaction) enqueueWith(ctx context.Context, ms []*queue.Message, res *pipeline.Result) error {
	tell := t.watched(res)
	defer releaseAll(tell)
	ms = append(ms, t.r.emissions(res.Emitted, t.origin())...)
	if err := t.r.enqueue(ctx, ms); err != nil {
		for _, m := range ms {
			release(m.Body)
		}
		return err
	}
	for _, m := range tell {
		t.tx.Queued(ctx, m)
	}
	t.emit(ctx, t.tx.Emitted())
	return nil
}

func releaseAll(ms []*pipeline.Message) {
	for _, m := range ms {
		release(m.Body)
	}
}

// watched returns the messages that the stages of phase queued will be told of:
// with the session's notes, and bodies that stay readable when the queue has
// taken theirs, and delivery has perhaps done with it.
func (t *transaction) watched(res *pipeline.Result) []*pipeline.Message {
	if !t.pl.Has(mail.PhaseQueued) {
		return nil
	}
	var ms []*pipeline.Message
	for _, m := range res.Messages {
		body, err := readable(m.Body)
		if err != nil {
			t.r.log.Error("stages are not told that a message is queued", "id", m.Envelope.ID, "error", err)
			t.r.metrics.Fault("queued")
			continue
		}
		env := *m.Envelope
		env.Client.Notes = t.client.Notes
		ms = append(ms, &pipeline.Message{Envelope: &env, Header: m.Header, Body: body, Hold: m.Hold})
	}
	return ms
}

// readable returns a body with the octets of b that does not end with b.
func readable(b mail.Body) (mail.Body, error) {
	file, ok := b.(*store.Body)
	if !ok {
		return b, nil
	}
	again, err := file.Again()
	if err != nil {
		return nil, err
	}
	return again, nil
}

// enqueue returns after the sync.
func (r *Relay) enqueue(ctx context.Context, ms []*queue.Message) error {
	e, err := r.live()
	if err != nil {
		return err
	}
	return e.queue.Enqueue(ctx, ms...)
}

// ownBody gives m a copy of its body when another message has it already: the
// queue owns each body once.
func (t *transaction) ownBody(m *pipeline.Message, seen map[mail.Body]bool) error {
	if m.Body == nil || !seen[m.Body] {
		seen[m.Body] = m.Body != nil
		return nil
	}
	body, err := t.r.copyBody(m.Body)
	m.Body = body
	return err
}

// copyBody returns a copy of b in the spool.
func (r *Relay) copyBody(b mail.Body) (mail.Body, error) {
	w := r.newBody()
	if _, err := io.Copy(w, io.NewSectionReader(b, 0, b.Size())); err != nil {
		w.Abort()
		return nil, err
	}
	return w.Finish()
}

func release(b mail.Body) {
	if r, ok := b.(interface{ Release() }); ok {
		r.Release()
	}
}

// bounces are owed to the sender for recipients that were refused although the
// message was taken, where the listener says so and the sender wants to hear.
func (t *transaction) bounces(res *pipeline.Result) []*queue.Message {
	env := t.tx.Envelope()
	if onMixed(t.l, t.lmtp.on) != pipeline.MixedBounce || env.OriginalSender.IsNull() {
		return nil
	}
	return t.report(refusedOf(env, res.Refused))
}

// report returns the report that in asks for, if there is anybody to report on.
func (t *transaction) report(in *report.Input) []*queue.Message {
	if len(in.Told) == 0 {
		return nil
	}
	m, err := t.r.dsn(in)
	if err != nil {
		t.r.log.Error("no report could be made", "id", in.Envelope.ID, "error", err)
	}
	if m == nil {
		return nil
	}
	m.Envelope.ID = t.r.newID()
	return []*queue.Message{m}
}

// expansions are owed to a sender who wants to hear of success, for recipients
// in whose place stages put others: those bring no report of their own
// (RFC 3461 §5.2.7).
func (t *transaction) expansions(res *pipeline.Result) []*queue.Message {
	env := t.tx.Envelope()
	in := &report.Input{Envelope: env}
	if res.Discarded > 0 || len(res.Refused) > 0 || !grown(res) {
		return nil // who is gone was perhaps not replaced
	}
	for i := range env.Recipients {
		r := &env.Recipients[i]
		if r.Notify.Has(mail.NotifySuccess) && !goesOn(res, i) && t.tells(r) {
			o := mail.Outcome{Recipient: i, Status: mail.Delivered}
			in.Told = append(in.Told, mail.Told{Outcome: o, Action: mail.ActionExpanded})
		}
	}
	return t.report(in)
}

// tells reports whether the route of a recipient makes reports.
func (t *transaction) tells(r *mail.Recipient) bool {
	route := t.g.routing.routes[t.g.routing.routeOf(*r)]
	return route != nil && route.DSN != delivery.DSNOff
}

// grown reports whether a stage has added a recipient.
func grown(res *pipeline.Result) bool {
	return slices.ContainsFunc(res.Messages, func(m *pipeline.Message) bool {
		return slices.ContainsFunc(m.Envelope.Recipients, func(r mail.Recipient) bool { return r.Original == "" && !r.Removed })
	})
}

// goesOn reports whether some message is for recipient i.
func goesOn(res *pipeline.Result, i int) bool {
	return slices.ContainsFunc(res.Messages, func(m *pipeline.Message) bool {
		return i < len(m.Envelope.Recipients) && !m.Envelope.Recipients[i].Removed
	})
}

// refusedOf is the report on refused recipients, to whom the client said it was.
func refusedOf(env *mail.Envelope, refused []pipeline.Refusal) *report.Input {
	e := env.Clone()
	e.Sender, e.Recipients = env.OriginalSender, nil
	in := &report.Input{Envelope: e}
	for _, f := range refused {
		r := f.Recipient
		if n := r.Notify; n != 0 && !n.Has(mail.NotifyFailure) {
			continue
		}
		e.Recipients = append(e.Recipients, mail.Recipient{Address: r.Address, Original: r.Original, ORCPT: r.ORCPT})
		o := mail.Outcome{Recipient: len(e.Recipients) - 1, Status: mail.Failed, Reply: *f.Reply}
		in.Told = append(in.Told, mail.Told{Outcome: o, Action: mail.ActionFailed})
	}
	return in
}
