// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

// rig is a Scheduler between a fake queue and fake hosts.
type rig struct {
	t      *testing.T
	clock  *testkit.Clock
	start  time.Time
	queue  *fakeQueue
	net    *fakeNet
	s      *Scheduler
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex
	routes map[string]*Route
	rules  map[string]string // domain -> route
	lines  []string

	suspensions map[string]time.Time // domain -> until
	providers   map[*Provider][]string
	sources     map[string]*Source
}

func newRig(t *testing.T, change func(*Options)) *rig {
	start := time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)
	r := &rig{t: t, clock: testkit.NewClock(start), start: start, queue: newFakeQueue(), net: newFakeNet(),
		routes: map[string]*Route{"internet": {Name: "internet", Kind: ViaMX}}, rules: map[string]string{}, suspensions: map[string]time.Time{}, providers: map[*Provider][]string{}, sources: map[string]*Source{}, ended: make(chan error, 1)}
	r.queue.events, r.net.events = r.event, r.event
	o := Options{Queue: r.queue, Routes: r.route, RouteOf: r.rule, Resolver: r.net, SMTP: r.net, Maildir: fakeMaildir{},
		Suspended: r.suspended, ProviderOf: r.providerOf, Reporter: fakeReporter{}, Clock: r.clock, Hostname: "relay.example.net"}
	if change != nil {
		change(&o)
	}
	r.s = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.s.Run(ctx) }()
	t.Cleanup(r.end)
	return r
}

// end stops in order and looks whether every lease has ended.
func (r *rig) end() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.s.Shutdown(ctx); err != nil {
		r.t.Errorf("Shutdown: %v", err)
	}
	if err := <-r.ended; err != nil {
		r.t.Errorf("Run: %v", err)
	}
	r.cancel()
	for _, f := range r.queue.check() {
		r.t.Error(f)
	}
}

func (r *rig) event(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

// events returns what happened since the last call, sorted: next hops do not
// wait for each other.
func (r *rig) events() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := r.lines
	r.lines = nil
	slices.Sort(lines)
	if len(lines) == 0 {
		return "nothing\n"
	}
	return strings.Join(lines, "\n") + "\n"
}

func (r *rig) route(name string) (*Route, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	route, ok := r.routes[name]
	return route, ok
}

func (r *rig) setRoute(route *Route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.routes[route.Name] = route
}

func (r *rig) rule(rcpt mail.Recipient) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name, ok := r.rules[rcpt.Address.Domain()]; ok {
		return name
	}
	return "internet"
}

func (r *rig) suspended(now time.Time, _ *mail.Envelope, rcpt *mail.Recipient, _ string) (string, time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	until := r.suspensions[rcpt.Address.Domain()]
	if !now.Before(until) {
		return "", time.Time{}
	}
	return "suspended: domain " + rcpt.Address.Domain(), until
}

// setProvider replaces a provider by one whose hosts end in one of the suffixes.
func (r *rig) setProvider(p *Provider, suffixes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for old := range r.providers {
		if old.Name == p.Name {
			delete(r.providers, old)
		}
	}
	r.providers[p] = suffixes
}

func (r *rig) providerOf(hosts []string) *Provider {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, suffixes := range r.providers {
		foreign := func(h string) bool {
			return !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(h, s) })
		}
		if !slices.ContainsFunc(hosts, foreign) {
			return p
		}
	}
	return nil
}

// idle waits until nothing is due and nothing is under way.
func (r *rig) idle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.s.Idle(ctx); err != nil {
		r.t.Fatalf("Idle: %v", err)
	}
}

// advance moves the clock by d, from one timer to the next, and lets what each
// of them starts come to rest: a connection that has been idle for too long is
// gone before mail comes due that would need it.
func (r *rig) advance(d time.Duration) {
	r.t.Helper()
	for end := r.clock.Now().Add(d); ; {
		at, ok := r.clock.Next()
		if !ok || at.After(end) {
			at = end
		}
		now := r.clock.Now()
		r.clock.Advance(at.Sub(now))
		r.idle()
		if !at.Before(end) {
			return
		}
	}
}

// envelope makes one with the id, to addresses.
func (r *rig) envelope(id, from string, to ...string) *mail.Envelope {
	env := &mail.Envelope{ID: id, Sender: mail.Address(from), Received: r.clock.Now()}
	for _, a := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address(a), Original: mail.Address(a)})
	}
	return env
}

// hosts gives each name an address of its own.
func (r *rig) hosts(names ...string) {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	for _, n := range names {
		i := len(r.net.ip)
		r.net.ip[n] = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, byte(113 + i>>8), byte(i)})}
	}
}
