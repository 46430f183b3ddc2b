// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// door takes mail of one listener: it is smtpin's Backend, and Submit's.
type door struct {
	r        *Relay
	listener string
}

// Reasons of refusals, for metrics and logs; those of the protocol are smtpin's.
const (
	refusedMail    = "sender"
	refusedRcpt    = "recipient"
	refusedRelay   = "relay_denied"
	refusedMessage = "message"
	refusedLoop    = "loop"
	refusedHeader  = "header_size"
	refusedQueue   = "queue"
)

func (d *door) begin(ctx context.Context, c *mail.Client, from mail.Address, p smtpin.MailParams) (*transaction, *mail.Reply) {
	if err := d.r.room(p.Size); err != nil {
		return nil, mail.ReplyOf(err)
	}
	g := d.r.acquire()
	l := g.listeners[d.listener]
	if l == nil { // a reload took it away under this session
		g.done()
		return nil, mail.NewReply(421, mail.Enhanced{4, 3, 2}, "this listener is going down, try again later")
	}
	pl := g.pipelines[l.Pipeline]
	if pl == nil {
		pl = d.r.noStages
	}
	if c.Notes == nil {
		c.Notes = map[string]string{}
	}
	t := &transaction{r: d.r, g: g, l: l, client: c, trusted: mayRelay(l, c.Addr.Addr())}
	t.tx = pl.Begin(&mail.Envelope{
		ID: d.r.newID(), Sender: from, OriginalSender: from, Client: *c, Received: d.r.clock.Now(),
		DeclaredSize: p.Size, SMTPUTF8: p.SMTPUTF8, EightBit: p.EightBit, Params: p.Params,
	})
	if r := t.tx.Mail(ctx); r != nil {
		t.refused(refusedMail, r)
		t.Close()
		return nil, r
	}
	return t, nil
}

// transaction is one envelope from MAIL to the reply to its data.
type transaction struct {
	r       *Relay
	g       *generation
	l       *config.Listener
	client  *mail.Client
	tx      *pipeline.Transaction
	trusted bool // the client may send anywhere

	refusals int // so far
}

// loggedRefusals is how many refusals of one transaction are logged at info.
const loggedRefusals = 10

// Rcpt accepts a recipient for whom we may take mail, if the stages agree.
func (t *transaction) Rcpt(ctx context.Context, to mail.Address, params string) *mail.Reply {
	env := t.tx.Envelope()
	for i := range env.Recipients {
		if r := &env.Recipients[i]; sameMailbox(r.Original, to) && !r.Removed {
			return nil // once is enough
		}
	}
	if !t.trusted && !t.g.routing.ours(to.Domain()) {
		r := mail.NewReply(554, mail.Enhanced{5, 7, 1}, "relaying denied")
		t.refused(refusedRelay, r)
		return r
	}
	r := t.tx.Rcpt(ctx, mail.Recipient{Address: to, Original: to, Params: params})
	if r != nil {
		t.refused(refusedRcpt, r)
	}
	return r
}

// Ready implements smtpin.Transaction.
func (t *transaction) Ready(context.Context) *mail.Reply { return nil }

// sameMailbox reports whether a and b differ at most in the case of the domain.
func sameMailbox(a, b mail.Address) bool {
	return a == b || len(a) == len(b) && strings.EqualFold(string(a), string(b)) && a.Local() == b.Local()
}

// Data takes the message through the stages into the queue. It returns 250
// only after the sync.
func (t *transaction) Data(ctx context.Context, r io.Reader) *mail.Reply {
	msg, size, err := t.read(r)
	if err != nil {
		return mail.ReplyOf(err)
	}
	began := time.Now()
	res := t.tx.Message(ctx, msg.header, msg.body, msg.own, pipeline.OnMixed(t.l.OnMixed))
	if res.Reply != nil {
		t.refused(refusedMessage, res.Reply)
		return res.Reply
	}
	if err := t.enqueue(ctx, &res); err != nil {
		reply := mail.ReplyOf(err)
		t.refused(refusedQueue, reply)
		return reply
	}
	t.accepted(&res, size, time.Since(began))
	return mail.NewReply(250, mail.Enhanced{2, 0, 0}, "queued as "+t.tx.Envelope().ID)
}

// Close ends the transaction.
func (t *transaction) Close() {
	t.tx.Close()
	t.g.done()
}

// maxFields is how many header fields a message may come with. It leaves the
// stages some of the 10,000 that the pipeline lets it grow to: a message that no
// stage can edit would get a 451 for ever.
const maxFields = 9_000

// content is a message as it was read: our Received field is on top of the
// header.
type content struct {
	header mail.Header
	own    int // id of our Received field
	body   mail.Body
}

// read spools the message. What it returns as an error holds the reply where it
// is not r's.
func (t *transaction) read(r io.Reader) (*content, int64, error) {
	br := t.r.readers.Get().(*bufio.Reader)
	br.Reset(r)
	defer func() {
		br.Reset(nil)
		t.r.readers.Put(br)
	}()
	h, err := mail.ReadHeader(br, t.l.Limits.HeaderSize)
	if errors.Is(err, mail.ErrHeaderSize) {
		return nil, 0, t.drain(br, refusedHeader, mail.NewReply(552, mail.Enhanced{5, 3, 4}, fmt.Sprintf("header section exceeds %d octets", t.l.Limits.HeaderSize)))
	}
	if err != nil {
		return nil, 0, err
	}
	if h.Len() > maxFields {
		return nil, 0, t.drain(br, refusedHeader, mail.NewReply(554, mail.Enhanced{5, 6, 0}, fmt.Sprintf("header has more than %d fields", maxFields)))
	}
	if n := h.Count("Received"); n >= t.l.Limits.Hops {
		return nil, 0, t.drain(br, refusedLoop, mail.NewReply(554, mail.Enhanced{5, 4, 6}, fmt.Sprintf("routing loop: %d Received fields", n)))
	}
	own, err := h.InsertTop("Received", received(t.tx.Envelope(), t.g.config.Server.Hostname, t.r.clock.Now()))
	if err != nil {
		return nil, 0, err
	}
	body, err := t.spool(br)
	if err != nil {
		return nil, 0, err
	}
	return &content{header: h, own: own, body: body}, h.Size() + body.Size(), nil
}

// drain reads the rest of a message that is refused, so that the reply comes at
// its place, and returns the refusal.
func (t *transaction) drain(r io.Reader, reason string, reply *mail.Reply) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	t.refused(reason, reply)
	return reply
}

func (t *transaction) spool(r io.Reader) (mail.Body, error) {
	w := t.r.newBody()
	if _, err := io.Copy(w, r); err != nil {
		w.Abort()
		return nil, err
	}
	return w.Finish()
}

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
				return err
			}
		}
		ms = append(ms, t.r.queued(m))
	}
	ms = append(ms, t.bounces(res)...)
	if len(ms) == 0 {
		return nil
	}
	err := t.r.enqueue(ctx, ms)
	if err != nil {
		for _, m := range ms {
			release(m.Body)
		}
	}
	return err
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
	body, err := t.spool(io.NewSectionReader(m.Body, 0, m.Body.Size()))
	m.Body = body
	return err
}

// bounces are owed to the sender for recipients that were refused although the
// message was taken, where the listener says so.
func (t *transaction) bounces(res *pipeline.Result) []*queue.Message {
	env := t.tx.Envelope()
	if pipeline.OnMixed(t.l.OnMixed) != pipeline.MixedBounce || len(res.Refused) == 0 || env.OriginalSender.IsNull() {
		return nil
	}
	e := env.Clone()
	e.Sender, e.Recipients = env.OriginalSender, nil
	var failed []mail.Outcome
	for _, f := range res.Refused {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: f.Recipient.Address, Original: f.Recipient.Original})
		failed = append(failed, mail.Outcome{Recipient: len(e.Recipients) - 1, Status: mail.Failed, Reply: *f.Reply})
	}
	m, err := t.r.dsn(e, nil, failed)
	if err != nil || m == nil {
		t.r.log.Error("no report could be made", "id", env.ID, "error", err)
		return nil
	}
	m.Envelope.ID = t.r.newID()
	return []*queue.Message{m}
}

func (t *transaction) refused(reason string, r *mail.Reply) {
	t.r.metrics.Refused(t.l.Name, reason)
	env := t.tx.Envelope()
	level := hclog.Info
	if t.refusals++; t.refusals > loggedRefusals { // who tries addresses by the thousand must not fill the disk
		level = hclog.Debug
	}
	t.r.log.Log(level, "refused", "id", env.ID, "session", t.client.SessionID, "peer", t.client.Addr, "listener", t.l.Name, "reason", reason, "reply", r.Error())
}

func (t *transaction) accepted(res *pipeline.Result, size int64, took time.Duration) {
	t.r.metrics.Accepted(t.l.Name, took)
	if !t.r.log.IsInfo() {
		return
	}
	first := t.tx.Envelope().ID
	if len(res.Messages) == 0 {
		t.r.log.Info("accepted and discarded", "id", first, "session", t.client.SessionID, "peer", t.client.Addr, "listener", t.l.Name, "size", size, "stages", t.stages())
	}
	for _, m := range res.Messages {
		t.r.logAccepted(m, t, size, took)
	}
	for _, f := range res.Refused {
		t.r.log.Warn("recipient refused in an accepted message", "id", first, "stage", f.Stage, "reply", f.Reply.Line())
	}
}

// stages names the stages that the message passed, for the log.
func (t *transaction) stages() string { return strings.Join(t.tx.Passed(), ",") }

// sharedReaders are buffers for reading messages.
func sharedReaders() *sync.Pool {
	return &sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}
}

func release(b mail.Body) {
	if r, ok := b.(interface{ Release() }); ok {
		r.Release()
	}
}
