// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"sync"
)

// gate is where clients wait between two transactions. It counts messages, and
// collects the faults of clients.
type gate struct {
	total int
	dying signal // closed at the first fault
	wg    sync.WaitGroup

	mu     sync.Mutex
	cond   *sync.Cond
	begun  int // messages
	acked  int
	parked int
	shut   bool
	last   bool // all changes are made: begin no more than total
	ended  bool
	errs   []string
}

func newGate(total int) *gate {
	g := &gate{total: total, dying: newSignal()}
	g.cond = sync.NewCond(&g.mu)
	return g
}

// pass lets a client begin a message, or keeps it waiting while the gate is shut
// or there are enough messages; false means that the campaign is over.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.parked++
	g.cond.Broadcast()
	for (g.shut || g.last && g.begun >= g.total) && !g.ended && len(g.errs) == 0 {
		g.cond.Wait()
	}
	g.parked--
	if g.ended || len(g.errs) > 0 {
		return false
	}
	g.begun++
	return true
}

// ack counts an acknowledged message.
func (g *gate) ack() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.acked++
	g.cond.Broadcast()
}

// sent waits until n messages are acknowledged; false after a fault.
func (g *gate) sent(n int) bool { return g.until(func() bool { return g.acked >= n }) }

// finish waits until all messages are acknowledged; false after a fault.
func (g *gate) finish() bool {
	return g.until(func() bool { g.last = true; return g.acked == g.begun && g.acked >= g.total })
}

// stop shuts the gate and waits until all clients stand there; false after a
// fault.
func (g *gate) stop() bool {
	return g.until(func() bool { g.shut = true; return g.parked == sessions })
}

func (g *gate) until(ok func() bool) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for !ok() && len(g.errs) == 0 {
		g.cond.Wait()
	}
	return len(g.errs) == 0
}

// open lets the clients go on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
	g.cond.Broadcast()
}

// end ends the clients and waits for them.
func (g *gate) end() {
	g.mu.Lock()
	g.ended = true
	g.cond.Broadcast()
	g.mu.Unlock()
	g.wg.Wait()
}

// fail notes a fault, which ends the campaign.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.errs = append(g.errs, err.Error())
	g.dying.raise()
	g.cond.Broadcast()
}

func (g *gate) dead() bool { return len(g.faults()) > 0 }

func (g *gate) faults() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.errs
}

// signal is raised once.
type signal struct {
	c    chan struct{}
	once *sync.Once
}

func newSignal() signal { return signal{make(chan struct{}), &sync.Once{}} }

func (s signal) raise() { s.once.Do(func() { close(s.c) }) }

// hold keeps some clients in the middle of their next transaction.
type hold struct {
	die  signal // raised when there is no use in waiting
	out  signal
	held []chan struct{} // closed when the client stands there
}

// add asks a client to wait there.
func (h *hold) add(c *client) {
	held := make(chan struct{})
	h.held = append(h.held, held)
	c.hold.Store(&stand{held, h.out, h.die})
}

// wait returns when all stand there.
func (h *hold) wait() {
	for _, held := range h.held {
		select {
		case <-held:
		case <-h.die.c:
			return
		}
	}
}

func (h *hold) release() { h.out.raise() }

// stand is one client's part of a hold.
type stand struct {
	held     chan struct{}
	out, die signal
}

func (s *stand) wait() {
	close(s.held)
	select {
	case <-s.out.c:
	case <-s.die.c:
	}
}
