// SPDX-License-Identifier: Apache-2.0

package delivery

import "time"

// lookAhead is how much of its rate a line that waits has in memory at most.
const lookAhead = 10 * time.Second

// Lines that wait for nothing but the clock, for their rate or for a source, keep
// little of their mail in memory, so that there is room for lines that move: the
// more such lines there are, the less each.

// keeps returns how many recipients a line that waits for the clock may have in
// memory.
func (s *Scheduler) keeps(h *hop) int {
	others, most := s.dozing, s.o.Leases/40
	if h.asleep || h.rests {
		others--
	}
	if others > most {
		return 0
	}
	if _, r := h.pace(); r.Count > 0 {
		most = min(most, int(lookAhead/r.each()))
	}
	return max(1, most/(1+others))
}

// waits reports whether h has to wait for the clock.
func (s *Scheduler) waits(h *hop) bool {
	d := s.decideLine(s.o.Clock.Now(), h)
	return d.action == Throttle || d.action == NoSource
}

// shareOf is share for one line.
func (s *Scheduler) shareOf(h *hop) int {
	if s.waits(h) {
		return min(s.share(), max(1, s.keeps(h)))
	}
	return s.share()
}

// crowded reports whether h has to wait while many others do, so that what comes
// for it is set back at once. A line whose turn has come is not.
func (s *Scheduler) crowded(h *hop) bool {
	if h.called {
		h.called = false
		b, _ := h.pace()
		b.unpledge()
		return false
	}
	return h.waiting == 0 && s.keeps(h) == 0 && s.waits(h)
}

// shed sets back what is in line at h when it is more than h may keep.
func (s *Scheduler) shed(h *hop) {
	if h.waiting <= 2*s.keeps(h) {
		return
	}
	for _, t := range h.empty() {
		s.park(h, t.msg, t.rcpts)
	}
}

// doze has h wait for the clock with what is set back.
func (s *Scheduler) doze(h *hop) {
	if s.healthySource(h) {
		s.sleep(h)
		return
	}
	s.rest(h)
}

func (s *Scheduler) healthySource(h *hop) bool {
	return s.sickUntil(s.o.Clock.Now(), h.key.source).IsZero()
}

// call has h go on: with what is in line, or with what is set back once it has
// been leased again. Room is kept for it meanwhile.
func (s *Scheduler) call(h *hop) {
	if h.ready.len() > 0 {
		s.grow(h, h.first())
		return
	}
	b, r := h.pace()
	b.pledge(s.o.Clock.Now(), r)
	h.called = true
	s.recall(h)
}

// dozes notes that h begins to wait for the clock, or has been woken.
func (s *Scheduler) dozes(flag *bool, yes bool) {
	if *flag == yes {
		return
	}
	*flag = yes
	if yes {
		s.dozing++
	} else {
		s.dozing--
	}
}
