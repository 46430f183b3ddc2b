// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"math"
	"time"
	"unique"

	"github.com/postroad-mail/postroad/core/mail"
)

// never is the due time of what only an operator can set going.
const never = math.MaxInt64

// index is what the queue knows in memory. Queue.mu guards it.
type index struct {
	byID   map[string]*entry
	order  order
	due    flows
	stats  Stats
	hot    int64 // octets of content in memory
	hotMax int64
	closed bool
}

// entry is one queued message in memory. What has a record on disk (hold,
// status, attempts) changes only under Queue.change and Queue.mu both; leases,
// postponements and the place in the heap under Queue.mu.
type entry struct {
	id       string
	sender   mail.Address
	tenant   unique.Handle[string]
	campaign unique.Handle[string]
	received int64 // nanoseconds since 1970, like all times here
	size     int64 // octets of header and body
	content  uint32
	priority int8
	onFile   bool
	seized   bool // an operator has it in hand: Due does not
	hold     *Hold
	slots    []slot
	fresh    *content // set while it is handed over in memory

	dueAt int64
	flow  *flow
	at    int // in the flow; -1: it waits for no time
}

// slot is one recipient in memory.
type slot struct {
	domain   unique.Handle[string]
	route    unique.Handle[string]
	next     int64
	firstTry uint32 // seconds since 1970
	addr     uint32 // addressHash
	leasedAt uint32 // seconds since 1970; of the last lease
	attempts uint16
	status   mail.Status
	flags    slotFlags
}

type slotFlags uint8

const (
	leased  slotFlags = 1 << iota
	stored            // there is a state record
	urgent            // told to retry now: counts as ready again
	shelved           // next is when a suspension ends
	warned            // its sender was told of the delay
)

// content is a message in memory between accept and delivery.
type content struct {
	env    *mail.Envelope
	header []byte
	body   []byte
}

func newIndex(hot int64) index {
	return index{byID: make(map[string]*entry), due: newFlows(), hotMax: max(hot, 0)}
}

// newEntry makes the entry of an untried message. Its recipients are due since
// it was received, and in any case now: a clock that was set back must not keep
// mail waiting. What a stage has put off is due then, or when it expires.
func newEntry(r *record, contentLen int, now time.Time) *entry {
	e := &entry{
		id:       r.env.ID,
		sender:   r.env.Sender,
		tenant:   unique.Make(r.env.Tenant),
		campaign: unique.Make(r.env.Campaign),
		received: nanos(r.env.Received),
		size:     int64(r.header) + r.body,
		content:  uint32(contentLen),
		priority: int8(r.env.Priority),
		onFile:   r.onFile,
		slots:    make([]slot, len(r.env.Recipients)),
		dueAt:    never,
		at:       -1,
	}
	due := nanos(now)
	if !r.env.Received.IsZero() {
		due = min(due, e.received)
	}
	if !r.env.NotBefore.IsZero() {
		due = max(due, nanos(putOff(r.env)))
	}
	for i := range e.slots {
		e.slots[i] = newSlot(&r.env.Recipients[i], due)
	}
	return e
}

// putOff is until when a message waits for its first attempt.
func putOff(e *mail.Envelope) time.Time {
	until := e.NotBefore
	if !e.Expires.IsZero() && e.Expires.Before(until) {
		until = e.Expires
	}
	if by := e.DeliverBy; by.Return && by.At.Before(until) {
		until = by.At
	}
	return until
}

func newSlot(r *mail.Recipient, due int64) slot {
	s := slot{domain: unique.Make(r.Address.Domain()), route: unique.Make(r.Route), addr: addressHash(r.Address), next: due}
	if r.Removed {
		s.status = mail.Delivered
	}
	return s
}

func (s *slot) waiting() bool       { return s.status == mail.Deferred }
func (s *slot) held() bool          { return s.waiting() && s.next == never }
func (s *slot) is(f slotFlags) bool { return s.flags&f != 0 }

// ready reports a recipient that waits for its first attempt, or was told to
// retry now, and is not held.
func (s *slot) ready() bool { return (s.attempts == 0 || s.is(urgent)) && s.next != never }

// state is the slot as the outside sees it; Last comes from the record.
func (s *slot) state() State {
	st := State{Status: s.status, Attempts: int(s.attempts), Next: stamp(s.next), Leased: s.is(leased), Held: s.held(), Warned: s.is(warned)}
	if s.firstTry != 0 {
		st.FirstTry = time.Unix(int64(s.firstTry), 0).UTC()
	}
	return st
}

// load takes a state over from its record.
func (s *slot) load(st State) {
	s.status, s.attempts = st.Status, uint16(st.Attempts)
	s.flags |= stored
	if st.Warned {
		s.flags |= warned
	}
	switch {
	case !st.Next.IsZero():
		s.next = nanos(st.Next)
	case s.waiting(): // held
		s.next = never
	}
	if !st.FirstTry.IsZero() {
		s.firstTry = uint32(st.FirstTry.Unix())
	}
}

// stamp returns the zero time for never.
func stamp(ns int64) time.Time {
	if ns == never {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// waiting returns the number of recipients that are not settled.
func (e *entry) waiting() int {
	n := 0
	for i := range e.slots {
		if e.slots[i].waiting() {
			n++
		}
	}
	return n
}

// nextDue is when something has to be done about the message: its hold ends,
// or a recipient that nobody has leased is due.
func (e *entry) nextDue() int64 {
	if e.seized {
		return never
	}
	if e.hold != nil {
		return e.hold.end()
	}
	due := int64(never)
	for i := range e.slots {
		if s := &e.slots[i]; s.waiting() && !s.is(leased) {
			due = min(due, s.next)
		}
	}
	return due
}

func (h *Hold) end() int64 {
	if h.Until.IsZero() {
		return never
	}
	return nanos(h.Until)
}

// put adds a message.
func (x *index) put(e *entry) {
	x.byID[e.id] = e
	x.order.put(e)
	x.due.enter(e)
	x.count(e, +1)
	x.arm(e)
}

// drop removes a message.
func (x *index) drop(e *entry) {
	x.cool(e)
	x.count(e, -1)
	delete(x.byID, e.id)
	x.order.drop(e)
	x.due.leave(e)
}

// update changes a message and whatever is derived from it.
func (x *index) update(e *entry, change func()) {
	x.count(e, -1)
	change()
	x.count(e, +1)
	x.arm(e)
}

// arm puts the message where its due time belongs.
func (x *index) arm(e *entry) {
	e.dueAt = e.nextDue()
	x.due.arm(e)
}

// warm keeps a message in memory for delivery, if there is room.
func (x *index) warm(e *entry, c *content) {
	if x.hot+e.warmth() > x.hotMax {
		return
	}
	x.hot += e.warmth()
	e.fresh = c
}

// cool lets it go.
func (x *index) cool(e *entry) {
	if e.fresh != nil {
		x.hot -= e.warmth()
		e.fresh = nil
	}
}

// warmth is what a message costs in memory beside its entry, roughly.
func (e *entry) warmth() int64 { return int64(e.content) + 512 + 96*int64(len(e.slots)) }
