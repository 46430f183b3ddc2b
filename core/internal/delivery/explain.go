// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Place is where a leased recipient is.
type Place uint8

// The places of a Decision.
const (
	Elsewhere Place = iota // in the queue; or, when it is leased, with stages or on its way into the records
	InLine                 // behind others for its next hop
	UnderWay               // in a transaction with its next hop
)

// Explain says what decide says now, and of a recipient that is due also what
// it waits for. It may be called at any time.
func (s *Scheduler) Explain(env *mail.Envelope, rcpt int, st State) Decision {
	d := s.decide(s.o.Clock.Now(), env, rcpt, st)
	if d.Action == Settle {
		return d
	}
	route, _ := s.lookup(s.routeName(&env.Recipients[rcpt]))
	d.Expire, d.Class = route.expiry(env), route.className(env)
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.Leased {
		s.locate(&d, env, rcpt)
	}
	if d.Action == Try && !st.Leased && s.paused != "" {
		d.Action, d.Reason = Stall, "stalled: "+s.paused
	}
	if d.Action == Try && !st.Leased {
		d.Hop = d.key.String()
		d.Reason = s.crowd(s.anySource(s.place(d.key)))
	}
	return d
}

// HopOf returns the next hop of a recipient, spelled as Explain does: "mx
// example.org", "smarthost NAME", "host:port". It is empty without a route.
func (s *Scheduler) HopOf(r *mail.Recipient) string {
	route, why := s.lookup(s.routeName(r))
	if why != "" && r.NextHop == "" {
		return ""
	}
	return hopOf(route, r).String()
}

// crowd says of a recipient that is due what there is at its next hop.
func (s *Scheduler) crowd(hops []*hop) string {
	if len(hops) == 0 {
		return "due"
	}
	h := hops[0]
	_, most := h.slots()
	return fmt.Sprintf("due: next hop has %d of %d connections and %s in line, %s set back%s",
		h.workers, most, amount(h.waiting, "recipient"), amount(h.parked.len(), "message"), s.about(h))
}

// amount counts in words.
func amount(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// standing says what decideLine says of a recipient in line.
func (s *Scheduler) standing(d *Decision, h *hop, before int) {
	line := s.decideLine(s.o.Clock.Now(), h)
	_, most := h.slots()
	if d.Place = InLine; d.Action == Try {
		d.Action, d.Until = line.action, line.until
	}
	if d.Reason = s.reason(h, line); d.Reason != "" {
		d.Reason += "; "
	}
	d.Reason += fmt.Sprintf("in line: %s of its campaign before it, %d in all, %d of %d connections%s",
		amount(before, "recipient"), h.ready.weight+h.parked.weight, h.workers, most, s.about(h))
}

// maxDomains is how many domains of a site are named to people.
const maxDomains = 5

// about says to which site a next hop leads, whose it is, and which domains share
// it.
func (s *Scheduler) about(h *hop) string {
	from := ""
	if h.key.source != nil {
		from = "; from source " + h.key.source.Name
	}
	if h.key.secure {
		from += "; only over TLS to hosts with REQUIRETLS"
	}
	if h.key.site == nil {
		return from
	}
	domains, more := s.sites.sharedDomains(s.o.Clock.Now(), h.key.site, maxDomains)
	out := "; " + h.key.site.String()
	if h.provider != nil {
		out += " of provider " + h.provider.Name
	}
	if len(domains)+more > 1 {
		out += ", with domains " + strings.Join(domains, ", ")
	}
	if more > 0 {
		out += fmt.Sprintf(" and %d more", more)
	}
	return out + from
}

// named is the next hop that people know: of a recipient that goes to a site,
// its domain.
func (k hopKey) named(r *mail.Recipient) string {
	if k.site != nil {
		return hopOf(k.route, &mail.Recipient{Address: r.Address}).String()
	}
	return k.String()
}

// locate finds a leased recipient. The caller holds mu.
func (s *Scheduler) locate(d *Decision, env *mail.Envelope, rcpt int) {
	id, to := env.ID, &env.Recipients[rcpt]
	for w := range s.all {
		for j := range w.jobs {
			if j.task.msg.Envelope().ID == id && slices.Contains(j.Recipients, rcpt) {
				d.Place, d.Hop, d.Reason = UnderWay, w.hop.key.named(to), "attempt under way since "+stamp(j.begin)
				return
			}
		}
	}
	for _, h := range s.hops {
		if before, ok := h.position(id, rcpt); ok {
			d.Hop = h.key.named(to)
			s.standing(d, h, before)
			return
		}
	}
	d.Reason = "leased: stages are asked, or its outcome is being written down"
}

// position returns how many recipients of its campaign are before one in the line
// of h.
func (h *hop) position(id string, rcpt int) (before int, ok bool) {
	_, before, ok = h.ready.find(func(t *task) bool { return t.msg.Envelope().ID == id && slices.Contains(t.rcpts, rcpt) })
	if ok {
		return before, true
	}
	k, before, ok := h.parked.find(func(t ticket) bool { return t.id == id && slices.Contains(t.rcpts, rcpt) })
	return before + h.ready.waiting(k), ok
}

// Attended returns which of the messages are in delivery's hands in good order:
// in a transaction, in a line that somebody serves, or on their way into the
// records. What is leased for long and not among them has been forgotten.
func (s *Scheduler) Attended(ids []string) map[string]bool {
	found := map[string]bool{}
	s.settler.list(found)
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.all {
		found[w.aheadID] = true
		for j := range w.jobs {
			found[j.task.msg.Envelope().ID] = true
		}
	}
	for _, h := range s.hops {
		if h.workers == 0 && s.slots < s.o.Connections && h.sought.IsZero() && !h.asleep && !h.rests && !h.awaits {
			continue // nobody will come
		}
		h.list(found)
	}
	for _, t := range s.recalls {
		found[t.id] = true
	}
	out := map[string]bool{}
	for _, id := range ids {
		if found[id] {
			out[id] = true
		}
	}
	return out
}

// list notes the messages in the line of h.
func (h *hop) list(found map[string]bool) {
	h.ready.each(func(t *task) { found[t.msg.Envelope().ID] = true })
	h.parked.each(func(t ticket) { found[t.id] = true })
}
