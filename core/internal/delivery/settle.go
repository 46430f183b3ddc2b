// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
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
	closed bool
	failed bool          // the last Settle failed
	wake   chan struct{} // there are items, or it is closed
}

// item is the outcome of one recipient on its way into the queue.
type item struct {
	msg     Message
	settled Settled
	report  bool // a failure of which the sender is to hear
}

func (q *settler) init() { q.wake = make(chan struct{}, 1) }

func (q *settler) add(i item) {
	q.mu.Lock()
	q.items = append(q.items, i)
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
	return items, q.closed
}

func (q *settler) failing() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failed
}

// note keeps whether Settle works; it reports whether that is news.
func (q *settler) note(err error) (changed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	changed = q.failed != (err != nil)
	q.failed = err != nil
	return changed
}

func (q *settler) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

// settleTask gives all recipients of t the same outcome.
func (s *Scheduler) settleTask(t *task, o mail.Outcome) {
	for _, r := range t.rcpts {
		o.Recipient = r
		s.attempted(t, 0, o)
	}
}

// attempted settles one recipient of a task. When we cut the attempt off
// ourselves and the host had not spoken, it does not count.
func (s *Scheduler) attempted(t *task, took time.Duration, o mail.Outcome) {
	if s.ctx.Err() != nil && o.Status == mail.Deferred && !o.Remote {
		s.giveUp(t.msg, []int{o.Recipient}, time.Time{})
		return
	}
	if o.NextHop == "" {
		o.NextHop = t.hop.key.host()
	}
	s.settle(t.msg, t.hop.key.route, took, o)
}

// settle hands an outcome to the settler: a deferral with the time of the next
// attempt or, when decide says that there is none, as a failure.
func (s *Scheduler) settle(m Message, route *Route, took time.Duration, o mail.Outcome) {
	env := m.Envelope()
	o.Reply.Text = oneLine(o.Reply.Text)
	done := Settled{Outcome: o}
	if o.Status == mail.Deferred {
		done = s.deferral(m, route, o)
	}
	s.log.Info("outcome", "id", env.ID, "rcpt", o.Recipient, "status", done.Status.String(), "route", route.Name,
		"host", done.NextHop, "reply", done.Reply.Line(), "took", took)
	s.logCause(env.ID, done)
	s.o.Observer.Settled(env, route.Name, done, took)
	report := done.Status == mail.Failed && !route.NoReport && !env.Sender.IsNull()
	s.settler.add(item{msg: m, settled: done, report: report})
}

// logCause tells the operator what no sender is told.
func (s *Scheduler) logCause(id string, o Settled) {
	if o.Reply.Cause != nil {
		s.log.Warn("cause", "id", id, "rcpt", o.Recipient, "error", o.Reply.Cause)
	}
}

func (s *Scheduler) deferral(m Message, route *Route, o mail.Outcome) Settled {
	now, env, st := s.o.Clock.Now(), m.Envelope(), m.State(o.Recipient)
	after := State{Attempts: st.Attempts + 1, Last: o}
	if s.decide(now, env, o.Recipient, after).Action == Expire {
		return Settled{Outcome: expired(o.Recipient, after.Attempts, o)}
	}
	return Settled{Outcome: o, Next: route.retryAt(now, env.Received, st.Attempts, s.o.Jitter)}
}

// expired is the outcome of a recipient whose time is over. It tells what the
// last attempt met.
func expired(rcpt, attempts int, last mail.Outcome) mail.Outcome {
	text := fmt.Sprintf("delivery time expired; attempts: %d", attempts)
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
// is left.
func (s *Scheduler) settleAll(ctx context.Context) {
	for {
		<-s.settler.wake
		items, closed := s.settler.take()
		s.settleBatch(ctx, items)
		if closed {
			return
		}
	}
}

// settleBatch settles items, again and again while the queue cannot; when we
// are to end, it tries once more and then leaves the rest to the next start,
// which will deliver it a second time.
func (s *Scheduler) settleBatch(ctx context.Context, items []item) {
	if len(items) == 0 {
		return
	}
	results := s.results(items)
	for {
		last := s.settler.isClosed()
		err := s.trySettle(ctx, results)
		if s.settler.note(err) {
			s.rouse()
		}
		if err == nil {
			break
		}
		s.log.Error("queue cannot settle: delivery is paused", "outcomes", len(items), "error", err)
		if last {
			break
		}
		s.pause()
	}
	s.hold(-len(items))
}

// pause waits for the clock, or until we are to end.
func (s *Scheduler) pause() {
	over := make(chan struct{})
	stop := s.o.Clock.AfterFunc(settleAfter, func() { close(over) })
	defer stop()
	for !s.settler.isClosed() {
		select {
		case <-over:
			return
		case <-s.settler.wake:
			defer s.settler.rouse() // what came meanwhile is for the next batch
			if s.settler.isClosed() {
				return
			}
			select {
			case <-over:
			case <-s.stop:
			}
			return
		}
	}
}

func (s *Scheduler) trySettle(ctx context.Context, results []Result) (err error) {
	defer func() {
		if r := recover(); r != nil {
			s.panicked("settler", r)
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return s.o.Queue.Settle(ctx, results...)
}

// results joins the items of each message into one Result with at most one
// report.
func (s *Scheduler) results(items []item) []Result {
	index := make(map[string]int, len(items))
	results := make([]Result, 0, len(items))
	failed := map[string][]mail.Outcome{}
	msgs := map[string]Message{}
	for _, it := range items {
		id := it.msg.Envelope().ID
		i, ok := index[id]
		if !ok {
			i = len(results)
			index[id] = i
			results = append(results, Result{Message: id})
		}
		results[i].Outcomes = append(results[i].Outcomes, it.settled)
		if it.report {
			failed[id], msgs[id] = append(failed[id], it.settled.Outcome), it.msg
		}
	}
	for id, outcomes := range failed {
		results[index[id]].Report = s.report(msgs[id], outcomes)
	}
	return results
}

// report has the bounce written. A failure is final also when that cannot be
// done: the message must not stay for ever because of its report.
func (s *Scheduler) report(m Message, failed []mail.Outcome) (r *Report) {
	defer s.recovered("settler")
	r, err := s.o.Reporter.Report(m.Envelope(), s.headerOf(m), failed)
	if err != nil {
		s.log.Error("no bounce could be written", "id", m.Envelope().ID, "error", err)
		return nil
	}
	return r
}

func (s *Scheduler) headerOf(m Message) []byte {
	c, err := m.Open()
	if err != nil {
		s.log.Warn("bounce goes without the header", "id", m.Envelope().ID, "error", err)
		return nil
	}
	if c.Close != nil {
		defer c.Close()
	}
	return append([]byte(nil), c.Header...)
}
