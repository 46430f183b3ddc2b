// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// minRetry is the shortest time to the next attempt that a stage can ask for.
const minRetry = time.Second

// review settles the recipients of a task after an attempt: the stages see the
// outcomes, then the failures that are reported. j is the job of the attempt,
// nil when none came about.
func (s *Scheduler) review(t *task, took time.Duration, outcomes []mail.Outcome, j *Job) {
	outcomes = s.counted(t, outcomes)
	if j == nil {
		j = s.withoutHost(t)
	}
	if j.attempt == nil && len(outcomes) > 0 {
		s.safely(func() { s.attempt(j) })
	}
	items := s.reviewed(j.attempt, t, took, outcomes)
	s.shut(j)
	s.settler.add(items...)
}

// withoutHost is the job of an attempt that found no host.
func (s *Scheduler) withoutHost(t *task) *Job {
	c, err := open(t.msg)
	if err != nil {
		s.log.Error("stages are told without the message: it cannot be read", "id", t.msg.Envelope().ID, "error", err)
	}
	return &Job{Header: c.Header, Body: c.Body, task: t, close: c.Close}
}

// counted leaves out the recipients of an attempt that does not count.
func (s *Scheduler) counted(t *task, outcomes []mail.Outcome) []mail.Outcome {
	kept := outcomes[:0]
	for _, o := range outcomes {
		if s.ctx.Err() != nil && o.Status == mail.Deferred && !o.Remote {
			s.giveUp(t.msg, []int{o.Recipient}, time.Time{})
			continue
		}
		if o.NextHop == "" {
			o.NextHop = t.hop.key.host()
		}
		kept = append(kept, o)
	}
	return kept
}

// reviewed asks the stages of the phases result and bounce.
func (s *Scheduler) reviewed(a Attempt, t *task, took time.Duration, outcomes []mail.Outcome) []item {
	route := t.hop.key.route
	var v Review
	if a != nil && len(outcomes) > 0 && s.asks(route, mail.PhaseResult) {
		s.safely(func() { v = a.Result(s.ctx, after(t, outcomes)) })
	}
	items := make([]item, len(outcomes))
	for i, o := range outcomes {
		items[i] = s.noted(t.msg, route, took, s.judge(t.msg, route, o, &v))
	}
	if a != nil {
		s.notices(a, route, t.msg, items)
	}
	return items
}

// after are the facts once there are outcomes.
func after(t *task, outcomes []mail.Outcome) Facts {
	rcpts := make([]int, len(outcomes))
	m := make(map[int]mail.Outcome, len(outcomes))
	for i, o := range outcomes {
		rcpts[i] = o.Recipient
		m[o.Recipient] = o
	}
	f := facts(t.hop.key, t.msg, rcpts)
	f.NextHop, f.Outcomes = outcomes[0].NextHop, m
	return f
}

// judge makes of an outcome what is to become of the recipient.
func (s *Scheduler) judge(m Message, route *Route, o mail.Outcome, v *Review) Settled {
	switch {
	case v.Verdict == mail.Reject && o.Status == mail.Deferred:
		o.Status, o.Remote = mail.Failed, false
		o.Reply = v.reply(550, mail.Enhanced{5, 7, 1}, "given up by policy")
	case v.Verdict == mail.Defer && o.Status != mail.Delivered && v.NotBefore.IsZero():
		return Settled{Outcome: v.held(o), Held: true}
	case v.Verdict == mail.Defer && o.Status != mail.Delivered:
		o.Status = mail.Deferred
	}
	done := s.settled(m, route, o)
	if done.Status == mail.Deferred && !v.NotBefore.IsZero() {
		done.Next = route.notBefore(s.o.Clock.Now(), m.Envelope(), v.NotBefore)
	}
	return done
}

// notBefore is when to try again as a stage wants it: not at once for ever, and
// not behind the expiry.
func (r *Route) notBefore(now time.Time, env *mail.Envelope, at time.Time) time.Time {
	if least := now.Add(minRetry); at.Before(least) {
		at = least
	}
	if expiry := r.expiry(env); at.After(expiry) && expiry.After(now) {
		return expiry
	}
	return at
}

// notices asks about the reports on recipients that have failed.
func (s *Scheduler) notices(a Attempt, route *Route, m Message, items []item) {
	if !s.asks(route, mail.PhaseBounce) {
		return
	}
	for i := range items {
		it := &items[i]
		if it.action != mail.ActionFailed {
			continue
		}
		var n Notice
		s.safely(func() { n = a.Bounce(s.ctx, it.settled.Recipient, it.facts(route, m)) })
		if it.notice = &n; n.Suppress {
			it.action = mail.ActionNone
		}
	}
}

// facts are those of a failure.
func (it *item) facts(route *Route, m Message) Facts {
	o := it.settled.Outcome
	f := facts(hopKey{route: route}, m, []int{o.Recipient})
	f.NextHop, f.Outcomes = o.NextHop, map[int]mail.Outcome{o.Recipient: o}
	return f
}

func (s *Scheduler) notifyLater(route *Route, m Message, items []item) {
	s.later(func() { s.notify(route, m, items) })
}

// notify asks about the reports on recipients of a message that failed without
// an attempt, and settles them.
func (s *Scheduler) notify(route *Route, m Message, items []item) {
	s.safely(func() {
		a, end := s.begin(route, m)
		defer end()
		if a != nil {
			s.notices(a, route, m, items)
		}
	})
	s.settler.add(items...)
}
