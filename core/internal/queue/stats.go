// SPDX-License-Identifier: Apache-2.0

package queue

// Class is where a message stands, for stats and lists.
type Class string

// The classes. A message with recipients of both kinds is ready.
const (
	Ready       Class = "ready"       // waits for its first attempt, or was told to retry now
	Deferred    Class = "deferred"    // was tried and waits for the next attempt
	Held        Class = "held"        // on hold, or all that wait in it are
	Quarantined Class = "quarantined" // in quarantine
)

// Count is how much of the queue is in a class.
type Count struct {
	Messages   int
	Recipients int   // waiting ones, each in its own class
	Bytes      int64 // header and body of the messages
}

// Stats is the size of the queue. Leased recipients count where they were.
type Stats struct {
	Ready, Deferred, Held, Quarantined Count
	Leased                             int // recipients that are being tried
}

// Stats returns the size of the queue by state, at no cost; while it is being read,
// that of what was read (Reading).
func (q *Queue) Stats() Stats {
	q.mu.RLock()
	defer q.mu.RUnlock()
	return q.index.stats
}

func (s *Stats) of(c Class) *Count {
	switch c {
	case Ready:
		return &s.Ready
	case Held:
		return &s.Held
	case Quarantined:
		return &s.Quarantined
	}
	return &s.Deferred
}

// class is the message's own class.
func (e *entry) class() Class {
	if e.hold != nil {
		return e.hold.class()
	}
	class := Held // when all that wait are
	for i := range e.slots {
		s := &e.slots[i]
		if s.waiting() && s.ready() {
			return Ready
		}
		if s.waiting() && !s.held() {
			class = Deferred
		}
	}
	return class
}

func (h *Hold) class() Class {
	if h.Kind == Quarantine {
		return Quarantined
	}
	return Held
}

// count adds the message to the stats, or takes it out with sign -1.
func (x *index) count(e *entry, sign int) {
	c := x.stats.of(e.class())
	c.Messages += sign
	c.Bytes += int64(sign) * e.size
	for i := range e.slots {
		s := &e.slots[i]
		if !s.waiting() {
			continue
		}
		x.stats.of(e.slotClass(s)).Recipients += sign
		if s.is(leased) {
			x.stats.Leased += sign
		}
	}
}

func (e *entry) slotClass(s *slot) Class {
	switch {
	case e.hold != nil:
		return e.hold.class()
	case s.held():
		return Held
	case s.ready():
		return Ready
	}
	return Deferred
}
