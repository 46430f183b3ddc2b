// SPDX-License-Identifier: Apache-2.0

package delivery

import "slices"

// linger keeps the connection until there is work (true), or until it has been
// idle for long, somebody else needs the slot, or we stop (false).
func (w *worker) linger() bool {
	s := w.s
	s.mu.Lock()
	switch {
	case w.hop.ready.len() > 0 && s.paused == "" && !s.throttled(w.hop):
		s.mu.Unlock()
		return true
	case s.stopped || s.turns.len() > 0 || w.hop.wanted() || w.hop.stale(s):
		w.leave()
		s.mu.Unlock()
		return false
	}
	w.hop.idle = append(w.hop.idle, w)
	s.idle[w] = struct{}{}
	stop := s.o.Clock.AfterFunc(s.o.IdleTimeout, w.tooLong)
	s.atRest()
	s.mu.Unlock()
	defer stop()
	select {
	case work := <-w.signal:
		return work
	case <-w.ctx.Done():
		w.tooLong()
		return <-w.signal
	}
}

// tooLong ends linger without work.
func (w *worker) tooLong() {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.rouse(false)
}

// rouse ends linger: with work or without. It does nothing to a worker that
// was roused already. The caller holds mu.
func (w *worker) rouse(work bool) {
	if _, idle := w.s.idle[w]; !idle {
		return
	}
	delete(w.s.idle, w)
	i := slices.Index(w.hop.idle, w)
	w.hop.idle = slices.Delete(w.hop.idle, i, i+1)
	if !work {
		w.leave()
	}
	w.signal <- work
}

// leave notes that w takes no more mail, before it has said QUIT. The caller
// holds mu.
func (w *worker) leave() {
	if w.connected {
		w.connected, w.left = false, true
		w.hop.open--
	}
}
