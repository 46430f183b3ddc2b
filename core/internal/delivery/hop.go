// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// hopKey names a next hop. A reload brings new routes, hence new next hops.
type hopKey struct {
	route   *Route
	target  string  // domain of ViaMX whose site is not known, "host:port" of a raw next hop, else empty
	site    *site   // of ViaMX: where domains with one set of mail exchangers are
	raw     bool    // a stage chose "host:port" itself
	outside bool    // and may lead to public addresses alone
	source  *Source // where connections leave from; nil: the system chooses
	secure  bool    // over TLS with a certificate for the host, to hosts that offer REQUIRETLS (RFC 8689)
}

func hopOf(r *Route, rcpt *mail.Recipient) hopKey {
	switch {
	case rcpt.NextHop != "":
		return hopKey{route: r, target: rcpt.NextHop, raw: true, outside: rcpt.Outside}
	case r.Kind == ViaMX:
		return hopKey{route: r, target: rcpt.Address.Domain()}
	}
	return hopKey{route: r}
}

// requiring is the next hop for a message: one that requires TLS has a line of its
// own, with connections that are good for it. A report has none, for it goes out
// in any case (RFC 8689 §5).
func (k hopKey) requiring(env *mail.Envelope) hopKey {
	kind := k.kind()
	k.secure = env.RequireTLS && !env.Sender.IsNull() && (kind == ViaMX || kind == ViaSmarthost)
	return k
}

// kind returns the way that this next hop takes.
func (k hopKey) kind() Kind {
	if k.raw {
		return ViaSmarthost
	}
	return k.route.Kind
}

// String returns the next hop as logs and people see it.
func (k hopKey) String() string {
	switch {
	case k.raw:
		return k.target
	case k.site != nil:
		return k.site.String()
	case k.route.Kind == ViaMX:
		return "mx " + k.target
	}
	return k.route.Kind.String() + " " + k.route.Name
}

// hop is one next hop with mail: what waits for it and who carries it. It
// lives while there is either. Its fields belong to Scheduler.mu.
type hop struct {
	key      hopKey
	provider *Provider // of all hosts of the site; nil: none
	ready    line[*task]
	waiting  int          // recipients in ready
	parked   line[ticket] // set back until there is room
	workers  int          // goroutines, each with at most one connection
	dialing  int          // workers without a connection yet
	open     int          // workers with a connection
	idle     []*worker    // workers that wait for work; the last one is asked first
	own      *budget      // of this line alone
	shared   *budget      // of all sites of the provider; nil: none
	asleep   bool         // it is among the asleep of a budget
	rests    bool         // it waits for a healthy source
	called   bool         // it was woken, and what it had set back is being leased again
	awaits   bool         // it is among the waiting of a budget
	sought   time.Time    // since when the site of its domain is looked up; zero: it is not

	recalling bool // the owner is about to lease some of parked again
}

// task is some recipients of one message for one next hop.
type task struct {
	hop     *hop
	msg     Message
	rcpts   []int
	routed  bool // stages were asked where it goes
	untried int  // times it was handed out and came back untried
}

// ticket is what stays in memory of a lease that is set back: some 100 octets
// for a message of one recipient, without its envelope and content.
type ticket struct {
	id     string
	rcpts  []int
	expiry time.Time
}

// cut takes up to n recipients off t as a task of their own; t itself when it
// has no more.
func (t *task) cut(n int) *task {
	if len(t.rcpts) <= n {
		return t
	}
	c := &task{hop: t.hop, msg: t.msg, rcpts: t.rcpts[:n:n], routed: t.routed, untried: t.untried}
	t.rcpts = t.rcpts[n:]
	return c
}

// push puts t in line and gets somebody to carry it.
func (s *Scheduler) push(t *task) {
	h := t.hop
	h.ready.push(campaignOf(t.msg.Envelope()), t)
	h.waiting += len(t.rcpts)
	s.grow(h, t.msg.Envelope())
}

// pop takes the next transaction of h, in turns. The rest of a message goes to
// the end of its flow, so that a small one overtakes a list with thousands of
// recipients.
func (s *Scheduler) pop(h *hop, l limits) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.ready.len() == 0 || s.stopped || s.paused != "" || !s.pays(h) {
		return nil
	}
	var c *task
	h.ready.take(func(t *task) (int, bool) {
		c = t.cut(l.of(t, s.o.TransactionRecipients))
		return len(c.rcpts), c != t
	})
	h.waiting -= len(c.rcpts)
	s.recall(h)
	if h.ready.len() > 0 {
		s.grow(h, c.msg.Envelope())
	}
	return c
}

// requeue puts a task back in front; false once we stop. Who calls sees to it
// that somebody takes it.
func (s *Scheduler) requeue(t *task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	t.hop.ready.unshift(campaignOf(t.msg.Envelope()), t)
	t.hop.waiting += len(t.rcpts)
	return true
}

// grow gets one more worker for h if there is work and decideLine has nothing
// against it: an idle one, or a new one. Else it sees to it that the line goes on
// when that has changed.
func (s *Scheduler) grow(h *hop, env *mail.Envelope) {
	if s.stopped || h.ready.len() == 0 {
		return
	}
	now := s.o.Clock.Now()
	switch d := s.decideLine(now, h); {
	case d.action == Resolve:
		s.seek(h, env)
	case d.action == NoSource:
		s.reseat(h)
	case d.action == Throttle:
		s.sleep(h)
	case d.cause == noBudget:
		s.await(h)
	case d.cause == noSlot:
		s.turns.push(messageOf(env), h)
		s.evict()
	case d.action == Try:
		s.letGo(h, now)
	}
}

func (s *Scheduler) letGo(h *hop, now time.Time) {
	b, r := h.pace()
	b.pledge(now, r)
	if n := len(h.idle); n > 0 {
		h.idle[n-1].rouse(true)
		return
	}
	s.start(h)
}

// advance gives free slots to those whose turn it is.
func (s *Scheduler) advance() {
	for s.slots < s.o.Connections && !s.stopped {
		if s.turns.len() == 0 {
			return
		}
		if h := s.turns.pop(); len(h.idle) == 0 {
			s.grow(h, h.first())
		}
	}
}

// first returns the envelope of the first message in line, nil when there is none.
func (h *hop) first() *mail.Envelope {
	if h.ready.len() == 0 {
		return nil
	}
	return h.ready.first().msg.Envelope()
}

// evict asks one idle worker to give up its connection.
func (s *Scheduler) evict() {
	for w := range s.idle {
		w.rouse(false)
		return
	}
}

// mail reports whether anything waits for h.
func (h *hop) mail() bool { return h.ready.len() > 0 || h.parked.len() > 0 }

// drop forgets h when it has neither mail nor workers. A next hop that comes
// back is a new one.
func (s *Scheduler) drop(h *hop) {
	if h.workers == 0 && h.ready.len() == 0 && h.parked.len() == 0 && !h.called && h.sought.IsZero() && s.hops[h.key] == h {
		s.dozes(&h.asleep, false)
		s.dozes(&h.rests, false)
		delete(s.hops, h.key)
	}
}

// stale reports whether a reload has replaced h's route, or the provider of its
// site.
func (h *hop) stale(s *Scheduler) bool {
	name := h.key.route.Name
	if h.key.route == s.fallback {
		return false
	}
	if s.providerOf(h.key.site) != h.provider {
		return true
	}
	r, ok := s.o.Routes(name)
	return !ok || r != h.key.route
}

// share returns how many recipients one next hop may have in line. It shrinks
// as the whole fills up, so that those of a slow one never take all the room.
func (s *Scheduler) share() int {
	return max(1, min(s.o.HopLeases, (s.o.Leases-s.held)/2))
}

// displace sets back what is in line and less urgent, or of who has more there, to
// make room for t in a line that is full; false when there is nothing such. The
// caller holds mu.
func (s *Scheduler) displace(h *hop, t *task) bool {
	freed := 0
	for freed < len(t.rcpts) {
		v, ok := h.ready.yield(campaignOf(t.msg.Envelope()))
		if !ok {
			break
		}
		freed += len(v.rcpts)
		h.waiting -= len(v.rcpts)
		s.park(h, v.msg, v.rcpts)
	}
	return freed > 0
}

// park sets recipients back: they stay leased, without the message. The caller
// holds mu.
func (s *Scheduler) park(h *hop, m Message, rcpts []int) {
	env := m.Envelope()
	h.parked.push(campaignOf(env), ticket{env.ID, rcpts, h.key.route.expiry(env)})
	if s.held >= s.o.Leases {
		s.rouse() // there may be room again
	}
	s.held -= len(rcpts)
	s.parked += len(rcpts)
}

// recall takes what was set back and there is room for, once the line is half
// empty. The owner returns it to the queue, to be leased again with its message.
func (s *Scheduler) recall(h *hop) {
	if h.parked.len() == 0 || h.asleep || h.rests || h.recalling {
		return
	}
	share := s.shareOf(h)
	if h.waiting > share/2 {
		return
	}
	h.recalling = true
	s.recalling = append(s.recalling, h)
	for room := share - h.waiting; h.parked.len() > 0 && room > 0; {
		t := h.parked.pop()
		room -= len(t.rcpts)
		s.recalls = append(s.recalls, t)
	}
	s.rouse()
}
