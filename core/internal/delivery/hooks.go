// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Hooks are the stages that routes have their deliveries pass. Which they are is
// asked at each attempt, so that queued mail goes by the live configuration.
type Hooks interface {
	// Wants reports whether any stage of a route is called in a phase. It is
	// quick.
	Wants(route string, p mail.Phase) bool
	// Begin starts the phases of one attempt at a message, whose content stays
	// open until End; nil when the route has no stages any more.
	Begin(route string, env *mail.Envelope, c Content) Attempt
}

// Attempt is one attempt at a message in the hands of the stages. One goroutine
// at a time uses it. A stage that fails loses nothing: the methods return what
// its on_error makes of it.
type Attempt interface {
	// Route asks where a recipient is to go.
	Route(ctx context.Context, rcpt int, f Facts) Choice
	// Predeliver asks for the last edits of what goes to some recipients in one
	// transaction. They are readable until End.
	Predeliver(ctx context.Context, f Facts, rcpts []int) Edited
	// Result tells what became of an attempt.
	Result(ctx context.Context, f Facts) Review
	// Bounce asks about the report on a recipient that has failed.
	Bounce(ctx context.Context, rcpt int, f Facts) Notice
	// End ends the attempt and what stages keep for it. What they have emitted
	// is queued when it returns.
	End()
}

// Facts are what is known of an attempt. The maps are by recipient index.
type Facts struct {
	Route    string
	NextHop  string               // as far as it is known
	Attempt  int                  // its number, from 1
	Outcomes map[int]mail.Outcome // after the attempt
	Last     map[int]mail.Outcome // of the attempt before
}

// Ruling is what the stages decided.
type Ruling struct {
	Verdict mail.Verdict // Continue, Reject, Tempfail, Discard or Defer
	Reply   *mail.Reply  // with a reject or a tempfail; else a reason, or nil
	Stage   string       // that decided
}

// Choice is where a recipient is to go.
type Choice struct {
	Ruling
	Route   string // name of the route that a stage chose, now or before; empty: the rules decide
	NextHop string // raw next hop that a stage chose
	Outside bool   // NextHop must have a public address
}

// Edited is what is to be sent.
type Edited struct {
	Ruling
	Changed  bool           // the rest is set
	Envelope *mail.Envelope // recipients have the indices of the message's
	Header   []byte
	Body     mail.Body
}

// Review is what follows from the outcomes of an attempt. A reject fails what
// was deferred; a defer holds what was not delivered, until NotBefore if that is
// set.
type Review struct {
	Ruling
	NotBefore time.Time // when to try again what is deferred; zero: by the schedule
}

// Notice is how the sender is told of a failure.
type Notice struct {
	Suppress bool        // not at all
	Reply    *mail.Reply // in these words; nil: in those of the outcome
	Header   []byte      // fields for the report, lines ending in CRLF
}

// asks reports whether stages are called in a phase for what goes by a route. It
// costs nothing for a route without a pipeline.
func (s *Scheduler) asks(r *Route, p mail.Phase) bool {
	return r.Pipeline != "" && s.o.Hooks != nil && s.o.Hooks.Wants(r.Name, p)
}

// begin opens a message and starts an attempt at it; nil when the route has no
// stages any more, or the message cannot be read. The second result ends both.
func (s *Scheduler) begin(route *Route, m Message) (Attempt, func()) {
	c, err := open(m)
	if err != nil {
		s.log.Error("stages are not asked: the message cannot be read", "id", m.Envelope().ID, "error", err)
		return nil, func() {}
	}
	a := s.o.Hooks.Begin(route.Name, m.Envelope(), c)
	return a, func() {
		if a != nil {
			a.End()
		}
		if c.Close != nil {
			c.Close()
		}
	}
}

// facts are those of an attempt at some recipients of a message.
func facts(k hopKey, m Message, rcpts []int) Facts {
	f := Facts{Route: k.route.Name, NextHop: k.host(), Last: make(map[int]mail.Outcome, len(rcpts))}
	for _, r := range rcpts {
		st := m.State(r)
		f.Attempt = max(f.Attempt, st.Attempts+1)
		if st.Attempts > 0 {
			f.Last[r] = public(st.Last)
		}
	}
	return f
}

// safely calls hooks: a bug in them costs their answer and no more.
func (s *Scheduler) safely(f func()) (ok bool) {
	defer s.recovered("stages")
	f()
	return true
}
