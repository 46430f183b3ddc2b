// SPDX-License-Identifier: Apache-2.0

// Package delivery decides when, to whom and how fast queued mail goes out.
//
// A [Scheduler] leases what is due from the queue, groups it by next hop, and
// has each next hop served by a few workers with a kept, pipelined connection
// each. What became of a recipient is settled with the queue; a recipient that
// has failed for good takes its bounce along in the same batch.
//
// A next hop of mail that goes by MX is a site: all domains with one set of mail
// exchangers.
//
//	queue.Due ─> decide ─> next hop's line ─> worker ─> outcome ─> queue.Settle
//	                │ no room: set back          │ not tried: back in front
//	                └ expired, no route ─────────┴───────────────> queue.Settle
//
// Invariants, each with a test:
//
//   - A leased recipient is settled or returned exactly once.
//
//   - One function, decide, says of a recipient what to do, why, and until
//     when; every path asks it, and so do people (Explain). When a recipient is
//     due, decideLine goes on for the line that it is in: no site yet, throttled,
//     no connection free.
//
//   - Next hops do not wait for each other. Each has its own line and its own
//     connections; one that is slow fills its share of the memory and no more:
//     what is beyond is set back without its message, and fetched when the line
//     is half empty.
//
//   - In a line urgent mail goes first and tenants take turns; in one that is full
//     they take the place of what is less urgent, or of who has more there. When
//     connections are short, tenants and their messages take turns, so that a
//     list with thousands of next hops does not go first.
//
//   - The site of a domain is looked up beside the owner and the workers, once at a
//     time for each domain; what waits for that stands in a line of the domain's
//     own. Mail only ever goes to hosts that its domain names, and a domain that
//     names others is at its new site from the next lease on, once the old answer
//     is out of date.
//
//   - What may go to a site, or to all sites of a provider, is a budget of
//     connections and of messages per time. A line that has to wait for its rate
//     holds no connection that another needs, wakes by the clock, and takes turns
//     with the others of its budget. The more lines wait for the clock, the less
//     mail each has in memory: lines that move have room. Budgets outlive lines and reloads, and go when
//     they could make no difference.
//
//   - Where a route has sources, messages leave from them in turn. An address that
//     connections cannot leave from is left out for a minute. A message that finds
//     no healthy source waits in its line, and that is no attempt.
//
//   - Mail that a failing queue could not settle stays leased and is settled
//     later; until then nothing new is leased, for it could not be settled
//     either.
//
//   - While delivery is paused (Pause) no attempt begins and nothing is leased; what
//     is in line stays there, and goes on at once when the pause ends.
//
//   - Stages that a route has its deliveries pass are asked beside the owner and
//     the connections, and lose nothing when they fail.
//
// Goroutines: Run is the owner, who leases and keeps the time; one settler; one
// worker per connection; some for stages while they are asked, and for look-ups.
// All of them end before Run returns.
package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/postroad-mail/postroad/core/mail"
)

// Options are what a Scheduler works with. Queue, Routes, RouteOf, Resolver,
// SMTP, Maildir, Reporter and Clock are needed.
type Options struct {
	Queue    Queue
	Routes   func(name string) (*Route, bool)     // live configuration; quick, calls nothing of ours
	RouteOf  func(r mail.Recipient) (name string) // the rules; empty: none fits
	Resolver Resolver
	SMTP     SMTP
	Maildir  Maildir
	Reporter Reporter
	Hooks    Hooks // nil: routes have no stages

	// Suspended says why mail to a recipient by a route is suspended now, and
	// until when; an empty why when it is not. It is quick and calls nothing of
	// ours. nil: nothing is ever suspended.
	Suspended func(now time.Time, env *mail.Envelope, r *mail.Recipient, route string) (why string, until time.Time)

	// ProviderOf says whose a site is with these hosts, in lower case; nil when it is
	// nobody's. It is quick and calls nothing of ours. nil: there are no providers.
	ProviderOf func(hosts []string) *Provider

	Clock    Clock
	Logger   hclog.Logger // nil: silence
	Observer Observer     // nil: nobody
	Hostname string       // our name, to find ourselves among mail exchangers

	Connections           int           // workers at once, of all next hops; 0 means 1,000
	Leases                int           // recipients leased at once, about: their messages are in memory; 0 means 5,000
	HopLeases             int           // recipients in one next hop's line; 0 means 1,000
	TransactionRecipients int           // 0 means 100 (RFC 5321 §4.5.3.1.8)
	IdleTimeout           time.Duration // a connection is kept that long without mail; 0 means 10 s
	AttemptLimit          time.Duration // without any progress for so long an attempt is cut off; 0 means 6 h
}

// Scheduler sends out what is queued. Make it with New, start it with Run.
type Scheduler struct {
	o        Options
	log      hclog.Logger
	fallback *Route        // schedule of mail without a route
	kick     chan struct{} // wakes the owner
	stop     chan struct{} // closed by Shutdown
	done     chan struct{} // closed when Run is over
	settler  settler
	errands  errands // what waits for stages
	sites    sites
	reloaded atomic.Bool // since the owner last looked

	workers sync.WaitGroup
	ctx     context.Context // of the workers; set by Run
	cancel  context.CancelFunc
	looking context.Context // of look-ups; ends when we stop
	lookEnd context.CancelFunc

	mu        sync.Mutex
	started   bool
	stopped   bool   // no new work
	paused    string // why no attempt begins for now; empty: they do
	hops      map[hopKey]*hop
	held      int        // recipients leased, with their messages in memory
	parked    int        // recipients leased and set back
	slots     int        // workers
	turns     line[*hop] // those that wait for a free connection, by message
	lookups   lookups
	budgets   map[budgetKey]*budget
	egress    egress
	dozing    int // lines that wait for their rate or for a source
	idle      map[*worker]struct{}
	all       map[*worker]struct{}
	recalls   []ticket        // set back, on the way into the queue
	recalling []*hop          // those that recalls are of
	waiters   []chan struct{} // of Idle

	stopTimer func() bool // the owner's, as scratch is
	scratch   []Decision
	lookAt    time.Time
}

// New returns a Scheduler, which does nothing before Run.
func New(o Options) *Scheduler {
	o = o.withDefaults()
	s := &Scheduler{
		o: o, log: o.Logger, fallback: &Route{},
		kick: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		hops: map[hopKey]*hop{}, idle: map[*worker]struct{}{}, all: map[*worker]struct{}{},
	}
	s.budgets = map[budgetKey]*budget{}
	s.lookups.lines = map[string][]*hop{}
	s.sites.init()
	s.egress.init()
	s.settler.init()
	return s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	o.Connections = orElse(o.Connections, 1000)
	o.Leases = orElse(o.Leases, 5000)
	o.HopLeases = orElse(o.HopLeases, 1000)
	o.TransactionRecipients = orElse(o.TransactionRecipients, 100)
	o.IdleTimeout = orElse(o.IdleTimeout, 10*time.Second)
	o.AttemptLimit = orElse(o.AttemptLimit, 6*time.Hour)
	return o
}

func orElse[T int | time.Duration](v, def T) T {
	if v > 0 {
		return v
	}
	return def
}

// Run delivers until Shutdown is called or ctx is done, and returns when all
// attempts are over and settled; nil after Shutdown, else ctx's error. When ctx
// is done, attempts are cut off. Run is called once.
func (s *Scheduler) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.looking, s.lookEnd = context.WithCancel(s.ctx)
	s.started = true
	s.mu.Unlock()
	defer close(s.done)
	defer s.cancel()
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		s.settleAll(context.WithoutCancel(ctx))
	}()
	s.own()
	s.giveBack()
	s.lookEnd()
	s.workers.Wait()
	s.errands.all.Wait()
	s.settler.close()
	<-settled
	return ctx.Err()
}

// Shutdown ends Run in order: what is not begun goes back into the queue,
// attempts that run may end. When ctx is done before they have, they are cut
// off, and those of which no host has spoken go back without having counted;
// ctx's error is returned then.
func (s *Scheduler) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	started, first := s.started, !s.stopped
	s.stopped = true
	s.mu.Unlock()
	if first {
		close(s.stop)
	}
	if !started {
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
	}
	s.cancel()
	<-s.done
	return ctx.Err()
}

// Idle waits until nothing is due at the clock's now, nothing is leased and all
// workers are at rest. A connection that waits for mail does not count, nor does
// mail that waits for its rate.
func (s *Scheduler) Idle(ctx context.Context) error {
	ch := make(chan struct{})
	s.mu.Lock()
	s.waiters = append(s.waiters, ch)
	s.mu.Unlock()
	s.rouse()
	select {
	case <-ch:
		return nil
	case <-s.done:
		return context.Canceled
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rouse has the owner look again. It never blocks.
func (s *Scheduler) rouse() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// nobody is the Observer of those who want none.
type nobody struct{}

func (nobody) Settled(*mail.Envelope, string, Settled, time.Duration) {}
func (nobody) InFlight(string, int)                                   {}
func (nobody) Connected(string, error)                                {}
func (nobody) Panicked()                                              {}
