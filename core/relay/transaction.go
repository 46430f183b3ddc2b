// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// transaction is one envelope from MAIL to the reply to its data.
type transaction struct {
	r        *Relay
	g        *generation
	l        *config.Listener
	pl       *pipeline.Pipeline
	client   *mail.Client
	tx       *pipeline.Transaction
	trusted  bool          // the client may send anywhere
	stranger *stranger     // nil: the client is none
	account  *auth.Account // who has logged in; nil: nobody
	bound    bool          // the client has logged in as a user of a tenant: its mail is of no other

	tenant, campaign string // before a stage had its say, as priority and release
	priority         int
	release          time.Time

	refusals int // so far
	lmtp     lmtp
}

// Rcpt accepts a recipient for whom we may take mail, if the stages agree.
func (t *transaction) Rcpt(ctx context.Context, to mail.Address, p smtpin.RcptParams) *mail.Reply {
	env := t.tx.Envelope()
	for i := range env.Recipients {
		if r := &env.Recipients[i]; sameMailbox(r.Original, to) && !r.Removed {
			t.lmtp.given = append(t.lmtp.given, i)
			return nil // once is enough
		}
	}
	if r := t.overQuota(); r != nil {
		t.refused(refusedQuota, r)
		return r
	}
	if r := t.stranger.tooManyRecipients(); r != nil {
		t.refused(refusedRate, r)
		return r
	}
	if !t.trusted && !t.g.routing.ours(to.Domain()) {
		r := mail.NewReply(554, mail.Enhanced{5, 7, 1}, "relaying denied")
		t.refused(refusedRelay, r)
		return t.stranger.harvests(r)
	}
	if r := t.unknown(ctx, to); r != nil {
		t.refused(refusedUnknown, r)
		return t.stranger.harvests(r)
	}
	at := len(env.Recipients)
	if r := t.tx.Rcpt(ctx, mail.Recipient{Address: to, Original: to, Params: p.Params, Notify: p.Notify, ORCPT: p.ORCPT, ValidSince: p.ValidSince}); r != nil {
		t.refused(refusedRcpt, r)
		return t.stranger.harvests(r)
	}
	t.lmtp.given = append(t.lmtp.given, at)
	return nil
}

// Ready asks the stages of phase data.
func (t *transaction) Ready(ctx context.Context) *mail.Reply {
	r := t.tx.Data(ctx)
	if r != nil {
		t.refused(refusedData, r)
	}
	return r
}

// sameMailbox reports whether a and b differ at most in the case of the domain.
func sameMailbox(a, b mail.Address) bool {
	return a == b || len(a) == len(b) && strings.EqualFold(string(a), string(b)) && a.Local() == b.Local()
}

// Data takes the message through the stages into the queue. It returns 250
// only after the sync.
func (t *transaction) Data(ctx context.Context, r io.Reader) *mail.Reply {
	msg, size, err := t.read(ctx, r)
	if err != nil {
		return mail.ReplyOf(err)
	}
	began := time.Now()
	res := t.tx.Message(ctx, msg.header, msg.body, msg.own, onMixed(t.l, t.lmtp.on))
	t.capture(msg, &res)
	if res.Reply != nil {
		t.refused(refusedMessage, res.Reply)
		t.answerEach(&res, res.Reply)
		t.emit(ctx, res.Emitted)
		return res.Reply
	}
	if err := t.enqueue(ctx, &res); err != nil {
		reply := mail.ReplyOf(err)
		t.refused(refusedQueue, reply)
		return reply
	}
	t.accepted(&res, size, time.Since(began))
	reply := mail.NewReply(250, mail.Enhanced{2, 0, 0}, "queued as "+t.tx.Envelope().ID)
	t.answerEach(&res, reply)
	return reply
}

// Close ends the transaction.
func (t *transaction) Close() { t.tx.Close() }

func (t *transaction) refused(reason string, r *mail.Reply) {
	t.r.countRefusal(t.l.Name, reason, r)
	env := t.tx.Envelope()
	t.refusals++
	t.r.log.Log(refusalLevel(t.refusals), "refused", withVia(t.client, "id", env.ID, "session", t.client.SessionID, "peer", t.client.Addr, "listener", t.l.Name, "reason", reason, "reply", r.Error())...)
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
		if t.lmtp.on {
			break // the client hears of each
		}
		t.r.log.Warn("recipient refused in an accepted message", "id", first, "stage", f.Stage, "reply", f.Reply.Line())
	}
}

// stages names the stages that the message passed with their code, for the log.
func (t *transaction) stages() string { return spelled(t.tx.Stages()) }

// spelled returns marks as the log has them.
func spelled(marks []mail.StageMark) string {
	words := make([]string, len(marks))
	for i, m := range marks {
		words[i] = m.String()
	}
	return strings.Join(words, ",")
}
