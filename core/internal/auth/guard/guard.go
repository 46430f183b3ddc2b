// SPDX-License-Identifier: Apache-2.0

// Package guard keeps clients from guessing passwords: it counts failed logins for
// each address and each account, and shuts the door for a while where there are
// too many. Nobody is told that it is shut: a login fails then as with a wrong
// password.
package guard

import (
	"errors"
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/auth"
	"github.com/postroad-mail/postroad/core/mail"
)

// What counts as many. Failures are forgotten by half every halfLife; a door that
// was shut is shut for twice as long the next time, up to longest.
const (
	halfLife = 10 * time.Minute
	shortest = time.Minute
	longest  = time.Hour
	remember = 24 * time.Hour // after which the next time is the first again
	accounts = 5              // times as many failures as for an address shut an account
	places   = 100_000        // addresses and accounts that are kept, the most recent ones
	longName = 255            // octets of an account's name; longer ones are nobody's
	homes    = 8              // networks of an account that are remembered
)

// Guard counts. It is used by many sessions at once.
type Guard struct {
	now func() time.Time

	mu        sync.Mutex
	failures  float64 // of an address, that shut it
	addresses recent[netip.Addr]
	users     recent[string]
}

// New returns a guard that shuts an address after so many failures in a short
// time.
func New(failures int, now func() time.Time) *Guard {
	return &Guard{now: now, failures: float64(failures)}
}

// Configure changes how many failures shut an address.
func (g *Guard) Configure(failures int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.failures = float64(failures)
}

// door is what is known of an address or an account.
type door struct {
	failed float64   // failures, as far as they are not forgotten
	at     time.Time // of failed
	shut   time.Time // until then
	times  int       // it was shut
	homes  []netip.Addr
}

// Enter reports whether a login from p as user may be tried; user is empty while
// it is not known. left is to be called with its outcome; if it is not, because
// the client broke off, nothing is counted.
func (g *Guard) Enter(p auth.Peer, user string) (left func(err error), ok bool) {
	from, now := mail.ClientNetwork(p.Addr.Addr()), g.now()
	user = kept(user)
	g.mu.Lock()
	defer g.mu.Unlock()
	if from.IsValid() && now.Before(g.addresses.get(from).shut) {
		return nil, false
	}
	if u := g.users.get(user); user != "" && now.Before(u.shut) && !u.knows(from) {
		return nil, false
	}
	return func(err error) { g.left(from, user, err) }, true
}

// left counts an outcome. Faults say nothing about the client.
func (g *Guard) left(from netip.Addr, user string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.succeeded(from, user)
	case errors.Is(err, auth.ErrDenied):
		g.failed(from, user)
	}
}

// succeeded clears the account for the network that the login came from. The
// address keeps its failures: an attacker may have one account of its own.
func (g *Guard) succeeded(from netip.Addr, user string) {
	if user == "" || !from.IsValid() {
		return
	}
	u := g.users.get(user)
	if !u.knows(from) {
		u.homes = append(u.homes[max(0, len(u.homes)-homes+1):len(u.homes):len(u.homes)], from)
	}
	g.users.put(user, u)
}

func (g *Guard) failed(from netip.Addr, user string) {
	now := g.now()
	if from.IsValid() {
		d := g.addresses.get(from)
		d.fail(now, g.failures)
		g.addresses.put(from, d)
	}
	if user != "" {
		u := g.users.get(user)
		u.fail(now, accounts*g.failures)
		g.users.put(user, u)
	}
}

// fail counts one more failure, and shuts the door at the limit.
func (d *door) fail(now time.Time, limit float64) {
	if d.failed > 0 {
		d.failed *= math.Exp2(-float64(max(0, now.Sub(d.at))) / float64(halfLife))
	}
	if now.Sub(d.shut) > remember {
		d.times = 0
	}
	d.failed, d.at = d.failed+1, now
	if d.failed < limit {
		return
	}
	d.shut = now.Add(min(shortest<<min(d.times, 10), longest))
	d.times++
	d.failed = limit / 2
}

// kept returns a user's name as it is kept, without the message that it came in.
// One that is too long for an account counts for its address alone, so that made-up
// names cannot fill the memory.
func kept(user string) string {
	if len(user) > longName {
		return ""
	}
	return strings.Clone(user)
}

func (d *door) knows(from netip.Addr) bool {
	for _, h := range d.homes {
		if h == from {
			return true
		}
	}
	return false
}

// recent keeps the doors that were used last: at least the last places/2, at most
// places of them.
type recent[K comparable] struct{ now, before map[K]door }

func (r *recent[K]) get(k K) door {
	if d, ok := r.now[k]; ok {
		return d
	}
	return r.before[k]
}

func (r *recent[K]) put(k K, d door) {
	if r.now == nil || len(r.now) >= places/2 {
		r.now, r.before = make(map[K]door), r.now
	}
	r.now[k] = d
}
