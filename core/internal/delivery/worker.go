// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// worker carries the mail of one next hop over one connection.
type worker struct {
	s      *Scheduler
	hop    *hop
	ctx    context.Context
	cancel context.CancelFunc
	signal chan bool // one value per time in idle: work, or go home

	// Under Scheduler.mu.
	connected bool
	left      bool              // was connected, takes no more mail
	jobs      map[*Job]struct{} // handed to the transport
	moved     time.Time         // when something last began or ended
	aheadID   string            // message that fetch makes ready; empty: none

	// The worker's own.
	handed, carried int
	limits          limits      // of the host
	ahead           <-chan *Job // what fetch makes; nil: nothing
}

// start gives h a new worker. The caller holds mu.
func (s *Scheduler) start(h *hop) {
	w := &worker{s: s, hop: h, signal: make(chan bool, 1), jobs: map[*Job]struct{}{}, moved: s.o.Clock.Now()}
	w.ctx, w.cancel = context.WithCancel(s.ctx)
	s.slots++
	h.count(1)
	h.dialing++
	s.all[w] = struct{}{}
	s.workers.Go(w.run)
}

// run is the life of a worker.
func (w *worker) run() {
	defer w.end()
	defer w.recovered()
	switch w.hop.key.kind() {
	case ViaMaildir:
		w.loop(w.intoMaildir)
	case ViaDiscard:
		w.loop(discard)
	default:
		w.overSMTP()
	}
}

// overSMTP connects to the next hop and sends what there is until nothing more
// comes. A connection that took jobs and finished none has failed like one that
// was never opened.
func (w *worker) overSMTP() {
	conn, failed := w.connect()
	switch {
	case failed != nil:
		w.fail(*failed)
		return
	case conn == nil:
		return // end has the line go on from another source
	}
	w.limits = limitsOf(conn)
	w.open()
	err := conn.Run(w.ctx, w.next, w.finish)
	if w.handed > 0 && w.carried == 0 {
		w.fail(lost(err))
	}
}

// loop serves a next hop that needs no connection.
func (w *worker) loop(carry func(context.Context, *Job) []mail.Outcome) {
	w.open()
	for {
		t := w.s.pop(w.hop, w.limits)
		if t == nil {
			return
		}
		if j := w.s.outfit(w.ctx, t); j != nil {
			w.finish(w.hand(j), carry(w.ctx, j))
		}
	}
}

func discard(_ context.Context, j *Job) []mail.Outcome {
	return j.outcomes(mail.Outcome{Status: mail.Delivered, Reply: mail.Reply{
		Code: 250, Enhanced: mail.Enhanced{2, 0, 0}, Text: "discarded"}})
}

// intoMaildir delivers to one recipient after the other.
func (w *worker) intoMaildir(ctx context.Context, j *Job) []mail.Outcome {
	out := make([]mail.Outcome, 0, len(j.Recipients))
	for _, r := range j.Recipients {
		reply := w.s.o.Maildir.Deliver(ctx, w.hop.key.route, j.Envelope.Recipients[r].Address, j)
		if reply == nil {
			reply = mail.NewReply(250, mail.Enhanced{2, 0, 0}, "delivered to mailbox")
		}
		out = append(out, mail.Outcome{Recipient: r, Status: statusOf(reply), Reply: *reply})
	}
	return out
}

// statusOf derives a status from a reply: only a 2xx is a delivery, only a 5xx
// is final.
func statusOf(r *mail.Reply) mail.Status {
	switch {
	case r.Positive():
		return mail.Delivered
	case r.Permanent():
		return mail.Failed
	}
	return mail.Deferred
}

// outcomes returns o for each recipient of j.
func (j *Job) outcomes(o mail.Outcome) []mail.Outcome {
	out := make([]mail.Outcome, len(j.Recipients))
	for i, r := range j.Recipients {
		o.Recipient = r
		out[i] = o
	}
	return out
}

// open notes that the next hop answers, and lets more workers come.
func (w *worker) open() {
	s, h := w.s, w.hop
	s.mu.Lock()
	defer s.mu.Unlock()
	w.connected = true
	w.moved = s.o.Clock.Now()
	h.dialing--
	h.open++
	if h.ready.len() > 1 {
		s.grow(h, h.first())
	}
}

// next hands out the next transaction. With wait it waits for one as long as a
// connection is kept. Where stages edit what is sent, the next message is made
// ready while the one before is on its way.
func (w *worker) next(wait bool) (*Job, bool) {
	for {
		if w.ahead == nil && w.yields() {
			return nil, false
		}
		if w.ahead != nil {
			j, ok := w.collect(wait)
			if !ok {
				return nil, false
			}
			if t := w.s.pop(w.hop, w.limits); t != nil {
				w.fetch(t)
			}
			if j != nil {
				return w.hand(j), true
			}
			continue
		}
		t := w.s.pop(w.hop, w.limits)
		switch {
		case t == nil:
			if !wait || !w.linger() {
				return nil, false
			}
		case w.s.asks(w.hop.key.route, mail.PhasePredeliver):
			w.fetch(t)
		default:
			if j := w.s.outfit(w.ctx, t); j != nil {
				return w.hand(j), true
			}
		}
	}
}

// hand notes that j goes to the transport.
func (w *worker) hand(j *Job) *Job {
	s := w.s
	j.begin = s.o.Clock.Now()
	s.mu.Lock()
	w.jobs[j] = struct{}{}
	w.moved = j.begin
	s.mu.Unlock()
	w.handed++
	s.o.Observer.InFlight(w.hop.key.route.Name, len(j.Recipients))
	return j
}

// again has each recipient decided anew at the end of the line: time has
// passed, and somebody may have held, dropped or rerouted it.
func (s *Scheduler) again(t *task) *task {
	now, env := s.o.Clock.Now(), t.msg.Envelope()
	keep := t.rcpts[:0] // t's alone: nobody else has this part of the slice
	done := s.conclusions(t.msg)
	for _, r := range t.rcpts {
		switch d := s.decideIn(t, now, env, r); {
		case d.Action != Try:
			done.conclude(now, r, d)
		case !s.leads(d.key, t.hop):
			s.giveUp(t.msg, []int{r}, time.Time{})
		default:
			keep = append(keep, r)
		}
	}
	done.settle()
	if len(keep) == 0 {
		return nil
	}
	t.rcpts = keep
	return t
}

// decideIn decides for a recipient of a task: by the way that stages have chosen
// for it, where they were asked.
func (s *Scheduler) decideIn(t *task, now time.Time, env *mail.Envelope, rcpt int) Decision {
	if !t.routed {
		return s.decide(now, env, rcpt, t.msg.State(rcpt))
	}
	to := env.Recipients[rcpt]
	to.Route, to.NextHop = t.hop.key.route.Name, ""
	if t.hop.key.raw {
		to.NextHop = t.hop.key.target
	}
	return s.decideFor(now, env, &to, t.msg.State(rcpt))
}

// finish settles a job, or puts it back in line when it was not tried.
func (w *worker) finish(j *Job, outcomes []mail.Outcome) {
	if !w.release(j) {
		return
	}
	t := j.task
	if len(outcomes) == 0 {
		w.s.shut(j)
		w.untried(t)
		return
	}
	w.carried++
	took := w.s.o.Clock.Now().Sub(j.begin)
	if w.s.reviews(t) {
		all := make([]mail.Outcome, len(t.rcpts))
		for i, r := range t.rcpts {
			all[i] = outcomeFor(outcomes, i, r)
		}
		w.s.beside(func() { w.s.review(t, took, all, j) })
		return
	}
	w.s.shut(j)
	w.s.attempted(t, took, func(i, r int) mail.Outcome { return outcomeFor(outcomes, i, r) })
}

// outcomeFor finds the outcome of the i-th recipient, r. A transport that
// forgot one has a bug; the recipient is tried again.
func outcomeFor(outcomes []mail.Outcome, i, r int) mail.Outcome {
	if i < len(outcomes) && outcomes[i].Recipient == r {
		return outcomes[i]
	}
	for _, o := range outcomes {
		if o.Recipient == r {
			return o
		}
	}
	return mail.Outcome{Recipient: r, Reply: *mail.OurFault(errors.New("transport gave no outcome"))}
}

// release takes j back from the transport; false when it was back already.
func (w *worker) release(j *Job) bool {
	s := w.s
	s.mu.Lock()
	_, ours := w.jobs[j]
	delete(w.jobs, j)
	w.moved = s.o.Clock.Now()
	s.mu.Unlock()
	if !ours {
		return false
	}
	s.o.Observer.InFlight(w.hop.key.route.Name, -len(j.Recipients))
	return true
}

// maxUntried is how often a task may come back untried before that counts as
// an attempt: a host that closes connections for ever must not keep us busy.
const maxUntried = 4

func (w *worker) untried(t *task) {
	if t.untried++; t.untried > maxUntried {
		w.s.failTask(t, lost(nil))
		return
	}
	if !w.s.requeue(t) {
		w.s.giveUp(t.msg, t.rcpts, time.Time{})
	}
}

// lost is the outcome of a connection that went away.
func lost(err error) mail.Outcome {
	return mail.Outcome{Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 4, 2},
		Text: "connection lost before the message was sent", Cause: err}}
}

// fail gives all that waits for the next hop the outcome of a connection that
// did not come about. When other connections to it work, the host wants no
// more of them, and the mail is theirs.
func (w *worker) fail(o mail.Outcome) {
	s, h := w.s, w.hop
	s.mu.Lock()
	others := h.open
	if w.connected {
		others--
	}
	var tasks []*task
	if others > 0 {
		h.own.limited, h.own.said = s.o.Clock.Now().Add(watchEvery), o.Reply.Line()
	} else {
		tasks = h.empty()
		s.recall(h)
	}
	s.mu.Unlock()
	s.failAll(tasks, func(*task) mail.Outcome { return o })
}

// failAll gives tasks the outcome of a connection that did not come about, or
// back to the queue when we were cut off.
func (s *Scheduler) failAll(tasks []*task, outcome func(*task) mail.Outcome) {
	for _, t := range tasks {
		if s.ctx.Err() != nil {
			s.giveUp(t.msg, t.rcpts, time.Time{})
			continue
		}
		s.failTask(t, outcome(t))
	}
}

// recovered settles what a worker had in hand when it met a bug: it is tried
// again later, not at once.
func (w *worker) recovered() {
	r := recover()
	if r == nil {
		return
	}
	w.s.panicked("worker", r)
	fault := mail.Outcome{Reply: *mail.OurFault(fmt.Errorf("panic: %v", r))}
	for _, j := range w.inHand() {
		w.finish(j, j.outcomes(fault))
	}
	w.fail(fault)
}

func (w *worker) inHand() []*Job {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	var js []*Job
	for j := range w.jobs {
		js = append(js, j)
	}
	return js
}

// end gives the slot back: to those who wait for one, or to the same next hop.
func (w *worker) end() {
	for _, j := range w.inHand() { // the transport forgot them
		w.finish(j, nil)
	}
	w.leaveAhead()
	w.cancel()
	s, h := w.s, w.hop
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, w)
	s.slots--
	h.count(-1)
	switch {
	case w.connected:
		h.open--
	case !w.left:
		h.dialing--
	}
	s.passOn(h.own)
	s.passOn(h.shared) // whichever counts: a reload may have changed that for who waits
	s.advance()
	if h.ready.len() > 0 {
		s.grow(h, h.first())
	}
	s.drop(h)
	s.atRest()
}
