// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/kit"
)

// room is the world of one case, with a session, a transaction and an attempt
// that begin when they are first needed. It is the stage of its pipeline: it
// hands each hook to the instance that the kit chose.
type room struct {
	host   *host
	world  *world
	stages []*wasmhost.Stage
	pipe   *pipeline.Pipeline
	from   int // where the log of this case begins

	instance int
	failed   bool // the hook failed

	client  *mail.Client
	session *pipeline.Session
	tx      *pipeline.Transaction
	rcpts   int // recipients that the transaction has got
	result  *pipeline.Result
	out     *pipeline.Outbound
	state   map[string]string
}

// Phases implements pipeline.Stage.
func (r *room) Phases() mail.PhaseSet { return r.stages[0].Phases() }

// Run implements pipeline.Stage.
func (r *room) Run(ctx context.Context, h *pipeline.Hook) (mail.Verdict, error) {
	return r.seed(r.stages[r.instance].Run(ctx, h))
}

// StageDone implements pipeline.Observer: a verdict that does not fit its reply is
// known here.
func (r *room) StageDone(_ *mail.Envelope, _ string, _ mail.Phase, _ mail.Verdict, _ time.Duration, err error) {
	r.failed = err != nil
}

// Hook implements kit.Room.
func (r *room) Hook(instance, phase int) kit.Outcome {
	r.instance, r.failed = instance, false
	r.state["decision"] = r.call(context.Background(), mail.Phase(phase)).String()
	return kit.Outcome{Failed: r.failed || r.ourFault()}
}

// ourFault tells whether the last reply is the one of on_error: then the stage
// failed behind its hook, in the commit.
func (r *room) ourFault() bool { return strings.HasPrefix(r.state["reply"], "451 4.3.0") }

// call makes a hook of a phase and returns what was decided.
func (r *room) call(ctx context.Context, phase mail.Phase) mail.Verdict {
	delete(r.state, "reply")
	switch {
	case phase < mail.PhaseMail:
		return r.ofSession(ctx, phase)
	case phase <= mail.PhaseQueued, phase == mail.PhaseReset:
		return r.ofTransaction(ctx, phase)
	case phase == mail.PhaseTick:
		r.emitted(r.pipe.Tick(ctx, "kit"))
		return mail.Continue
	}
	return r.ofDelivery(ctx, phase)
}

// replied notes a reply and returns the verdict that it means.
func (r *room) replied(reply *mail.Reply) mail.Verdict {
	if reply == nil {
		return mail.Continue
	}
	r.state["reply"] = reply.Line()
	if reply.Temporary() {
		return mail.Tempfail
	}
	return mail.Reject
}

func (r *room) ofSession(ctx context.Context, phase mail.Phase) mail.Verdict {
	s := r.begun()
	switch phase {
	case mail.PhaseConnect:
		return r.replied(s.Connect(ctx))
	case mail.PhaseTLS:
		return r.replied(s.TLS(ctx))
	case mail.PhaseHelo:
		list, reply := s.Helo(ctx, []string{"PIPELINING", "SIZE 100"})
		r.state["ehlo"] = strings.Join(list, ",")
		return r.replied(reply)
	}
	return r.replied(s.Auth(ctx, []byte("hush")))
}

func (r *room) begun() *pipeline.Session {
	if r.session == nil {
		r.client = client()
		r.session = r.pipe.Session(r.client)
	}
	return r.session
}

func (r *room) ofTransaction(ctx context.Context, phase mail.Phase) mail.Verdict {
	t := r.transaction()
	switch phase {
	case mail.PhaseMail:
		return r.replied(t.Mail(ctx))
	case mail.PhaseRcpt:
		r.complete(1)
		r.rcpts = 2
		return r.orResult(r.replied(t.Rcpt(ctx, recipients()[1])))
	}
	r.complete(2)
	switch phase {
	case mail.PhaseData:
		return r.replied(t.Data(ctx))
	case mail.PhaseHeaders:
		return r.orResult(r.replied(t.Headers(ctx, mail.ParseHeader([]byte(header)), received)))
	case mail.PhaseBody:
		return r.replied(t.Body(ctx, []byte(chunk), chunkOffset+r.host.amiss("the offset of a chunk is wrong")))
	case mail.PhaseMessage:
		return r.message(ctx)
	case mail.PhaseQueued:
		t.Queued(ctx, r.queued())
		r.emitted(t.Emitted())
	case mail.PhaseReset:
		t.Close()
		r.tx = nil
	}
	return mail.Continue
}

func (r *room) transaction() *pipeline.Transaction {
	if r.tx == nil {
		r.tx = r.begun().Begin(envelope(r.client))
	}
	return r.tx
}

// complete adds the first n recipients, for which no hook is called.
func (r *room) complete(n int) {
	e := r.tx.Envelope()
	for ; r.rcpts < n; r.rcpts++ {
		e.Recipients = append(e.Recipients, recipients()[r.rcpts])
	}
}

// orResult is the verdict, or what sticks to a recipient or to the message when
// nobody was refused; that comes out at the end of data.
func (r *room) orResult(v mail.Verdict) mail.Verdict {
	if v != mail.Continue || r.stages[0].Phases().Has(mail.PhaseMessage) {
		return v
	}
	return r.message(context.Background())
}

func (r *room) message(ctx context.Context) mail.Verdict {
	res := r.transaction().Message(ctx, mail.ParseHeader([]byte(header)), mail.BytesBody(body), received, pipeline.MixedBounce)
	r.result = &res
	r.emitted(res.Emitted)
	if v := r.replied(res.Reply); v != mail.Continue {
		return v
	}
	for _, m := range res.Messages {
		if m.Hold != nil {
			return m.Hold.Verdict
		}
	}
	if res.Discarded > 0 {
		return mail.Discard
	}
	return mail.Continue
}

// queued is what lies in the queue.
func (r *room) queued() *pipeline.Message {
	if r.result != nil && len(r.result.Messages) > 0 {
		return r.result.Messages[0]
	}
	return &pipeline.Message{Envelope: r.tx.Envelope(), Header: mail.ParseHeader([]byte(header)), Body: mail.BytesBody(body)}
}

func (r *room) ofDelivery(ctx context.Context, phase mail.Phase) mail.Verdict {
	o := r.outbound()
	rcpt := 1 - int(r.host.amiss("a phase is about another recipient"))
	defer func() { r.emitted(o.Emitted()) }()
	switch phase {
	case mail.PhaseRoute:
		d := o.Route(ctx, rcpt, delivery(false))
		r.state["chosen"] = d.Route + d.NextHop
		return d.Verdict
	case mail.PhasePredeliver:
		return r.attempt(o.Predeliver(ctx, delivery(false), []int{0, 1}))
	case mail.PhaseResult:
		d := o.Result(ctx, delivery(true))
		r.replied(d.Reply)
		if !d.NotBefore.IsZero() {
			r.state["not_before"] = fmt.Sprint(d.NotBefore.UnixMilli())
		}
		return d.Verdict
	}
	d := o.Bounce(ctx, rcpt, delivery(true))
	r.state["report"] = string(d.Header)
	if d.Suppress {
		return mail.Discard
	}
	return mail.Continue
}

func (r *room) outbound() *pipeline.Outbound {
	if r.out == nil {
		e := envelope(client())
		e.Recipients = recipients()
		r.out = r.pipe.Outbound(e, mail.ParseHeader([]byte(header)), mail.BytesBody(body))
	}
	return r.out
}

func (r *room) attempt(d pipeline.Decision) mail.Verdict {
	if d.Changed {
		r.state["changed"] = "true"
	}
	r.state["sent body"] = read(d.Body)
	return d.Verdict
}

func (r *room) emitted(es []pipeline.Emission) {
	for n, e := range es {
		var to []string
		for _, a := range e.Recipients {
			to = append(to, string(a))
		}
		r.state[fmt.Sprint("emitted ", n)] = string(e.Sender) + ">" + strings.Join(to, ",") + "|" + string(e.Header) + "|" + read(e.Content)
	}
}

// read returns a body whole; "" for none.
func read(b mail.Body) string {
	if b == nil {
		return ""
	}
	p := make([]byte, b.Size())
	if _, err := b.ReadAt(p, 0); err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	return string(p)
}

// Log implements kit.Room.
func (r *room) Log() string { return r.host.log.from(r.from) }

// State implements kit.Room.
func (r *room) State() map[string]string {
	r.world.tell(r.state)
	if r.client != nil {
		for k, v := range r.client.Notes {
			r.state["session "+k] = v
		}
	}
	switch {
	case r.result != nil:
		for n, m := range r.result.Messages {
			r.tellMessage(n, m)
		}
	case r.tx != nil:
		r.tellEnvelope("", r.tx.Envelope())
	}
	return r.state
}

func (r *room) tellMessage(n int, m *pipeline.Message) {
	if n == 0 {
		r.tellEnvelope("", m.Envelope)
		r.state["header"], r.state["body"] = string(m.Header.AppendTo(nil)), read(m.Body)
		return
	}
	child := fmt.Sprintf("child %d ", n)
	r.state[child+"sender"] = string(m.Envelope.Sender)
	r.state[child+"subject"], _ = m.Header.Get("Subject")
	for i, rc := range m.Envelope.Recipients {
		if !rc.Removed {
			r.state[child+"rcpt"] = fmt.Sprintf("%d %s", i, rc.Address)
		}
	}
}

func (r *room) tellEnvelope(prefix string, e *mail.Envelope) {
	r.state[prefix+"sender"] = string(e.Sender)
	for i, rc := range e.Recipients {
		if rc.Removed {
			continue
		}
		key := fmt.Sprintf("%srcpt %d", prefix, i)
		r.state[key] = string(rc.Address)
		r.tellIf(key+" route", rc.Route)
		r.tellIf(key+" hop", rc.NextHop)
	}
	for k, v := range e.Meta {
		r.tellIf("meta "+k, v)
	}
	for _, s := range e.Scores {
		r.state["score "+s.Symbol] = fmt.Sprint(s.Milli)
	}
	r.tellQueue(e)
}

func (r *room) tellQueue(e *mail.Envelope) {
	r.state["queue priority"] = fmt.Sprint(e.Priority)
	r.state["queue dsn"] = "1"
	if e.NoDSN {
		r.state["queue dsn"] = "0"
	}
	r.tellIf("tenant", e.Tenant)
	r.tellIf("campaign", e.Campaign)
	if !e.NotBefore.IsZero() {
		r.state["queue not_before"] = fmt.Sprint(e.NotBefore.UnixMilli())
	}
	if !e.Expires.IsZero() {
		r.state["queue expires"] = fmt.Sprint(e.Expires.UnixMilli())
	}
}

func (r *room) tellIf(key, value string) {
	if value != "" {
		r.state[key] = value
	}
}

// Close implements kit.Room.
func (r *room) Close() {
	if r.tx != nil {
		r.tx.Close()
	}
	if r.session != nil {
		r.session.Close()
	}
	if r.out != nil {
		r.out.Close()
	}
	for _, s := range r.stages {
		_ = s.Close()
	}
}
