// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Action is what is to be done with a recipient now.
type Action uint8

// The actions of a Decision.
const (
	Try      Action = iota // deliver
	Wait                   // nothing before Until
	Expire                 // fail: its time is over
	NoRoute                // defer: nothing says where to
	Settle                 // nothing: it is settled
	Suspend                // nothing before Until, or before somebody ends the suspension
	Resolve                // nothing before its site is known
	Throttle               // nothing before Until: the rate is used up
	Limit                  // nothing before a connection is free
	NoSource               // nothing before Until: no connection can leave from here
	Stall                  // nothing before outcomes can be made durable
)

// String returns the action in a word.
func (a Action) String() string {
	return [...]string{"try", "wait", "expire", "no route", "settled", "suspended", "unresolved", "throttled", "limited", "no source", "stalled"}[a]
}

// Decision says whether a recipient may be tried now and, if not, why and
// until when.
type Decision struct {
	Action Action
	Reason string    // for people
	Until  time.Time // of Wait and Suspend: zero when nobody knows
	Route  string    // name of the route, empty if none was found
	Class  string    // name of the message's class there, empty for none; only Explain fills it
	Place  Place     // of a leased recipient; only Explain fills it and what follows in
	Hop    string    // the next hop as logs spell it
	Expire time.Time // when it is given up, after one attempt at least; zero when it is settled

	key   hopKey
	again time.Time // of Suspend: when to decide anew, not behind the expiry
}

// decide is the one place that says what happens to a recipient: on its way out
// of the queue, out of a ready list, and for people who ask. It is pure but for
// the looking up of names in the live configuration.
//
// A recipient that was never tried does not expire: after a long stop, or a
// long hold, mail still gets its first attempt. It does when a stage said when,
// or the sender (RFC 2852): a code to log in with is worth nothing a day later.
func (s *Scheduler) decide(now time.Time, env *mail.Envelope, rcpt int, st State) Decision {
	return s.decideFor(now, env, &env.Recipients[rcpt], st)
}

// decideFor is decide for a recipient that goes where r says.
func (s *Scheduler) decideFor(now time.Time, env *mail.Envelope, r *mail.Recipient, st State) Decision {
	if st.Done {
		return Decision{Action: Settle, Reason: st.Last.Status.String()}
	}
	if st.Held != "" {
		return Decision{Action: Wait, Reason: "held: " + st.Held, Until: st.Until}
	}
	name := s.routeName(r)
	route, why := s.lookup(name)
	d := Decision{Route: name}
	tried := st.Attempts > 0 || !env.Expires.IsZero() || overdue(now, env)
	if expiry := route.expiry(env); tried && !now.Before(expiry) {
		d.Action, d.Reason = Expire, "expired"+limitOf(now, env)+" at "+stamp(expiry)
		d.key = hopKey{route: route}
		return d
	}
	if why, until := s.suspended(now, env, r, name); why != "" {
		d.Action, d.Until, d.Reason = Suspend, until, why
		if d.again = until; (tried || env.DeliverBy.Return) && route.expiry(env).Before(until) {
			d.again = route.expiry(env)
		}
		return d
	}
	if now.Before(st.Next) {
		d.Action, d.Until, d.Reason = Wait, st.Next, waiting(st)
		if st.Attempts == 0 && now.Before(env.NotBefore) {
			d.Reason = "to be released later"
		}
		if r.NextHop == "" && !strings.Contains(d.Reason, why) {
			d.Reason = why + "; " + d.Reason
		}
		return d
	}
	if why != "" && r.NextHop == "" {
		d.Action, d.Reason = NoRoute, why
		d.key = hopKey{route: route}
		return d
	}
	d.key = hopOf(route, r).requiring(env)
	d.Reason = "due"
	return d
}

func (s *Scheduler) suspended(now time.Time, env *mail.Envelope, r *mail.Recipient, route string) (why string, until time.Time) {
	if s.o.Suspended == nil {
		return "", time.Time{}
	}
	return s.o.Suspended(now, env, r, route)
}

// routeName returns the name of the route that a recipient takes: the one a
// stage chose, else the one of the rules.
func (s *Scheduler) routeName(r *mail.Recipient) string {
	if r.Route != "" {
		return r.Route
	}
	return s.o.RouteOf(*r)
}

// lookup finds a route in the live configuration. Without one it says why and
// returns a route with the default schedule.
func (s *Scheduler) lookup(name string) (*Route, string) {
	if name == "" {
		return s.fallback, "no rule of the configuration has a route for this recipient"
	}
	if r, ok := s.o.Routes(name); ok {
		return r, ""
	}
	return s.fallback, fmt.Sprintf("the configuration has no route %q", name)
}

// lineDecision says whether the next one in line at a next hop may go out now
// and, if not, why and until when.
type lineDecision struct {
	action Action    // Try, Stall, Resolve, NoSource, Throttle or Limit
	cause  cause     // of Limit
	until  time.Time // zero when nobody knows
}

// cause is what limits connections.
type cause uint8

const (
	noCause  cause = iota
	noBudget       // the route or the provider allows no more
	noHost         // the host wants no more
	noAnswer       // the first one is not open yet
	noSlot         // all of ours are in use
)

// decideLine is decide for the line of a next hop, where a recipient is that is
// due: whatever wants a connection for the line asks it, and so do people. An
// idle connection passes all limits of connections. The caller holds mu.
func (s *Scheduler) decideLine(now time.Time, h *hop) lineDecision {
	if s.paused != "" {
		return lineDecision{action: Stall}
	}
	if h.key.unplaced() {
		return lineDecision{action: Resolve, until: h.answerBy()}
	}
	if until := s.sickUntil(now, h.key.source); !until.IsZero() {
		return lineDecision{action: NoSource, until: until}
	}
	b, r := h.pace()
	if free, at := b.free(now, r); !free {
		return lineDecision{action: Throttle, until: at}
	}
	if len(h.idle) > 0 {
		return lineDecision{}
	}
	switch b, most := h.slots(); {
	case b.workers >= most:
		return lineDecision{action: Limit, cause: noBudget}
	case h.dialing > 0:
		return lineDecision{action: Limit, cause: noAnswer}
	case h.workers > 0 && now.Before(h.own.limited):
		return lineDecision{action: Limit, cause: noHost, until: h.own.limited}
	case s.slots >= s.o.Connections:
		return lineDecision{action: Limit, cause: noSlot}
	}
	return lineDecision{}
}

// reason says a decision for the line of h in words.
func (s *Scheduler) reason(h *hop, d lineDecision) string {
	switch {
	case d.action == Stall:
		return "stalled: " + s.paused
	case d.action == Resolve && h.sought.IsZero():
		return "the mail exchangers of " + h.key.target + " are not known"
	case d.action == Resolve:
		return "the mail exchangers of " + h.key.target + " are being looked up"
	case d.action == NoSource:
		return s.illness(h.key.route)
	case d.action == Throttle:
		b, r := h.pace()
		return "throttled: " + r.String() + " " + h.whose(b)
	}
	switch b, most := h.slots(); d.cause {
	case noBudget:
		return fmt.Sprintf("limited: %d of %d connections %s are in use", most, most, h.whose(b))
	case noHost:
		return "limited: the host wants no more connections: " + h.own.said
	case noAnswer:
		return "limited: a first connection is being opened"
	case noSlot:
		return fmt.Sprintf("limited: %d of %d connections of this relay are in use", s.o.Connections, s.o.Connections)
	}
	return ""
}

// whose says to whom a budget of h leads, and who set it.
func (h *hop) whose(b *budget) string {
	if b == h.shared {
		return "to provider " + h.provider.Name
	}
	return "to one next hop of route " + h.key.route.Name
}

// answerBy is when the look-up of h's domain is over at the latest; zero when it
// has not begun.
func (h *hop) answerBy() time.Time {
	if h.sought.IsZero() {
		return time.Time{}
	}
	return h.sought.Add(lookupLimit)
}

func waiting(st State) string {
	if st.Attempts == 0 {
		return "not due yet"
	}
	return fmt.Sprintf("attempt %d: %s", st.Attempts, Why(st.Last))
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
