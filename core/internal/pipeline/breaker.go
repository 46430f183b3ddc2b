// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Faulter is the error of a stage that knows its cause, as metrics spell it.
type Faulter interface {
	error
	FaultCause() string
}

// BreakerOptions say when a stage counts as broken. Zero fields mean the
// default.
type BreakerOptions struct {
	Failures int           // in a row; 10
	Probe    time.Duration // until the first probe; 1 s. Each failed one doubles it, up to 5 min
}

const (
	defaultFailures = 10
	defaultProbe    = time.Second
	maxProbe        = 5 * time.Minute
)

// Breaker keeps a broken stage from being called: while it is open on_error is
// applied at once, and now and then one hook goes through as a probe. The first
// success closes it.
//
// It opens after a number of failures in a row, of which a public client network
// (/24, /48) counts once: mail of one stranger, however much, does not take a
// stage from the others. Each phase is counted by itself: a stage that answers
// every RCPT and fails at every message is broken in phase message, and its
// answers to RCPT neither hide that nor are they given up for it. It is safe for
// use by many goroutines.
type Breaker struct{ phases [mail.PhaseReset + 1]circuit }

// circuit is the breaker of one phase.
type circuit struct {
	failed atomic.Int32 // failures in a row that count
	open   atomic.Bool

	mu      sync.Mutex
	o       BreakerOptions
	from    map[netip.Prefix]bool // networks that were counted
	wait    time.Duration         // until the next probe
	probe   time.Time             // not before
	probing bool                  // a probe was let through, and has not failed
}

// NewBreaker returns a closed breaker.
func NewBreaker(o BreakerOptions) *Breaker {
	b := &Breaker{}
	b.Configure(o)
	return b
}

// Configure changes the options of a breaker that goes on.
func (b *Breaker) Configure(o BreakerOptions) {
	if o.Failures == 0 {
		o.Failures = defaultFailures
	}
	if o.Probe == 0 {
		o.Probe = defaultProbe
	}
	for i := range b.phases {
		b.phases[i].configure(o)
	}
}

// Open reports whether the stage counts as broken in any phase.
func (b *Breaker) Open() bool {
	for i := range b.phases {
		if b.phases[i].open.Load() {
			return true
		}
	}
	return false
}

// in returns the breaker of a phase.
func (b *Breaker) in(p mail.Phase) *circuit { return &b.phases[p] }

func (b *circuit) configure(o BreakerOptions) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.o = o
}

// allow reports whether a hook may be called at now. While the breaker is open
// that is one probe per wait.
func (b *circuit) allow(now time.Time) bool {
	if !b.open.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Before(b.probe) {
		return false
	}
	b.probe, b.probing = now.Add(b.wait), true // if the probe never comes back, another one goes then
	return true
}

// succeeded notes a hook that ended well and reports whether it closed the
// breaker.
func (b *circuit) succeeded() (closed bool) {
	if b.failed.Load() == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed.Store(0)
	b.from = nil
	return b.open.Swap(false)
}

// failedFrom notes a hook of a client that failed and reports whether that
// opened the breaker. While it is open only probes count: calls that were under
// way when it opened say nothing new.
func (b *circuit) failedFrom(client netip.Addr, now time.Time) (opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open.Load() {
		if b.probing {
			b.wait, b.probing = min(2*b.wait, maxProbe), false
			b.probe = now.Add(b.wait)
		}
		return false
	}
	if !b.counts(client) {
		return false
	}
	if int(b.failed.Add(1)) < b.o.Failures {
		return false
	}
	b.wait, b.probing = b.o.Probe, false
	b.probe = now.Add(b.wait)
	b.open.Store(true)
	return true
}

// counts reports whether a failure of that client's mail is a new one. Private
// and unknown addresses are our own side, where one address may be everybody.
func (b *circuit) counts(client netip.Addr) bool {
	client = client.Unmap()
	if !client.IsValid() || client.IsLoopback() || client.IsPrivate() {
		return true
	}
	bits := 48
	if client.Is4() {
		bits = 24
	}
	network, err := client.Prefix(bits)
	if err != nil || b.from[network] {
		return false
	}
	if b.from == nil {
		b.from = make(map[netip.Prefix]bool)
	}
	b.from[network] = true
	return true
}

// Breakers holds the breakers of stages by name. They survive a reload.
type Breakers struct {
	mu     sync.Mutex
	byName map[string]*Breaker
}

// Get returns the breaker of that name as it is, a new one with these options if
// there is none. A name should tell the code that runs: new code starts afresh.
func (s *Breakers) Get(name string, o BreakerOptions) *Breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.byName[name]
	if b == nil {
		b = NewBreaker(o)
		if s.byName == nil {
			s.byName = make(map[string]*Breaker)
		}
		s.byName[name] = b
	}
	return b
}

// Keep forgets all breakers but those of the given names.
func (s *Breakers) Keep(names map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.byName {
		if !names[name] {
			delete(s.byName, name)
		}
	}
}

// brokenError is the failure of a stage that was not called.
type brokenError struct{}

func (brokenError) Error() string {
	return "it failed too often and is not called until a probe succeeds"
}

// FaultCause implements Faulter.
func (brokenError) FaultCause() string { return "breaker" }

// CauseOf returns the cause of a stage's failure as metrics and logs spell it:
// "error" when it does not tell, nothing when there is none.
func CauseOf(err error) string {
	if err == nil { // the usual case, which allocates nothing
		return ""
	}
	return causeOf(err)
}

func causeOf(err error) string {
	if f := Faulter(nil); errors.As(err, &f) {
		return f.FaultCause()
	}
	return "error"
}

// overloaded reports whether a failure is the machine's load and not the
// stage's: a breaker must not turn a crowd into an outage.
func overloaded(err error) bool {
	return CauseOf(err) == "pool" || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
