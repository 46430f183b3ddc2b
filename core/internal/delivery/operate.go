// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Recall takes messages out of the lines of their next hops and returns them to
// the queue, to be leased again as they are there now: after an operator has
// changed them. Attempts that are under way go on.
func (s *Scheduler) Recall(ids ...string) {
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	s.recallThose(func(id string) bool { return want[id] })
}

// Reconsider is Recall for all that is in line: after something has changed that
// decide looks at, such as a suspension.
func (s *Scheduler) Reconsider() { s.recallThose(func(string) bool { return true }) }

func (s *Scheduler) recallThose(want func(id string) bool) {
	s.mu.Lock()
	var tasks []*task
	var tickets []ticket
	for _, h := range s.hops {
		ts, ps := h.pick(want)
		tasks, tickets = append(tasks, ts...), append(tickets, ps...)
		s.recall(h)
		s.drop(h)
	}
	s.mu.Unlock()
	s.returnAll(tasks)
	s.returnTickets(tickets)
}

// pick takes messages out of the line of h.
func (h *hop) pick(want func(id string) bool) (tasks []*task, tickets []ticket) {
	tasks = h.remove(func(t *task) bool { return want(t.msg.Envelope().ID) })
	return tasks, h.parked.remove(func(t ticket) bool { return want(t.id) })
}

// Fail fails recipients that the caller has leased, in the words of an operator,
// with the reports that are due: as any other failure, but for no attempt. It
// returns when the queue has settled all of them; when ctx is done before, they
// will be settled all the same.
func (s *Scheduler) Fail(ctx context.Context, leases []Lease, reply mail.Reply) error {
	w := &waiter{done: make(chan struct{})}
	w.left.Store(1)
	for _, l := range leases {
		s.hold(len(l.Recipients))
		s.failLease(l, reply, w)
	}
	w.settled()
	select {
	case <-w.done:
		return nil
	case <-s.done:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Scheduler) failLease(l Lease, reply mail.Reply, w *waiter) {
	env, byRoute := l.Message.Envelope(), map[*Route][]item{}
	for _, r := range l.Recipients {
		route, _ := s.lookup(s.routeName(&env.Recipients[r]))
		o := mail.Outcome{Recipient: r, Status: mail.Failed, Reply: reply}
		it := s.noted(l.Message, route, 0, Settled{Outcome: o, Untried: true})
		it.waiter = w
		w.left.Add(1)
		byRoute[route] = append(byRoute[route], it)
	}
	for route, items := range byRoute {
		s.conclusion(l.Message, route, items)
	}
}

// waiter waits until a number of items is settled.
type waiter struct {
	left atomic.Int64
	done chan struct{}
}

func (w *waiter) settled() {
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
}

// tell tells those who wait for items that have been settled: all but left, of
// which a message is settled whole or not at all.
func tell(items, left []item) {
	still := map[string]bool{}
	for _, it := range left {
		still[it.msg.Envelope().ID] = true
	}
	for _, it := range items {
		if it.waiter != nil && !still[it.msg.Envelope().ID] {
			it.waiter.settled()
		}
	}
}

// shelve ends a lease of a suspended recipient.
func (s *Scheduler) shelve(m Message, rcpt int, until time.Time) {
	s.o.Queue.Shelve(m.Envelope().ID, []int{rcpt}, until)
	s.hold(-1)
}
