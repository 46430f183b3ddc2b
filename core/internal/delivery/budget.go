// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"time"
)

// Rate is a number of messages per time, which are sent evenly: what a second
// may bring goes at once, or one message when that is less. The zero value sets
// no limit.
type Rate struct {
	Count int
	Per   time.Duration
}

// String returns the rate as pipeline.hcl spells it, about.
func (r Rate) String() string { return fmt.Sprintf("%d/%s", r.Count, shortTime(r.Per)) }

// shortTime writes whole hours and minutes without what is zero behind them.
func shortTime(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return d.String()
}

// each is the time that one message takes up.
func (r Rate) each() time.Duration { return max(1, r.Per/time.Duration(r.Count)) }

// slack is how far what is sent may run ahead of the even pace.
func (r Rate) slack() time.Duration { return max(0, time.Second-r.each()) }

// Provider is somebody whose hosts many domains name as their mail exchangers.
// It is frozen, as a Route is. A site is a provider's when all of its hosts are:
// a stranger who adds one of them to his own cannot make others wait.
type Provider struct {
	Name        string
	Connections int  // at once to all its sites together; 0: each site has the route's
	Rate        Rate // to all its sites together; zero: each site has the route's
}

// budget is what may go to one site, or to all sites of a provider, from one
// source: connections at once and messages per time. It outlives the lines that
// draw on it, and a reload, and is forgotten when it could make no difference.
// Its fields belong to Scheduler.mu.
type budget struct {
	workers int         // goroutines, each with at most one connection
	waiting fifo[*hop]  // lines that want a connection, in turn
	paid    time.Time   // up to then the rate is used up
	rate    Rate        // by which it was
	pledged []time.Time // until when room is kept for lines that were let go, the first first
	asleep  fifo[*hop]  // lines that wait for the rate, in turn
	wake    func() bool // stops the clock's call for them; nil: it will not call
	wakeAt  time.Time   // when it will
	limited time.Time   // the host wants no further connection before
	said    string      // in these words
}

// budgetKey names a budget by what a reload leaves as it is.
type budgetKey struct {
	provider            string // of a provider's budget; the rest but source is empty then
	route, source, line string
}

// allot finds the budgets of a next hop. The caller holds mu.
func (s *Scheduler) allot(h *hop) {
	source := h.key.sourceName()
	h.own = s.budget(budgetKey{route: h.key.route.Name, source: source, line: h.key.line()})
	if h.provider = s.providerOf(h.key.site); h.provider != nil {
		h.shared = s.budget(budgetKey{provider: h.provider.Name, source: source})
	}
}

func (s *Scheduler) budget(k budgetKey) *budget {
	b := s.budgets[k]
	if b == nil {
		b = &budget{}
		s.budgets[k] = b
	}
	return b
}

// line tells the next hops of one route apart.
func (k hopKey) line() string {
	if k.site != nil {
		return k.site.id
	}
	return k.target
}

func (s *Scheduler) providerOf(st *site) *Provider {
	if st == nil || s.o.ProviderOf == nil {
		return nil
	}
	return s.o.ProviderOf(st.names)
}

// slots returns the budget of h's connections and how many it has.
func (h *hop) slots() (*budget, int) {
	if h.shared != nil && h.provider.Connections > 0 {
		return h.shared, h.provider.Connections
	}
	return h.own, h.key.route.connections()
}

// pace returns the budget of h's messages and its rate.
func (h *hop) pace() (*budget, Rate) {
	if h.shared != nil && h.provider.Rate.Count > 0 {
		return h.shared, h.provider.Rate
	}
	return h.own, h.key.route.Rate
}

// count counts workers of h.
func (h *hop) count(n int) {
	h.workers += n
	h.own.workers += n
	if h.shared != nil {
		h.shared.workers += n
	}
}

// next returns when the next message may go. What was sent at another rate, before
// a reload, counts no more than one message.
func (b *budget) next(now time.Time, r Rate) time.Time {
	if most := now.Add(r.slack() + r.each()); b.rate != r && b.paid.After(most) {
		b.paid = most
	}
	b.rate = r
	return b.paid.Add(-r.slack())
}

// take takes the room of one message out of the rate, when there is some.
func (b *budget) take(now time.Time, r Rate) bool {
	if now.Before(b.next(now, r)) {
		return false
	}
	if b.paid.Before(now) {
		b.paid = now
	}
	b.paid = b.paid.Add(r.each())
	b.unpledge()
	return true
}

// pledge keeps room for a line that is let go, for a while: it may find no
// connection.
func (b *budget) pledge(now time.Time, r Rate) {
	if r.Count > 0 {
		b.pledged = append(b.pledged, now.Add(min(r.each(), time.Second)))
	}
}

// unpledge gives back room that was kept.
func (b *budget) unpledge() {
	if len(b.pledged) > 0 {
		b.pledged = b.pledged[1:]
	}
}

// free reports whether one more line may be let go now and, if not, when.
func (b *budget) free(now time.Time, r Rate) (bool, time.Time) {
	for len(b.pledged) > 0 && !now.Before(b.pledged[0]) {
		b.pledged = b.pledged[1:]
	}
	switch room := b.room(now, r); {
	case r.Count == 0 || room > len(b.pledged):
		return true, time.Time{}
	case room > 0:
		return false, b.pledged[0]
	}
	return false, b.next(now, r)
}

// room returns how many messages may go now.
func (b *budget) room(now time.Time, r Rate) int {
	if r.Count == 0 || now.Before(b.next(now, r)) {
		return 0
	}
	ahead := max(0, b.paid.Sub(now))
	return 1 + int((r.slack()-ahead)/r.each())
}

// pays takes the next message of h out of its rate; false when it has to wait.
// The caller holds mu.
func (s *Scheduler) pays(h *hop) bool {
	b, r := h.pace()
	if r.Count == 0 || b.take(s.o.Clock.Now(), r) {
		return true
	}
	s.sleep(h)
	return false
}

// throttled reports whether h has to wait for its rate.
func (s *Scheduler) throttled(h *hop) bool {
	b, r := h.pace()
	now := s.o.Clock.Now()
	return r.Count > 0 && now.Before(b.next(now, r))
}

// sleep has the line of h wait for its rate: it holds no connection that others
// need. The caller holds mu.
func (s *Scheduler) sleep(h *hop) {
	b, _ := h.pace()
	if !h.asleep {
		s.dozes(&h.asleep, true)
		b.asleep.push(h)
	}
	s.shed(h)
	s.atRest()
	s.callFor(b, h)
}

// callFor has the clock call when h, which sleeps, may be let go.
func (s *Scheduler) callFor(b *budget, h *hop) {
	now := s.o.Clock.Now()
	_, r := h.pace()
	_, at := b.free(now, r)
	switch {
	case s.stopped || b.wake != nil && !at.Before(b.wakeAt):
		return
	case b.wake != nil: // for a slower rate, before a reload
		b.wake()
	}
	b.wakeAt = at
	b.wake = s.o.Clock.AfterFunc(max(1, at.Sub(now)), func() { s.awaken(b) })
}

// awaken lets as many lines go on as there is room for, in turn.
func (s *Scheduler) awaken(b *budget) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.wake = nil
	now := s.o.Clock.Now()
	for b.asleep.len() > 0 && !s.stopped {
		h := b.asleep.pop()
		if _, r := h.pace(); h.mail() && !b.isFree(now, r) {
			b.asleep.unshift(h)
			s.callFor(b, h)
			return
		}
		if s.dozes(&h.asleep, false); h.mail() {
			s.call(h)
		}
	}
}

func (b *budget) isFree(now time.Time, r Rate) bool {
	free, _ := b.free(now, r)
	return free
}

// await puts h in turn for a connection of its budget, and has an idle one of
// another line given up. The caller holds mu.
func (s *Scheduler) await(h *hop) {
	b, _ := h.slots()
	if !h.awaits {
		h.awaits = true
		b.waiting.push(h)
	}
	for w := range s.idle {
		if other, _ := w.hop.slots(); other == b && w.hop != h {
			w.rouse(false)
			return
		}
	}
}

// wanted reports whether another line than h waits for a connection of its
// budget. The caller holds mu.
func (h *hop) wanted() bool {
	b, _ := h.slots()
	for _, other := range b.waiting.list() {
		if other != h && other.ready.len() > 0 {
			return true
		}
	}
	return false
}

// passOn gives connections that have become free to the lines whose turn it is, of
// those that can use one now. The caller holds mu.
func (s *Scheduler) passOn(b *budget) {
	for b != nil && b.waiting.len() > 0 {
		if _, most := b.waiting.first().slots(); b.workers >= most {
			return
		}
		h := b.waiting.pop()
		if h.awaits = false; h.ready.len() == 0 || len(h.idle) > 0 {
			continue
		}
		if s.grow(h, h.first()); h.awaits || s.slots >= s.o.Connections {
			return
		}
	}
}

// turnLength is how many transactions a connection carries while another line
// of the provider waits for one.
const turnLength = 20

// yields reports whether w has had its turn and gives its connection up.
func (w *worker) yields() bool {
	if w.hop.shared == nil || w.handed < turnLength {
		return false
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if !w.hop.wanted() {
		return false
	}
	w.leave()
	return true
}

// sweepBudgets forgets budgets that nobody draws on and that are whole again.
// The caller holds mu.
func (s *Scheduler) sweepBudgets(now time.Time) {
	used := map[*budget]bool{}
	for _, h := range s.hops {
		used[h.own], used[h.shared] = true, true
	}
	for k, b := range s.budgets {
		if !used[b] && b.workers == 0 && !now.Before(b.paid) && !now.Before(b.limited) {
			delete(s.budgets, k)
		}
	}
}

// hush stops the calls of the clock. The caller holds mu.
func (s *Scheduler) hush() {
	for _, b := range s.budgets {
		if b.wake != nil {
			b.wake()
			b.wake = nil
		}
	}
	if s.egress.wake != nil {
		s.egress.wake()
		s.egress.wake = nil
	}
}
