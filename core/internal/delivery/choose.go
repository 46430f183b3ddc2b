// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"errors"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// errPanic is why nothing is known after a bug in the stages' surroundings.
var errPanic = errors.New("panic while stages were asked")

// choose asks stages where recipients are to go and puts each in line there. It
// is done beside the owner, who would keep all other mail waiting. A recipient
// that finds its line full is asked about again when there is room.
func (s *Scheduler) choose(m Message, rcpts []int) {
	now, ways, done := s.o.Clock.Now(), map[hopKey][]int{}, s.conclusions(m)
	for route, rs := range s.askable(now, m, rcpts, &done) {
		choices := s.chosen(route, m, rs)
		if s.halted() {
			s.giveUp(m, rs, time.Time{})
			continue
		}
		var ruled []Settled
		for i, r := range rs {
			if d, ok := s.ruled(m, route, r, &choices[i].Ruling); ok {
				ruled = append(ruled, d)
				continue
			}
			s.send(now, m, r, &choices[i], ways, &done)
		}
		s.record(m, route, ruled)
	}
	done.settle()
	s.dispatch(ways, m, true)
}

// halted reports that nothing new begins.
func (s *Scheduler) halted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopped || s.ctx.Err() != nil
}

// askable groups recipients by the route that they would take, and concludes
// those that may not be tried any more.
func (s *Scheduler) askable(now time.Time, m Message, rcpts []int, done *conclusions) map[*Route][]int {
	groups := map[*Route][]int{}
	for _, r := range rcpts {
		d := s.decide(now, m.Envelope(), r, m.State(r))
		if d.Action != Try {
			done.conclude(now, r, d)
			continue
		}
		groups[d.key.route] = append(groups[d.key.route], r)
	}
	return groups
}

// chosen returns the stages' choice for each recipient; without stages it is
// what the queue has, and after a bug another try.
func (s *Scheduler) chosen(route *Route, m Message, rcpts []int) []Choice {
	env, choices := m.Envelope(), make([]Choice, len(rcpts))
	ok := s.safely(func() {
		a, end := s.begin(route, m)
		defer end()
		for i, r := range rcpts {
			choices[i] = Choice{Route: env.Recipients[r].Route, NextHop: env.Recipients[r].NextHop, Outside: env.Recipients[r].Outside}
			if a != nil {
				f := facts(hopKey{route: route}, m, rcpts[i:i+1])
				f.NextHop = ""
				choices[i] = a.Route(s.ctx, r, f)
			}
		}
	})
	for i := range choices {
		if !ok {
			choices[i].Ruling = Ruling{Verdict: mail.Tempfail, Reply: mail.OurFault(errPanic)}
		}
	}
	return choices
}

// send puts a recipient where it was chosen to go.
func (s *Scheduler) send(now time.Time, m Message, rcpt int, c *Choice, ways map[hopKey][]int, done *conclusions) {
	env := m.Envelope()
	to := env.Recipients[rcpt]
	to.Route, to.NextHop, to.Outside = c.Route, c.NextHop, c.Outside
	d := s.decideFor(now, env, &to, m.State(rcpt))
	if d.Action != Try {
		done.conclude(now, rcpt, d)
		return
	}
	ways[d.key] = append(ways[d.key], rcpt)
}

// ruled is what stages decided about a recipient before an attempt; false when
// it goes on.
func (s *Scheduler) ruled(m Message, route *Route, rcpt int, r *Ruling) (Settled, bool) {
	o := mail.Outcome{Recipient: rcpt}
	switch r.Verdict {
	case mail.Reject:
		o.Status, o.Reply = mail.Failed, r.reply(550, mail.Enhanced{5, 7, 1}, "refused by policy")
		return s.settled(m, route, o), true
	case mail.Tempfail:
		o.Reply = r.reply(451, mail.Enhanced{4, 7, 1}, "not now, try again later")
		return s.settled(m, route, o), true
	case mail.Discard:
		o.Status, o.Reply = mail.Delivered, mail.Reply{Code: 250, Enhanced: mail.Enhanced{2, 0, 0}, Text: "discarded by stage " + r.Stage}
		return Settled{Outcome: o, Dropped: true}, true
	case mail.Defer:
		return Settled{Outcome: r.held(o), Held: true, Untried: true}, true
	}
	return Settled{}, false
}

func (r *Ruling) reply(code int, e mail.Enhanced, text string) mail.Reply {
	if r.Reply != nil {
		return *r.Reply
	}
	return mail.Reply{Code: code, Enhanced: e, Text: text}
}

// heldBy begins the text of an outcome that is a hold.
const heldBy = "held by stage "

// held makes an outcome one that says who holds the recipient, and why.
func (r *Ruling) held(o mail.Outcome) mail.Outcome {
	text := heldBy + r.Stage
	if r.Reply != nil {
		text += ": " + r.Reply.Text
		o.Reply.Cause = r.Reply.Cause
	}
	if o.Reply.Code != 0 {
		text += "; last reply: " + o.Reply.Line()
	}
	o.Status, o.Remote = mail.Deferred, false
	o.Reply = mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 7, 1}, Text: text, Cause: o.Reply.Cause}
	return o
}
