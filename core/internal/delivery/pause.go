// SPDX-License-Identifier: Apache-2.0

package delivery

// Pause keeps attempts from beginning until Resume: outcomes could not be made
// durable, and what was delivered meanwhile might be delivered again. Attempts that
// are under way go on. why is for people. It may be called at any time.
func (s *Scheduler) Pause(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = why
}

// Resume ends a pause: lines go on, and the queue is asked for what is due.
func (s *Scheduler) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused == "" {
		return
	}
	s.paused = ""
	for _, h := range s.hops {
		s.grow(h, h.first())
	}
	s.rouse()
}
