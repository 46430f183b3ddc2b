// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/fair"
	"github.com/postroad-mail/postroad/core/mail"
)

// lookupsAtOnce is how many domains are looked up at once. Further ones wait
// in turn, by tenant and message, so that a list with thousands of domains does
// not go first.
const lookupsAtOnce = 256

// lookupLimit cuts off a look-up: a resolver has time limits of its own.
const lookupLimit = time.Minute

// lookups are the look-ups of domains whose site is not known. What waits for
// one stands in a line of its own, which has no connections: the line of the
// domain. Its fields belong to Scheduler.mu.
type lookups struct {
	lines   map[string][]*hop // that wait, by domain; there is one look-up for each domain
	turns   line[*hop]        // of domains whose look-up has not begun, a line of each
	running int
}

// unplaced reports whether k stands for a domain whose site has to be looked
// up.
func (k hopKey) unplaced() bool { return k.kind() == ViaMX && k.site == nil }

// place returns the next hop of a recipient that decide sends to k: the site of
// its domain, if that is known.
func (s *Scheduler) place(k hopKey) hopKey {
	if !k.unplaced() {
		return k
	}
	st := s.sites.of(s.o.Clock.Now(), k.target)
	if st == nil {
		return k
	}
	return hopKey{route: k.route, site: st, secure: k.secure}
}

// leads reports whether a recipient that decide sends to k is in the right line
// at h: its domain has not moved to another site, as far as is known.
func (s *Scheduler) leads(k hopKey, h *hop) bool {
	if h.key.site == nil || k.raw || k.kind() != ViaMX {
		k.source = h.key.source
		return k == h.key
	}
	return k.route == h.key.route && k.secure == h.key.secure && !s.sites.moved(k.target, h.key.site)
}

// seek has the domain of a line looked up. The caller holds mu.
func (s *Scheduler) seek(h *hop, env *mail.Envelope) {
	if !h.sought.IsZero() {
		return
	}
	h.sought = s.o.Clock.Now()
	domain := h.key.target
	s.lookups.lines[domain] = append(s.lookups.lines[domain], h)
	if len(s.lookups.lines[domain]) == 1 {
		s.lookups.turns.push(messageOf(env), h)
		s.lookOn()
	}
}

// lookOn begins look-ups that are in turn. The caller holds mu.
func (s *Scheduler) lookOn() {
	for s.lookups.running < lookupsAtOnce && s.lookups.turns.len() > 0 && !s.stopped {
		h := s.lookups.turns.pop()
		s.lookups.running++
		s.errands.all.Go(func() { s.lookUp(h.key.target) })
	}
}

// lookUp finds the site of a domain, beside the owner and the workers, and
// moves there what waits for it; or fails it as a connection that did not come
// about.
func (s *Scheduler) lookUp(domain string) {
	st, ttl, err := s.sought(domain)
	s.mu.Lock()
	if err == nil { // under mu: nothing comes to the site before what waits here
		st = s.sites.note(s.o.Clock.Now(), domain, st, ttl)
	}
	s.lookups.running--
	lines := s.lookups.lines[domain]
	delete(s.lookups.lines, domain)
	var lost []*task
	for _, h := range lines {
		h.sought = time.Time{}
		if err == nil {
			s.move(h, hopKey{route: h.key.route, site: st, secure: h.key.secure})
		} else {
			lost = append(lost, h.empty()...)
			s.recall(h)
		}
		s.drop(h)
	}
	s.lookOn()
	s.atRest()
	s.mu.Unlock()
	s.failAll(lost, func(t *task) mail.Outcome { return *t.hop.key.unresolved(domain, err) })
}

// sought asks for the site of a domain, and for how long it is good.
func (s *Scheduler) sought(domain string) (st *site, ttl time.Duration, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.panicked("look-up", r)
			err = mail.OurFault(fmt.Errorf("panic: %v", r))
		}
	}()
	ctx, cancel := context.WithTimeout(s.looking, lookupLimit)
	defer cancel()
	mxs, ttl, err := s.exchangers(ctx, domain)
	if err != nil {
		return nil, 0, err
	}
	return siteOf(mxs), ttl, nil
}

// exchangers finds the hosts of a domain (RFC 5321 §5.1), none that is not
// better than ourselves, and for how long they are good.
func (s *Scheduler) exchangers(ctx context.Context, domain string) ([]MX, time.Duration, error) {
	if _, ok := mail.LiteralIP(domain); ok {
		return []MX{{Host: domain}}, mostSite, nil
	}
	if domain == "" {
		return nil, 0, mail.NewReply(550, mail.Enhanced{5, 1, 3}, "the address has no domain")
	}
	mxs, err := s.o.Resolver.LookupMX(ctx, domain)
	if err != nil {
		return nil, 0, err
	}
	mxs = slices.Clone(mxs)
	slices.SortStableFunc(mxs, func(a, b MX) int { return int(a.Pref) - int(b.Pref) })
	mxs, self := s.beforeUs(mxs)
	switch {
	case len(mxs) == 0 && self:
		return nil, 0, mail.NewReply(554, mail.Enhanced{5, 4, 6}, "mail for "+domain+" loops back to "+s.o.Hostname)
	case len(mxs) == 0:
		return nil, 0, mail.NewReply(451, mail.Enhanced{4, 4, 4}, "no host to deliver to")
	}
	return mxs, lifetime(mxs), nil
}

// lifetime returns for how long a set of mail exchangers is good.
func lifetime(mxs []MX) time.Duration {
	ttl := mxs[0].TTL
	for _, m := range mxs {
		ttl = min(ttl, m.TTL)
	}
	return ttl
}

// beforeUs cuts mxs, sorted, where our own name stands, and reports whether it
// does: a host of our preference or worse would hand the mail back to us.
func (s *Scheduler) beforeUs(mxs []MX) ([]MX, bool) {
	i := slices.IndexFunc(mxs, func(m MX) bool {
		return strings.EqualFold(strings.TrimSuffix(m.Host, "."), strings.TrimSuffix(s.o.Hostname, "."))
	})
	if i < 0 {
		return mxs, false
	}
	ours := mxs[i].Pref
	return slices.DeleteFunc(mxs, func(m MX) bool { return m.Pref >= ours }), true
}

// move puts all that waits at one next hop in line at another, where each message
// leaves from the source whose turn it is. The caller holds mu.
func (s *Scheduler) move(from *hop, key hopKey) {
	now := s.o.Clock.Now()
	for _, t := range from.empty() {
		if !s.merged(key, t) {
			s.join(s.hopFor(s.sourced(now, key)), t)
		}
	}
	from.parked.drain(func(k fair.Key, t ticket) {
		to := s.hopFor(s.sourced(now, key))
		to.parked.push(k, t)
		s.recall(to)
	})
	s.drop(from)
}

// merged puts a task to others of the same message that wait at key; false when
// there are none.
func (s *Scheduler) merged(key hopKey, t *task) bool {
	for _, to := range s.anySource(key) {
		if other := to.kindred(t); other != nil {
			to.merge(other, t)
			return true
		}
	}
	return false
}

// join puts a task in line at h, or sets it back when the line is as long as it
// may be and nothing there has to yield. The caller holds mu.
func (s *Scheduler) join(h *hop, t *task) {
	if s.crowded(h) {
		s.park(h, t.msg, t.rcpts)
		s.doze(h)
		return
	}
	if h.waiting > 0 && h.waiting >= s.shareOf(h) && !s.displace(h, t) {
		s.park(h, t.msg, t.rcpts)
		return
	}
	t.hop = h
	s.push(t)
}

// kindred finds a task of the same message in line, with which t can share a
// transaction; nil when there is none.
func (h *hop) kindred(t *task) *task {
	env := t.msg.Envelope()
	if len(env.Recipients) == len(t.rcpts) {
		return nil
	}
	for _, other := range h.ready.of(campaignOf(env)) {
		if other.routed == t.routed && other.untried == 0 && other.msg.Envelope().ID == env.ID {
			return other
		}
	}
	return nil
}

// merge has the recipients of t wait with those of other, which is in line.
func (h *hop) merge(other, t *task) {
	other.rcpts = append(slices.Clip(other.rcpts), t.rcpts...)
	slices.Sort(other.rcpts)
	h.waiting += len(t.rcpts)
	h.ready.grew(campaignOf(t.msg.Envelope()), len(t.rcpts))
}
