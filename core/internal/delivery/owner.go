// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"runtime/debug"
	"slices"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

const (
	leaseBatch = 256         // messages leased at a time
	watchEvery = time.Minute // how often lines and attempts are looked over
)

// own is the life of the owner: lease what is due, sleep until there is more.
func (s *Scheduler) own() {
	defer s.disarm()
	for {
		s.pass()
		select {
		case <-s.o.Queue.Wake():
		case <-s.kick:
		case <-s.stop:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// pass is one round of the owner. A bug in it costs the round.
func (s *Scheduler) pass() {
	defer s.recovered("owner")
	waiters := s.takeWaiters() // before the clock is read: they ask about now or later
	now := s.o.Clock.Now()
	s.watch(now)
	s.recallAll()
	more := s.lease(now)
	s.recallDone()
	idle := s.idlers(waiters, more) // before arm: what is settled later is not armed for yet
	s.arm(more)
	for _, ch := range idle {
		close(ch)
	}
}

// lease takes what is due and there is room for. It reports whether it may
// have left something.
func (s *Scheduler) lease(now time.Time) (more bool) {
	for s.room() {
		leases := s.o.Queue.Due(now, leaseBatch)
		if len(leases) == 0 {
			return false
		}
		for _, l := range leases {
			s.admit(now, l)
		}
	}
	return true
}

// room reports whether more may be leased. While the queue cannot settle,
// nothing is.
func (s *Scheduler) room() bool {
	if s.settler.failing() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held < s.o.Leases && !s.stopped && s.paused == ""
}

// admit decides for each recipient of a lease and puts those to be tried in
// line, one task per next hop.
func (s *Scheduler) admit(now time.Time, l Lease) {
	s.hold(len(l.Recipients))
	ds, ok := s.decideAll(now, l)
	if !ok {
		s.giveUp(l.Message, l.Recipients, now.Add(watchEvery))
		return
	}
	done := s.conclusions(l.Message)
	for i, r := range l.Recipients {
		if ds[i].Action != Try {
			done.conclude(now, r, ds[i])
		}
	}
	done.settle()
	s.group(l, ds)
}

// decideAll asks decide for each recipient before anything is done. It fails
// only by a bug.
func (s *Scheduler) decideAll(now time.Time, l Lease) (ds []Decision, ok bool) {
	defer s.recovered("owner")
	ds = s.scratch[:0]
	env := l.Message.Envelope()
	for _, r := range l.Recipients {
		ds = append(ds, s.decide(now, env, r, l.Message.State(r)))
	}
	s.scratch = ds
	return ds, true
}

// group makes a task of the recipients of each next hop, once stages have chosen
// it for those they are to be asked about.
func (s *Scheduler) group(l Lease, ds []Decision) {
	if len(ds) == 1 && ds[0].Action == Try && !s.asks(ds[0].key.route, mail.PhaseRoute) {
		s.enqueue(ds[0].key, l.Message, l.Recipients, false)
		return
	}
	var ask []int
	byHop := map[hopKey][]int{}
	for i, r := range l.Recipients {
		switch {
		case ds[i].Action != Try:
		case s.asks(ds[i].key.route, mail.PhaseRoute):
			ask = append(ask, r)
		default:
			byHop[ds[i].key] = append(byHop[ds[i].key], r)
		}
	}
	s.dispatch(byHop, l.Message, false)
	if len(ask) > 0 {
		s.later(func() { s.choose(l.Message, ask) })
	}
}

// conclusions are recipients of one message of which something else than Try was
// decided. Those of a route are settled together, so that what their sender is
// to hear comes into one report.
type conclusions struct {
	s     *Scheduler
	msg   Message
	items map[*Route][]item
}

func (s *Scheduler) conclusions(m Message) conclusions { return conclusions{s: s, msg: m} }

// conclude does what a decision other than Try asks for; settle must follow.
func (c *conclusions) conclude(now time.Time, rcpt int, d Decision) {
	st := c.msg.State(rcpt)
	switch d.Action {
	case Expire:
		c.add(d.key.route, expired(limitOf(now, c.msg.Envelope()), rcpt, st.Attempts, public(st.Last)))
	case NoRoute:
		c.add(d.key.route, mail.Outcome{Recipient: rcpt, Reply: mail.Reply{
			Code: 451, Enhanced: mail.Enhanced{4, 3, 5}, Text: d.Reason}})
	case Suspend:
		c.s.shelve(c.msg, rcpt, d.again)
	default:
		c.s.giveUp(c.msg, []int{rcpt}, d.Until)
	}
}

// add notes an outcome: a deferral with the time of the next attempt or, when
// decide says that there is none, as a failure.
func (c *conclusions) add(r *Route, out mail.Outcome) {
	if c.items == nil {
		c.items = map[*Route][]item{}
	}
	c.items[r] = append(c.items[r], c.s.noted(c.msg, r, 0, c.s.settled(c.msg, r, out)))
}

func (c *conclusions) settle() {
	for route, items := range c.items {
		c.s.conclusion(c.msg, route, items)
	}
}

// dispatch puts recipients of a message, by what decide said, in line: those of
// one site together.
func (s *Scheduler) dispatch(ways map[hopKey][]int, m Message, routed bool) {
	lines := make(map[hopKey][]int, len(ways))
	for key, rcpts := range ways {
		key = s.place(key)
		lines[key] = append(lines[key], rcpts...)
	}
	for key, rcpts := range lines {
		slices.Sort(rcpts)
		s.enqueue(key, m, rcpts, routed)
	}
}

// enqueue puts recipients of a message in their next hop's line, or sets them
// back when the line is as long as it may be and nothing there has to yield. Once
// we stop they are returned.
func (s *Scheduler) enqueue(key hopKey, m Message, rcpts []int, routed bool) {
	if !s.inLine(key, m, rcpts, routed) {
		s.giveUp(m, rcpts, time.Time{})
	}
}

func (s *Scheduler) inLine(key hopKey, m Message, rcpts []int, routed bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	key = s.sourced(s.o.Clock.Now(), s.place(key))
	s.join(s.hopFor(key), &task{msg: m, rcpts: rcpts, routed: routed})
	return true
}

func (s *Scheduler) hopFor(key hopKey) *hop {
	h := s.hops[key]
	if h == nil {
		h = &hop{key: key}
		s.hops[key] = h
		s.allot(h)
	}
	return h
}

// hold counts leased recipients; with a negative n those that no longer are.
func (s *Scheduler) hold(n int) {
	s.mu.Lock()
	full := s.held >= s.o.Leases
	s.held += n
	look := n < 0 && (s.held == 0 || len(s.waiters) > 0 || full && s.held < s.o.Leases)
	s.mu.Unlock()
	if look {
		s.rouse()
	}
}

// giveUp ends a lease without an attempt.
func (s *Scheduler) giveUp(m Message, rcpts []int, until time.Time) {
	if until.IsZero() {
		s.o.Queue.Return(m.Envelope().ID, rcpts)
	} else {
		s.o.Queue.Postpone(m.Envelope().ID, rcpts, until)
	}
	s.hold(-len(rcpts))
}

// giveBack returns all that waits in lines and sends idle workers home.
func (s *Scheduler) giveBack() {
	s.mu.Lock()
	s.stopped = true
	for w := range s.idle {
		w.rouse(false)
	}
	var tasks []*task
	for _, h := range s.hops {
		tasks = append(tasks, h.empty()...)
		s.recalls = append(s.recalls, h.parked.all()...)
		s.drop(h)
	}
	s.hush()
	s.mu.Unlock()
	s.returnAll(tasks)
	s.recallAll()
}

func (s *Scheduler) returnAll(tasks []*task) {
	for _, t := range tasks {
		s.giveUp(t.msg, t.rcpts, time.Time{})
	}
}

// empty takes all tasks out of the line.
func (h *hop) empty() []*task {
	h.waiting = 0
	return h.ready.all()
}

// remove takes some tasks out of the line.
func (h *hop) remove(goes func(*task) bool) []*task {
	tasks := h.ready.remove(goes)
	for _, t := range tasks {
		h.waiting -= len(t.rcpts)
	}
	return tasks
}

// recallAll returns to the queue what was set back and now has room.
func (s *Scheduler) recallAll() {
	s.mu.Lock()
	tickets := s.recalls
	s.recalls = nil
	s.mu.Unlock()
	s.returnTickets(tickets)
}

func (s *Scheduler) returnTickets(tickets []ticket) {
	n := 0
	for _, t := range tickets {
		s.o.Queue.Return(t.id, t.rcpts)
		n += len(t.rcpts)
	}
	s.mu.Lock()
	s.parked -= n
	s.mu.Unlock()
}

// recallDone lets next hops ask again. A line may have run empty meanwhile, with
// nobody left who would ask.
func (s *Scheduler) recallDone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	hops := s.recalling
	s.recalling = nil
	for _, h := range hops {
		h.recalling = false
		s.recall(h)
		s.drop(h)
	}
}

// arm sets the timer for the next round: when the queue has something, or when
// it is time to look things over. Without room (full) the one who makes room
// calls. The clock may move meanwhile.
func (s *Scheduler) arm(full bool) {
	if stop := s.stopTimer; stop != nil {
		s.stopTimer = nil
		defer stop() // once the new one is set: who asks the clock in between sees one
	}
	now := s.o.Clock.Now()
	at, ok := s.o.Queue.NextDue()
	s.mu.Lock()
	busy := len(s.hops) > 0 || s.held > 0
	s.mu.Unlock()
	ok = ok && !full
	if busy && (!ok || at.After(s.lookAt)) {
		at, ok = s.lookAt, true
	}
	if !ok {
		return
	}
	s.stopTimer = s.o.Clock.AfterFunc(max(at.Sub(now), time.Millisecond), s.rouse)
	if later := s.o.Clock.Now(); !later.Before(at) && (later.After(now) || at.Equal(s.lookAt)) {
		s.rouse()
	}
}

func (s *Scheduler) disarm() {
	if s.stopTimer != nil {
		s.stopTimer()
		s.stopTimer = nil
	}
}

func (s *Scheduler) takeWaiters() []chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ws := s.waiters
	s.waiters = nil
	return ws
}

// atRest has the owner look again for those who wait for Idle, after a worker
// has come to rest. The caller holds mu.
func (s *Scheduler) atRest() {
	if len(s.waiters) > 0 {
		s.rouse()
	}
}

// idlers returns those of waiters who are to be told that all is idle: all of them
// when it is so, else none, and they wait on.
func (s *Scheduler) idlers(waiters []chan struct{}, more bool) []chan struct{} {
	if len(waiters) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	waits := more || s.held+s.parked > s.sleeping()
	if waits && s.paused == "" || s.slots > len(s.idle) {
		s.waiters = append(s.waiters, waiters...)
		return nil
	}
	return waiters
}

// sleeping returns how many recipients wait for nothing but the clock. The caller
// holds mu.
func (s *Scheduler) sleeping() (n int) {
	for _, h := range s.hops {
		if !h.asleep && !h.rests {
			continue
		}
		n += h.waiting + h.parked.weight
	}
	return n
}

// recovered is deferred at the root of each goroutine: a panic is our bug and
// must not end the process.
func (s *Scheduler) recovered(who string) {
	if r := recover(); r != nil {
		s.panicked(who, r)
	}
}

func (s *Scheduler) panicked(who string, r any) {
	s.o.Observer.Panicked()
	s.log.Error("panic in delivery", "goroutine", who, "panic", r, "stack", string(debug.Stack()))
}
