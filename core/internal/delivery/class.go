// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"math/rand/v2"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Schedule says when mail is tried again, given up and reported as late.
type Schedule struct {
	Retry        []time.Duration // the last one repeats; empty: DefaultRetry
	Jitter       float64         // retries come up to that part of their interval later; 0: on time
	Expire       time.Duration   // from Envelope.Received; 0 means DefaultExpire
	DelayWarning time.Duration   // when senders who said nothing hear of a delay; 0: never
}

// Class is a Schedule for mail of some priorities.
type Class struct {
	Name            string
	Lowest, Highest int // priorities, both included; no two classes of a route have one in common
	Schedule
}

// class returns the class of a message, nil when the route has none for it.
func (r *Route) class(env *mail.Envelope) *Class {
	for i := range r.Classes {
		if c := &r.Classes[i]; c.Lowest <= env.Priority && env.Priority <= c.Highest {
			return c
		}
	}
	return nil
}

// schedule returns the schedule of a message: its class's, else the route's.
func (r *Route) schedule(env *mail.Envelope) Schedule {
	if c := r.class(env); c != nil {
		return c.Schedule
	}
	return r.Schedule
}

// className names the class of a message, empty for none.
func (r *Route) className(env *mail.Envelope) string {
	if c := r.class(env); c != nil {
		return c.Name
	}
	return ""
}

// interval returns how long to wait after an attempt that attempts others came
// before. The schedule may have become shorter since: its last step repeats.
func (s Schedule) interval(attempts int) time.Duration {
	steps := s.Retry
	if len(steps) == 0 {
		steps = DefaultRetry()
	}
	d := steps[min(max(attempts, 0), len(steps)-1)]
	spread := time.Duration(s.Jitter * float64(d))
	if spread <= 0 {
		return d
	}
	return d + rand.N(spread)
}

// expire returns at which age mail is given up.
func (s Schedule) expire() time.Duration {
	if s.Expire > 0 {
		return s.Expire
	}
	return DefaultExpire
}
