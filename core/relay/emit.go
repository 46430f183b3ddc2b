// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// origin is where messages that stages emit come from, for logs. What does not
// apply is empty.
type origin struct {
	id       string // of the message at hand
	listener string
	session  string

	binary, requireTLS bool // the message at hand is
}

func (t *transaction) origin() origin {
	env := t.tx.Envelope()
	return origin{id: env.ID, listener: t.l.Name, session: t.client.SessionID, binary: env.Binary, requireTLS: env.RequireTLS}
}

func (t *transaction) emit(ctx context.Context, es []pipeline.Emission) {
	t.r.emit(ctx, es, t.origin())
}

// emit queues what stages have emitted, in a batch of its own. It returns after
// the sync. Nobody waits for these messages: a failure is logged and counted.
func (r *Relay) emit(ctx context.Context, es []pipeline.Emission, from origin) {
	ms := r.emissions(es, from)
	if len(ms) == 0 {
		return
	}
	err := r.enqueue(ctx, ms)
	if err == nil {
		return
	}
	for _, m := range ms {
		release(m.Body)
		r.lost(m.Envelope.ID, from, err)
	}
}

// emissions makes messages for the queue of what stages have emitted. They are
// routed like any other, and pass no pipeline.
func (r *Relay) emissions(es []pipeline.Emission, from origin) []*queue.Message {
	var ms []*queue.Message
	for i := range es {
		env := r.emittedEnvelope(&es[i], from)
		m, err := r.emission(&es[i], env)
		if err != nil {
			r.lost(env.ID, from, err)
			continue
		}
		r.log.Info("a stage emits a message", "id", env.ID, "of", from.id, "stage", es[i].Stage, "recipients", env.Live())
		ms = append(ms, m)
	}
	return ms
}

func (r *Relay) lost(id string, from origin, err error) {
	r.log.Error("a message that a stage emitted is not queued", "id", id, "of", from.id, "session", from.session, "error", err)
	r.metrics.Fault("emit")
}

// emittedEnvelope is that of a message that a stage emitted. One about a message
// that requires TLS requires it too (RFC 8689 §6).
func (r *Relay) emittedEnvelope(e *pipeline.Emission, from origin) *mail.Envelope {
	env := &mail.Envelope{
		ID: r.newID(), Sender: e.Sender, OriginalSender: e.Sender, Received: r.clock.Now(), EightBit: true, SMTPUTF8: !e.Sender.ASCII(),
		Client: mail.Client{Protocol: "local", Listener: from.listener, SessionID: from.session},
		Binary: from.binary && e.OfMessage, RequireTLS: from.requireTLS,
	}
	for _, a := range e.Recipients {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: a})
		env.SMTPUTF8 = env.SMTPUTF8 || !a.ASCII()
	}
	return env
}

// emission returns an emitted message with our trace field on top. A body that
// is the message's at hand is copied, for the queue owns each body once.
func (r *Relay) emission(e *pipeline.Emission, env *mail.Envelope) (*queue.Message, error) {
	h := mail.ParseHeader(e.Header)
	h.End()
	if _, err := h.InsertTop("Received", emittedBy(e.Stage, r.gen.Load().config.Server.Hostname, env)); err != nil {
		return nil, err
	}
	body := e.Content
	if e.OfMessage && body != nil {
		var err error
		if body, err = r.copyBody(body); err != nil {
			return nil, err
		}
	}
	return &queue.Message{Envelope: env, Header: h.AppendTo(make([]byte, 0, h.Size())), Body: body}, nil
}

// emittedBy returns the value of our Received field in a message that a stage
// emitted: nobody handed it to us, so it has no "from".
func emittedBy(stage, hostname string, env *mail.Envelope) string {
	b := appendToken([]byte("by "), hostname)
	b = appendToken(append(b, " (stage "...), stage)
	b = append(b, ") with local id "...)
	b = append(b, env.ID...)
	return string(env.Received.AppendFormat(append(b, "; "...), time.RFC1123Z))
}
