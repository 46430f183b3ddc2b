// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// filter is a selector as the queue understands it. By which route the rules
// send a domain is asked once for each.
func (o operator) filter(e *engine, s *mail.QueueSelector) (queue.Filter, error) {
	f := queue.Filter{
		State: queue.Class(s.State), RecipientDomain: strings.TrimPrefix(s.Domain, "@"), Recipient: mail.Address(s.Recipient),
		Sender: mail.Address(s.Sender), Tenant: s.Tenant, Campaign: s.Campaign, Reply: s.Reply,
	}
	switch f.State {
	case "", queue.Ready, queue.Deferred, queue.Held, queue.Quarantined:
	default:
		return f, fmt.Errorf("no state %q: it is ready, deferred, held or quarantined", s.State)
	}
	if s.OlderThan < 0 || s.NewerThan < 0 {
		return f, fmt.Errorf("an age cannot be negative")
	}
	now := o.r.clock.Now()
	if s.OlderThan > 0 {
		f.OlderThan = now.Add(-s.OlderThan)
	}
	if s.NewerThan > 0 {
		f.NewerThan = now.Add(-s.NewerThan)
	}
	ways := o.ways()
	if s.Route != "" {
		f.Goes = func(route, domain string) bool { return ways(route, domain) == s.Route }
	}
	if s.Hop != "" {
		o.byHop(&f, e, s.Hop, ways)
	}
	return f, nil
}

// ways returns a function that says by which route mail for a domain goes.
func (o operator) ways() func(route, domain string) string {
	routing, known := o.r.gen.Load().routing, map[string]string{}
	return func(route, domain string) string {
		if route != "" {
			return route
		}
		way, ok := known[domain]
		if !ok {
			if rule := routing.rule(domain); rule != nil {
				way = rule.Route
			}
			known[domain] = way
		}
		return way
	}
}

// byHop selects a next hop. The envelope has the last word, for a stage may have
// chosen one; before it is read, memory rules out what it can.
func (o operator) byHop(f *queue.Filter, e *engine, hop string, ways func(route, domain string) string) {
	f.Hop = func(r *mail.Recipient) bool { return e.sched.HopOf(r) == hop }
	kind, name, _ := strings.Cut(hop, " ")
	before := f.Goes
	and := func(goes func(route, domain string) bool) {
		f.Goes = func(route, domain string) bool {
			return (before == nil || before(route, domain)) && goes(route, domain)
		}
	}
	switch kind {
	case "mx":
		and(func(_, domain string) bool { return domain == name })
	case "smarthost", "maildir", "discard":
		and(func(route, domain string) bool { return ways(route, domain) == name })
	}
}

// inWords is a selector for the log, where it stands for what an operator asked
// for, addresses with it.
func inWords(s *mail.QueueSelector) string {
	if s == nil {
		return ""
	}
	var parts []string
	for _, p := range [...][2]string{
		{"state", s.State}, {"domain", s.Domain}, {"rcpt", s.Recipient}, {"sender", s.Sender}, {"tenant", s.Tenant},
		{"campaign", s.Campaign}, {"route", s.Route}, {"next_hop", s.Hop}, {"reply", s.Reply},
	} {
		if p[1] != "" {
			parts = append(parts, fmt.Sprintf("%s=%q", p[0], p[1]))
		}
	}
	if s.OlderThan > 0 {
		parts = append(parts, "older_than="+s.OlderThan.String())
	}
	if s.NewerThan > 0 {
		parts = append(parts, "newer_than="+s.NewerThan.String())
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, " ")
}
