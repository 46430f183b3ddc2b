// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
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
	refusedConnect = "connect"
	refusedTLS     = "tls_policy"
	refusedHelo    = "helo"
	refusedMail    = "sender"
	refusedRcpt    = "recipient"
	refusedRelay   = "relay_denied"
	refusedData    = "data"
	refusedHeaders = "headers"
	refusedBody    = "body"
	refusedMessage = "message"
	refusedLoop    = "loop"
	refusedHeader  = "header_size"
	refusedMIME    = "mime"
	refusedQueue   = "queue"
	refusedLabel   = "label"
)

// at returns the door's listener and its pipeline in a generation. The listener
// is nil when a reload took it away.
func (d *door) at(g *generation) (*config.Listener, *pipeline.Pipeline) {
	l := g.listeners[d.listener]
	if l == nil {
		return nil, nil
	}
	if pl := g.pipeline(l.Pipeline); pl != nil {
		return l, pl
	}
	return l, d.r.noStages
}

// beginner is where a transaction begins: in a session, or in a pipeline
// without one.
type beginner interface {
	Begin(env *mail.Envelope) *pipeline.Transaction
}

// party is who hands a message in.
type party struct {
	client  *mail.Client
	account *auth.Account // nil: nobody has logged in
}

// tenant is whose mail it is: the account's, if that says, else the listener's.
func (p party) tenant(l *config.Listener) string {
	if p.account != nil && p.account.Tenant != "" {
		return p.account.Tenant
	}
	return l.Tenant
}

// begin begins a transaction with generation g, which the caller keeps in use
// until the transaction is closed. b is of the pipeline pl.
func (d *door) begin(ctx context.Context, g *generation, pl *pipeline.Pipeline, b beginner, by party, from mail.Address, p smtpin.MailParams) (*transaction, *mail.Reply) {
	if err := d.r.room(p.Size); err != nil {
		r := mail.ReplyOf(err)
		d.r.countRefusal(d.listener, refusedQueue, r)
		return nil, r
	}
	l, _ := d.at(g)
	t := &transaction{r: d.r, release: p.Release, g: g, l: l, pl: pl, client: by.client, account: by.account, trusted: mayRelay(l, by.client), bound: by.account != nil && by.account.Tenant != ""}
	t.tx = b.Begin(asked(p, &mail.Envelope{
		Tenant: by.tenant(l), Campaign: l.Campaign, Priority: l.Priority,
		ID: d.r.newID(), Sender: from, OriginalSender: from, Client: *by.client, Received: d.r.clock.Now(),
		DeclaredSize: p.Size, SMTPUTF8: p.SMTPUTF8, EightBit: p.EightBit, Params: p.Params,
		Return: p.Return, EnvelopeID: p.EnvelopeID,
	}))
	if r := t.tx.Mail(ctx); r != nil {
		t.refused(refusedMail, r)
		t.Close()
		return nil, r
	}
	return t, nil
}
