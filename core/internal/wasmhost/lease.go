// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"time"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// reclaimAfter is how long an instance that a transaction or connection holds
// must have been without a call before it is taken back for another. It is
// longer than a client that works needs between two commands.
const reclaimAfter = 10 * time.Second

// lease is the hold of one transaction (isolation "message") or connection
// ("session") on an instance. It starts with the first hook and ends with what
// holds it, and takes one of the stage's instances for as long.
//
// Clients that open connections and stay silent must not keep a plugin from
// others. So when no instance is free, the one that was idle for the longest,
// and at least reclaimAfter, is taken back. What it knew is gone, and that is
// not hidden: the next hook of its holder fails with cause "pool", so that
// on_error decides, and the one after it starts anew. It is the same after a
// fault of the guest.
type lease struct {
	s *Stage

	// Guarded by the pool's lock:
	i     *instance // nil before the first hook, and after a fault
	busy  bool      // a hook runs on i
	since time.Time // when the last hook ended
	lost  bool      // i was taken back, and no hook was told yet
}

// leaseOf returns the lease that h belongs to, making it with the first hook;
// nil when the instance is for this call alone. Without a connection, as when a
// program submits mail, "session" is the transaction, and without either it is
// the call.
func (s *Stage) leaseOf(h *pipeline.Hook) *lease {
	var slot *pipeline.Slot
	if s.limits.Isolation == IsolationSession {
		slot = h.Slot(abi.ScopeSession)
	}
	if slot == nil && s.limits.keeps() {
		slot = h.Slot(abi.ScopeMessage)
	}
	if slot == nil {
		return nil
	}
	l, ok := slot.Value.(*lease)
	if !ok {
		l = &lease{s: s}
		slot.Value = l
	}
	return l
}

// idle reports whether h has nothing to do: a reset when no instance is there
// that could have kept something.
func (l *lease) idle(h *pipeline.Hook) bool {
	if h.Phase() != mail.PhaseReset {
		return false
	}
	if l == nil {
		return true
	}
	l.s.pool.mu.Lock()
	defer l.s.pool.mu.Unlock()
	return l.i == nil
}

// begin returns the instance of the lease for a hook, nil if there is none. It
// fails once after the instance was taken back.
func (l *lease) begin() (*instance, error) {
	p := l.s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.lost {
		l.lost = false
		return nil, &Fault{Stage: l.s.name, Cause: CausePool, Detail: "its instance was idle for long and is taken by others; raise limit instances"}
	}
	l.busy = l.i != nil
	return l.i, nil
}

// keep ends a hook whose instance stays with the lease, unless the stage is
// about to close.
func (l *lease) keep(i *instance) {
	p := l.s.pool
	p.mu.Lock()
	l.i, l.busy, l.since = i, false, time.Now()
	p.held[l] = struct{}{}
	closed := p.closed
	p.mu.Unlock()
	if closed {
		p.reclaim(0)
	}
}

// forget ends a hook whose instance is gone.
func (l *lease) forget() {
	p := l.s.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	l.i, l.busy = nil, false
	delete(p.held, l)
}

// End implements pipeline.Ender: the instance goes back to the pool, or is
// replaced there when it is worn.
func (l *lease) End() {
	p := l.s.pool
	p.mu.Lock()
	i := l.i
	l.i = nil
	delete(p.held, l)
	p.mu.Unlock()
	if i != nil {
		l.s.release(i)
	}
}
