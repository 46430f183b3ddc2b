// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"slices"
	"time"
)

// Reload is called after the live configuration has changed: what waits for a
// next hop of a route that is no more goes back into the queue, to be decided
// anew, and idle connections to it are closed.
func (s *Scheduler) Reload() {
	s.leaveStale()
	s.reloaded.Store(true)
	s.rouse()
}

// watch looks over what no event would bring up: lines of routes that are no
// more, recipients that expired in line, attempts that hang.
func (s *Scheduler) watch(now time.Time) {
	if s.reloaded.Swap(false) { // what the owner had decided before may have come into line since
		s.leaveStale()
	}
	if now.Before(s.lookAt) {
		return
	}
	s.lookAt = now.Add(watchEvery)
	s.leaveStale()
	s.expireWaiting(now)
	s.cutOff(now)
	s.sites.sweep(now, s.sweepLines(now))
}

// sweepLines forgets budgets, and returns the sites that have lines.
func (s *Scheduler) sweepLines(now time.Time) map[*site]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepBudgets(now)
	s.sweepSources(now)
	used := map[*site]bool{}
	for k := range s.hops {
		if k.site != nil {
			used[k.site] = true
		}
	}
	return used
}

func (s *Scheduler) leaveStale() {
	s.mu.Lock()
	var tasks []*task
	for _, h := range s.hops {
		if !h.stale(s) {
			continue
		}
		tasks = append(tasks, h.empty()...)
		s.recalls = append(s.recalls, h.parked.all()...)
		for _, w := range slices.Clone(h.idle) {
			w.rouse(false)
		}
		s.drop(h)
	}
	s.mu.Unlock()
	s.returnAll(tasks)
}

// expireWaiting settles recipients whose time ran out in line or set back.
func (s *Scheduler) expireWaiting(now time.Time) {
	s.mu.Lock()
	var old []*task
	for _, h := range s.hops {
		old = append(old, h.remove(func(t *task) bool { return s.over(now, t) })...)
		s.recalls = append(s.recalls, h.parked.remove(func(t ticket) bool { return !now.Before(t.expiry) })...)
		h.called = false
		s.recall(h)
		s.drop(h)
	}
	s.mu.Unlock()
	for _, t := range old {
		if t = s.again(t); t != nil {
			s.giveUp(t.msg, t.rcpts, time.Time{}) // comes back at once
		}
	}
}

// over reports whether a recipient of t may have expired.
func (s *Scheduler) over(now time.Time, t *task) bool {
	return !now.Before(t.hop.key.route.expiry(t.msg.Envelope()))
}

// cutOff ends attempts in which nothing has moved for too long. The transport
// has time limits of its own; this is for the day when they have a bug.
func (s *Scheduler) cutOff(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.all {
		if _, idle := s.idle[w]; idle || now.Sub(w.moved) < s.o.AttemptLimit {
			continue
		}
		s.log.Error("attempt hangs and is cut off", "hop", w.hop.key.String(), "since", w.moved)
		w.cancel()
	}
}
