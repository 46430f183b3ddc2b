// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// settleAfter is the pause after a failed Settle.
const settleAfter = time.Second

// settler gathers outcomes, so that one Settle carries many.
type settler struct {
	mu     sync.Mutex
	items  []item
	rested []item // those that could not be settled, until it is time to try again
	closed bool
	failed bool          // the queue settles nothing
	wake   chan struct{} // there are items, or it is closed
}

// item is the outcome of one recipient on its way into the queue.
type item struct {
	msg     Message
	settled Settled
	action  mail.Action // what the sender is to hear
	until   time.Time   // of a delay: when it is given up
	all     bool        // of a failure: the whole message may go back
	notice  *Notice     // how, if stages were asked
	waiter  *waiter     // who waits for it; nil: nobody
}

func (q *settler) init() { q.wake = make(chan struct{}, 1) }

func (q *settler) add(is ...item) {
	q.mu.Lock()
	q.items = append(q.items, is...)
	q.mu.Unlock()
	q.rouse()
}

func (q *settler) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.rouse()
}

func (q *settler) rouse() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns what has gathered, and whether nothing will follow.
func (q *settler) take() ([]item, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	if q.closed {
		items = append(q.rested, items...)
	}
	return items, q.closed
}

// rest keeps what could not be settled until the clock calls again.
func (q *settler) rest(items []item, c Clock) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.rested) == 0 {
		c.AfterFunc(settleAfter, q.again)
	}
	q.rested = append(q.rested, items...)
}

func (q *settler) again() {
	q.mu.Lock()
	q.items = append(q.rested, q.items...)
	q.rested = nil
	q.mu.Unlock()
	q.rouse()
}

func (q *settler) failing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

// list notes the messages that wait to be settled.
func (q *settler) list(found map[string]bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, items := range [][]item{q.items, q.rested} {
		for i := range items {
			found[items[i].msg.Envelope().ID] = true
		}
	}
}

// note keeps whether the queue settles; it reports whether that is news.
func (q *settler) note(failed bool) (changed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	changed = q.failed != failed
	q.failed = failed
	return changed
}

// settleTask gives all recipients of t the same outcome, without an attempt that
// stages would be told of.
func (s *Scheduler) settleTask(t *task, o mail.Outcome) {
	s.attempted(t, 0, func(_, r int) mail.Outcome {
		o.Recipient = r
		return o
	})
}

// attempted settles the recipients of a task at once, so that those which have
// failed come into one report. When we cut the attempt off ourselves and the
// host had not spoken, it does not count.
func (s *Scheduler) attempted(t *task, took time.Duration, outcome func(i, r int) mail.Outcome) {
	var one [1]item
	items := one[:0]
	for i, r := range t.rcpts {
		o := outcome(i, r)
		if s.ctx.Err() != nil && o.Status == mail.Deferred && !o.Remote {
			s.giveUp(t.msg, []int{r}, time.Time{})
			continue
		}
		if o.NextHop == "" {
			o.NextHop = t.hop.key.host()
		}
		items = append(items, s.noted(t.msg, t.hop.key.route, took, s.settled(t.msg, t.hop.key.route, o)))
	}
	s.conclusion(t.msg, t.hop.key.route, items)
}

// failTask gives all recipients of t the outcome of an attempt that found no
// host.
func (s *Scheduler) failTask(t *task, o mail.Outcome) {
	if !s.reviews(t) {
		s.settleTask(t, o)
		return
	}
	outcomes := make([]mail.Outcome, len(t.rcpts))
	for i, r := range t.rcpts {
		o.Recipient = r
		outcomes[i] = o
	}
	s.beside(func() { s.review(t, 0, outcomes, nil) })
}

// reviews reports whether stages are told of the outcomes of a task.
func (s *Scheduler) reviews(t *task) bool {
	r := t.hop.key.route
	return s.asks(r, mail.PhaseResult) || s.asks(r, mail.PhaseBounce)
}

// later and beside have f done as errands does; a bug in it costs it alone.
func (s *Scheduler) later(f func())  { s.errands.later(func() { s.safely(f) }) }
func (s *Scheduler) beside(f func()) { s.errands.beside(func() { s.safely(f) }) }

// settled is what becomes of a recipient after an outcome.
func (s *Scheduler) settled(m Message, route *Route, o mail.Outcome) Settled {
	o.Reply.Text = oneLine(o.Reply.Text)
	if o.Status == mail.Deferred {
		return s.deferral(m, route, o)
	}
	return Settled{Outcome: o}
}

// record hands what stages decided about recipients of a message to the settler,
// once they have been asked about the reports.
func (s *Scheduler) record(m Message, route *Route, done []Settled) {
	items := make([]item, len(done))
	for i := range done {
		items[i] = s.noted(m, route, 0, done[i])
	}
	s.conclusion(m, route, items)
}

func (s *Scheduler) conclusion(m Message, route *Route, items []item) {
	failed := func(it item) bool { return it.action == mail.ActionFailed }
	if slices.ContainsFunc(items, failed) && s.asks(route, mail.PhaseBounce) {
		s.notifyLater(route, m, slices.Clone(items))
		return
	}
	s.settler.add(items...)
}

// noted tells the log and the observer.
func (s *Scheduler) noted(m Message, route *Route, took time.Duration, done Settled) item {
	env := m.Envelope()
	done.Reply.Text = oneLine(done.Reply.Text)
	s.logOutcome(env.ID, route.Name, done, took)
	s.o.Observer.Settled(env, route.Name, done, took)
	it := item{msg: m, settled: done, action: route.action(env, &done), all: route.returnsAll(env)}
	if it.action == mail.ActionDelayed {
		it.until = route.expiry(env)
	}
	return it
}

// logOutcome is the one line about an attempt, and one more when the fault is
// ours: its cause is for the operator alone.
func (s *Scheduler) logOutcome(id, route string, o Settled, took time.Duration) {
	if s.log.IsInfo() {
		s.log.Info("outcome", "id", id, "rcpt", o.Recipient, "status", o.State(), "route", route,
			"host", o.NextHop, "reply", withoutAddresses(o.Reply.Line()), "took", took)
	}
	if o.Reply.Cause != nil && o.Reply.Enhanced[1] == 3 { // X.3.X: our own system (RFC 3463 §3.4)
		s.log.Warn("local fault", "id", id, "rcpt", o.Recipient, "error", o.Reply.Cause)
	}
}

// withoutAddresses takes the mail addresses out of a line for the log, which
// must not hold any: next hops like to repeat the recipient.
func withoutAddresses(line string) string {
	if !strings.Contains(line, "@") {
		return line
	}
	words := strings.Split(line, " ")
	for i, w := range words {
		if strings.Contains(w, "@") {
			words[i] = "<address>"
		}
	}
	return strings.Join(words, " ")
}

func (s *Scheduler) deferral(m Message, route *Route, o mail.Outcome) Settled {
	now, env, st := s.o.Clock.Now(), m.Envelope(), m.State(o.Recipient)
	after := State{Attempts: st.Attempts + 1, Last: o}
	if s.decide(now, env, o.Recipient, after).Action == Expire {
		return Settled{Outcome: expired(limitOf(now, env), o.Recipient, after.Attempts, o)}
	}
	warning := route.warning(env, o.Recipient, st)
	return Settled{Outcome: o, Next: route.retryAt(now, env, warning, st.Attempts),
		Warned: !warning.IsZero() && !now.Before(warning)}
}

// expired is the outcome of a recipient whose time is over, by whose limit. It
// tells what the last attempt met.
func expired(limit string, rcpt, attempts int, last mail.Outcome) mail.Outcome {
	text := fmt.Sprintf("delivery time expired%s; attempts: %d", limit, attempts)
	if last.Reply.Code != 0 {
		text += "; last reply: " + last.Reply.Line()
	}
	return mail.Outcome{Recipient: rcpt, Status: mail.Failed, NextHop: last.NextHop, Address: last.Address,
		Reply: mail.Reply{Code: 554, Enhanced: mail.Enhanced{5, 4, 7}, Text: oneLine(text)}}
}

// maxText is the length of mail.Outcome's reply texts, in octets.
const maxText = 1000

// oneLine makes s fit mail.Outcome: no line ends, not too long.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n\x00") {
		s = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s)
	}
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// settleAll is the life of the settler. It ends when it is closed and nothing
// is left. What the queue could not settle even then is delivered once more
// after the next start.
func (s *Scheduler) settleAll(ctx context.Context) {
	for {
		<-s.settler.wake
		items, closed := s.settler.take()
		left := s.settleSafely(ctx, items)
		if closed {
			s.hold(-len(left))
			return
		}
		if len(left) > 0 {
			s.settler.rest(left, s.o.Clock)
		}
	}
}

// settleSafely keeps all items when there is a bug: the queue knows which of
// them it has settled.
func (s *Scheduler) settleSafely(ctx context.Context, items []item) (left []item) {
	defer func() {
		if r := recover(); r != nil {
			s.panicked("settler", r)
			left = items
		}
	}()
	return s.settleItems(ctx, items)
}

// batch is what a Result is made of.
type batch struct {
	result Result
	items  []item
}

// settleItems settles all items with one call or, when the queue refuses that,
// message by message: one that cannot be settled must not hold the others up.
// It returns those that are left. When nothing can be settled, nothing more is
// leased until something can.
func (s *Scheduler) settleItems(ctx context.Context, items []item) (left []item) {
	if len(items) == 0 {
		return nil
	}
	batches := s.batches(items)
	err := s.trySettle(ctx, results(batches)...)
	if err != nil {
		left, err = s.settleEach(ctx, batches)
	}
	if err != nil {
		s.log.Error("queue cannot settle", "outcomes", len(left), "error", err)
	}
	if s.settler.note(len(left) == len(items)) {
		s.rouse()
	}
	s.hold(len(left) - len(items))
	tell(items, left)
	return left
}

func (s *Scheduler) settleEach(ctx context.Context, batches []*batch) (left []item, last error) {
	for _, b := range batches {
		if err := s.settleOne(ctx, b.result); err != nil {
			left, last = append(left, b.items...), err
		}
	}
	return left, last
}

// settleOne settles one message; without its reports, if it is those which the
// queue will not have.
func (s *Scheduler) settleOne(ctx context.Context, r Result) error {
	err := s.trySettle(ctx, r)
	if err == nil || len(r.Reports) == 0 {
		return err
	}
	r.Reports = nil
	if s.trySettle(ctx, r) != nil {
		return err
	}
	s.log.Error("the queue refuses a report: the sender is not told", "id", r.Message, "error", err)
	return nil
}

func (s *Scheduler) trySettle(ctx context.Context, results ...Result) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.panicked("settler", r)
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return s.o.Queue.Settle(ctx, results...)
}

// batches joins the items of each message into one Result with its reports.
func (s *Scheduler) batches(items []item) []*batch {
	byID := make(map[string]*batch, len(items))
	var all []*batch
	for _, it := range items {
		id := it.msg.Envelope().ID
		b := byID[id]
		if b == nil {
			b = &batch{result: Result{Message: id}}
			byID[id] = b
			all = append(all, b)
		}
		b.add(it)
	}
	for _, b := range all {
		b.result.Reports = s.write(b)
	}
	return all
}

func (b *batch) add(it item) {
	b.items = append(b.items, it)
	done := it.settled
	done.Outcome = kept(done.Outcome)
	b.result.Outcomes = append(b.result.Outcomes, done)
}

func results(batches []*batch) []Result {
	rs := make([]Result, len(batches))
	for i, b := range batches {
		rs[i] = b.result
	}
	return rs
}
