// SPDX-License-Identifier: Apache-2.0

package pipeline

// Ender is something that a stage keeps between its hooks. End is called once,
// when the transaction or the session is over, whatever became of it.
type Ender interface{ End() }

// Slot is where one stage keeps a value between its hooks of one transaction or
// one session. It belongs to the goroutine that runs the hook. A stage that puts
// another value in ends the former one itself.
type Slot struct{ Value Ender }

// lifetime is a transaction, a session or an attempt, with a slot for each
// stage of the pipeline.
type lifetime struct{ slots []Slot }

// slot returns the slot with number n of size.
func (l *lifetime) slot(n, size int) *Slot {
	if l.slots == nil {
		l.slots = make([]Slot, size)
	}
	return &l.slots[n]
}

// end ends what is in the slots.
func (l *lifetime) end() {
	for i := range l.slots {
		if v := l.slots[i].Value; v != nil {
			l.slots[i].Value = nil
			v.End()
		}
	}
}

// lives are the lifetimes that a hook is in, by scope; nil where there is none.
type lives [2]*lifetime

// Slot returns where this stage keeps something between its hooks: of one
// transaction or one delivery attempt (ScopeMessage), or of one connection
// (ScopeSession). It is nil where there is no such lifetime: in phase tick, in
// the session's phases for ScopeMessage, and without a session for ScopeSession.
func (h *Hook) Slot(scope int) *Slot {
	if scope != ScopeMessage && scope != ScopeSession || h.lives[scope] == nil {
		return nil
	}
	return h.lives[scope].slot(h.step.slot, h.p.slots)
}
