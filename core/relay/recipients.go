// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/recipients"
	"github.com/postroad-mail/postroad/core/mail"
)

// refusedUnknown is the reason of refusals of recipients that there are not.
const refusedUnknown = "unknown_recipient"

// openRecipients opens who knows the recipients of the rules.
func (g *generation) openRecipients(p parts) {
	g.recipients = map[*config.Rule]*recipients.Checker{}
	for i := range g.config.Rules {
		rule := &g.config.Rules[i]
		if rule.Recipients == nil {
			continue
		}
		c, err := recipients.New(g.recipientsOf(rule.Recipients, p))
		if err != nil {
			g.fault(rule.Pos, "recipients", err)
			continue
		}
		g.recipients[rule] = c
	}
}

func (g *generation) recipientsOf(c *config.Recipients, p parts) recipients.Options {
	o := recipients.Options{Known: c.Known, File: c.File}
	if c.Ask != "" {
		o.Ask = recipients.NewHost(c.Ask, g.config.Server.Hostname, p.clock.Now)
		g.closers = append(g.closers, o.Ask.Close)
	}
	return o
}

// unknown refuses a recipient that there is not at a domain whose recipients are
// known.
func (t *transaction) unknown(ctx context.Context, to mail.Address) *mail.Reply {
	rule := t.g.routing.rule(to.Domain())
	if rule == nil || t.g.recipients[rule] == nil {
		return nil
	}
	known, err := t.g.recipients[rule].Known(ctx, string(to))
	switch {
	case err == nil && !known:
		return mail.NewReply(550, mail.Enhanced{5, 1, 1}, "there is no such recipient here")
	case err == nil:
		return nil
	}
	t.r.log.Warn("a recipient could not be checked", "session", t.client.SessionID, "listener", t.l.Name, "error", err)
	if rule.Recipients.OnFault == "accept" {
		return nil
	}
	return mail.NewReply(451, mail.Enhanced{4, 4, 3}, fmt.Sprintf("recipients of %s cannot be checked now, try again later", to.Domain()))
}
