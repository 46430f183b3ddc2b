// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Kind is the way a route takes.
type Kind uint8

// The kinds of routes.
const (
	ViaMX        Kind = iota // the hosts that DNS names for the recipient's domain
	ViaSmarthost             // fixed hosts, the first that answers
	ViaMaildir               // folders of this machine
	ViaDiscard               // nowhere: counted and dropped
)

// String returns the kind as pipeline.hcl spells it.
func (k Kind) String() string {
	switch k {
	case ViaMX:
		return "mx"
	case ViaSmarthost:
		return "smarthost"
	case ViaMaildir:
		return "maildir"
	}
	return "discard"
}

// Route is a way out. It is frozen: a reload brings new Routes, and a next hop
// of an old one is given up (see Scheduler.Reload).
type Route struct {
	Name         string
	Kind         Kind
	Hosts        []string  // ViaSmarthost: "host:port" each
	Port         uint16    // ViaMX: 0 means 25
	TLS          string    // "opportunistic" (also when empty), "required" or "off"
	AllowPrivate bool      // ViaMX: loopback and private addresses may be next hops
	Connections  int       // at once, per next hop; 0 means 4
	Rate         Rate      // of messages, per next hop; zero: no limit
	Sources      []*Source // ViaMX, ViaSmarthost: where connections leave from, in turn; empty: the system chooses
	Root         string    // ViaMaildir: folder below which the mailboxes are
	Create       bool      // ViaMaildir: make a mailbox when its first message comes
	Mailboxes    []string  // ViaMaildir: addresses that have a mailbox
	Schedule               // of mail that no class is for
	Classes      []Class   // other times for mail of some priorities
	DSN          DSN       // what senders are told
	Pipeline     string    // its deliveries pass stages, if Hooks has any; empty: none
}

// What a route without the setting has.
const (
	DefaultConnections  = 4
	DefaultExpire       = 5 * 24 * time.Hour
	DefaultDelayWarning = 4 * time.Hour // for those who ask with NOTIFY=DELAY
)

// DSN is a route's policy on reports to senders.
type DSN uint8

// The policies.
const (
	DSNHeaders DSN = iota // they come with the message's header
	DSNOff                // there are none
	DSNFull               // a failure brings the whole message back to who asked with RET=FULL
)

// DefaultRetry returns the retry schedule of a route without one.
func DefaultRetry() []time.Duration {
	return []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}
}

func (r *Route) connections() int {
	if r.Connections > 0 {
		return r.Connections
	}
	return DefaultConnections
}

func (r *Route) port() uint16 {
	if r.Port > 0 {
		return r.Port
	}
	return 25
}

// expiry returns when a message is given up: when a stage said so, else after
// the time of its class, which is counted from its release (RFC 4865 §4); but not
// after the time by which its sender wants it delivered or back.
func (r *Route) expiry(env *mail.Envelope) time.Time {
	at := env.Expires
	if at.IsZero() {
		at = released(env).Add(r.schedule(env).expire())
	}
	if by := env.DeliverBy; by.Return && by.At.Before(at) {
		return by.At
	}
	return at
}

// retryAt returns when to try again after an attempt that ended now: by the
// schedule, yet not behind the expiry, so that a message fails on time, and not
// behind the time of a warning, if there is to be one: before somebody hears of a
// delay it is tried once more.
func (r *Route) retryAt(now time.Time, env *mail.Envelope, warning time.Time, attempts int) time.Time {
	next := now.Add(r.schedule(env).interval(attempts))
	for _, bound := range [...]time.Time{warning, r.expiry(env)} {
		if next.After(bound) && bound.After(now) {
			next = bound
		}
	}
	return next
}
