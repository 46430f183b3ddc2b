// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// waitFor takes n names from hosts that hang.
func (r *rig) waitFor(n int) {
	r.t.Helper()
	for range n {
		select {
		case <-r.net.waits:
		case <-time.After(time.Minute):
			r.t.Fatal("no host hangs")
		}
	}
}

// settledWhen waits until ok holds for what the queue has settled.
func (r *rig) settledWhen(ok func() bool) {
	r.t.Helper()
	r.wait(func() bool { return r.holds(ok) })
}

func (r *rig) wait(ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			r.t.Fatal("it does not come about")
		}
		runtime.Gosched()
	}
}

// inLine waits until a message stands in a next hop's line: the lease comes
// before that.
func (r *rig) inLine(id string) {
	r.t.Helper()
	r.wait(func() bool { return slices.Contains(r.lined(), id) })
}

func (r *rig) lined() (ids []string) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	for _, h := range r.s.hops {
		h.ready.each(func(t *task) { ids = append(ids, t.msg.Envelope().ID) })
	}
	return ids
}

// placed tells whether no site is looked up.
func (r *rig) placed() bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return len(r.s.lookups.lines) == 0
}

// rests tells whether there are connections and all of them wait for work.
func (r *rig) rests() bool {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return len(r.s.idle) > 0 && len(r.s.idle) == r.s.slots
}

// saw tells whether something happened that begins so.
func (r *rig) saw(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.lines, func(l string) bool { return strings.HasPrefix(l, what) })
}

func (r *rig) holds(ok func() bool) bool {
	r.queue.mu.Lock()
	defer r.queue.mu.Unlock()
	return ok()
}

func (r *rig) done(id string) func() bool {
	return func() bool {
		for _, st := range r.queue.byID[id].states {
			if !st.Done {
				return false
			}
		}
		return true
	}
}

// overtaken queues far more for slow.example, of which nothing moves, than may be
// leased, and wants mail for fast.example to go on and memory to stay bounded.
func (r *rig) overtaken() {
	r.t.Helper()
	for i := range 3000 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("slow%d", i), "s@example.net", "x@slow.example"))
	}
	r.waitFor(1)
	for i := range 50 {
		id := fmt.Sprintf("fast%d", i)
		r.queue.enqueue(r.envelope(id, "s@example.net", "x@fast.example"))
		r.settledWhen(r.done(id))
	}
	r.s.mu.Lock()
	if r.s.held > 400 {
		r.t.Errorf("%d recipients are held in memory, at most 400 may be", r.s.held)
	}
	r.s.mu.Unlock()
}

// A destination that hangs, with far more mail than may be leased, holds up
// nobody else, and the leases in memory stay bounded.
func TestSlowDestinationHoldsUpNobody(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Leases, o.HopLeases = 400, 100 })
	r.hosts("slow.example", "fast.example")
	r.net.set("slow.example", "hang")
	r.overtaken()
	if d := r.s.Explain(r.queue.byID["slow2999"].env, 0, State{}); d.Action != Try || d.Hop != "mx slow.example" {
		t.Errorf("Explain: %+v", d)
	}
	r.net.set("slow.example", "ok")
	r.idle()
	for i := range 3000 {
		if !r.holds(r.done(fmt.Sprintf("slow%d", i))) {
			t.Fatalf("slow%d is not delivered", i)
		}
	}
	if n := r.net.most["slow.example"]; n > DefaultConnections {
		t.Errorf("%d connections to one next hop", n)
	}
}

// When connections are short, a list with many next hops and a small message
// take turns.
func TestSmallMailOvertakesHugeList(t *testing.T) {
	overtakesHanging(t, func(r *rig, to []string) { r.queue.enqueue(r.envelope("list", "s@example.net", to...)) })
}

// So do tenants, however many messages each has.
func TestTenantsTakeTurnsForConnections(t *testing.T) {
	overtakesHanging(t, func(r *rig, to []string) {
		for i, a := range to {
			env := r.envelope(fmt.Sprint("one", i), "s@example.net", a)
			env.Tenant = "many"
			r.queue.enqueue(env)
		}
	})
}

// overtakesHanging has mail for 300 hosts that hang, and a small message behind
// it.
func overtakesHanging(t *testing.T, enqueue func(r *rig, to []string)) {
	r := newRig(t, func(o *Options) { o.Connections = 2 })
	var to []string
	for i := range 300 {
		host := fmt.Sprintf("h%d.example", i)
		r.hosts(host)
		r.net.set(host, "hangdial")
		to = append(to, "x@"+host)
	}
	r.hosts("small.example")
	enqueue(r, to)
	hanging := []string{<-r.net.waits, <-r.net.waits}
	r.wait(func() bool { return len(r.lined()) >= 298 })
	r.queue.enqueue(r.envelope("small", "s@example.net", "x@small.example"))
	r.inLine("small")
	r.wait(r.placed)
	tried := 2
	for !r.saw("small.example gets small") {
		if tried++; tried > 10 {
			t.Fatal("the small message waits behind the others")
		}
		r.net.set(hanging[0], "refuse")
		hanging = hanging[1:]
		r.wait(func() bool { return len(r.net.waits) > 0 || r.saw("small.example gets small") })
		if len(r.net.waits) > 0 {
			hanging = append(hanging, <-r.net.waits)
		}
	}
	for i := range 300 {
		r.net.set(fmt.Sprintf("h%d.example", i), "refuse")
	}
	r.idle()
	if !r.holds(r.done("small")) {
		t.Error("the small message is not settled")
	}
}

// Within one next hop a small message is not behind all of a list's
// transactions, none of which has more recipients than allowed.
func TestTransactionsTakeTurns(t *testing.T) {
	r := newRig(t, func(o *Options) { o.TransactionRecipients = 10 })
	r.hosts("hub.example")
	r.setRoute(&Route{Name: "hub", Kind: ViaSmarthost, Hosts: []string{"hub.example:25"}, Connections: 1})
	r.net.set("hub.example", "hang")
	var to []string
	for i := range 500 {
		to = append(to, fmt.Sprintf("x%d@example.org", i))
	}
	r.rules["example.org"] = "hub"
	r.queue.enqueue(r.envelope("list", "s@example.net", to...))
	r.waitFor(1)
	r.queue.enqueue(r.envelope("small", "s@example.net", "x@example.org"))
	r.inLine("small")
	r.net.set("hub.example", "ok")
	r.idle()
	r.mu.Lock()
	defer r.mu.Unlock()
	transactions, at := 0, -1
	for _, l := range r.lines {
		var host, id string
		if n, _ := fmt.Sscanf(l, "%s gets %s", &host, &id); n == 2 {
			if transactions++; id == "small" {
				at = transactions
			}
		}
	}
	if transactions != 51 || at < 0 || at > 5 {
		t.Errorf("small was transaction %d of %d", at, transactions)
	}
}

// The queue fails for a while: outcomes are kept and settled later, nothing is
// leased meanwhile, nothing is delivered twice.
func TestQueueThatCannotSettle(t *testing.T) {
	r := newRig(t, func(o *Options) { o.IdleTimeout = 24 * time.Hour }) // the clock runs ahead below
	r.hosts("example.org")
	r.queue.mu.Lock()
	r.queue.fail = errors.New("disk full")
	r.queue.mu.Unlock()
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.settledWhen(func() bool { return r.s.settler.failing() })
	r.wait(r.rests) // the connection of m1 is there for m2
	r.queue.enqueue(r.envelope("m2", "s@example.net", "x@example.org"))
	for range 3 {
		r.clock.Advance(time.Second)
	}
	if r.holds(func() bool { return r.queue.byID["m2"].leased[0] }) {
		t.Error("mail is leased that cannot be settled")
	}
	r.queue.mu.Lock()
	r.queue.fail = nil
	r.queue.mu.Unlock()
	r.wait(func() bool {
		if at, ok := r.clock.Next(); ok && at.Sub(r.clock.Now()) < watchEvery { // when it is tried again
			r.clock.Advance(at.Sub(r.clock.Now()))
		}
		return r.holds(r.done("m1"))
	})
	r.idle()
	if ev := r.events(); ev != "dial example.org [203.0.113.0:25]: ok\nexample.org gets m1 [0]\nexample.org gets m2 [0]\nm1/0 delivered: 250 2.0.0 ok\nm2/0 delivered: 250 2.0.0 ok\n" {
		t.Errorf("events:\n%s", ev)
	}
}

// choosy refuses some results, as a queue may refuse a bounce.
type choosy struct {
	*fakeQueue
	refuse func(Result) bool
}

func (q choosy) Settle(ctx context.Context, results ...Result) error {
	for _, r := range results {
		if q.refuse(r) {
			return errors.New("refused")
		}
	}
	return q.fakeQueue.Settle(ctx, results...)
}

// A bounce that the queue does not take keeps neither its message nor others.
func TestBounceThatCannotBeQueued(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Queue = choosy{o.Queue.(*fakeQueue), func(r Result) bool { return len(r.Reports) > 0 }}
	})
	r.hosts("example.org")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "bad@example.org"))
	r.queue.enqueue(r.envelope("m2", "s@example.net", "x@example.org"))
	r.idle()
	if !r.holds(r.done("m1")) || !r.holds(r.done("m2")) {
		t.Error("a message waits because of a bounce")
	}
}

// A bounce that cannot be written does not either.
func TestBounceThatCannotBeWritten(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Reporter = fakeReporter{errors.New("bug")} })
	r.hosts("example.org")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "bad@example.org"))
	r.idle()
	if !r.holds(r.done("m1")) {
		t.Error("a failed message waits for its bounce")
	}
}

// A message that cannot be read is our fault: deferred, and others go on.
func TestUnreadableMessage(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("example.org")
	env := r.envelope("m1", "s@example.net", "x@example.org")
	r.net.set("example.org", "hangdial")
	r.queue.enqueue(env)
	r.waitFor(1)
	r.holds(func() bool { r.queue.byID["m1"].broken = errors.New("no such file"); return true })
	r.net.set("example.org", "ok")
	r.clock.Advance(2 * time.Minute)
	r.idle()
	st := r.queue.byID["m1"].State(0)
	if st.Done || st.Attempts == 0 || st.Last.Reply.Code != 451 {
		t.Errorf("state: %+v", st)
	}
}

// Shutdown lets attempts end and gives back what waits.
func TestShutdownDrains(t *testing.T) {
	r := newRig(t, func(o *Options) { o.HopLeases = 5 })
	r.hosts("example.org")
	r.net.set("example.org", "hang")
	for i := range 40 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", "x@example.org"))
	}
	r.waitFor(DefaultConnections)
	over := make(chan error)
	go func() { over <- r.s.Shutdown(context.Background()) }()
	<-r.s.stop
	r.net.set("example.org", "ok")
	if err := <-over; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	delivered := 0
	for _, m := range r.queue.order {
		switch st := m.State(0); {
		case st.Done:
			delivered++
		case st.Attempts > 0:
			t.Errorf("%s: an attempt was counted: %+v", m.env.ID, st)
		}
	}
	if delivered == 0 || delivered > 4*DefaultConnections {
		t.Errorf("%d delivered", delivered)
	}
}

// Shutdown cuts attempts off when its time is over; they do not count.
func TestShutdownCutsOff(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("example.org", "dial.example")
	r.net.set("example.org", "hang")
	r.net.set("dial.example", "hangdial")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org", "x@dial.example"))
	r.waitFor(2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	for i := range 2 {
		if st := r.queue.byID["m1"].State(i); st.Done || st.Attempts != 0 {
			t.Errorf("recipient %d: %+v", i, st)
		}
	}
	<-r.s.done
	r.ended <- <-r.ended // Run returns nil: end looks
}

// An attempt in which nothing moves is cut off and counts.
func TestHangingAttemptIsCutOff(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AttemptLimit = 30 * time.Minute })
	r.hosts("example.org")
	r.net.set("example.org", "hang")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.waitFor(1)
	r.clock.Advance(30 * time.Minute)
	r.settledWhen(func() bool { return r.queue.byID["m1"].states[0].Attempts == 1 })
	r.net.set("example.org", "ok")
	r.clock.Advance(10 * time.Minute)
	r.idle()
	if !r.holds(r.done("m1")) {
		t.Error("not delivered")
	}
}

// Mail that waits for a next hop of a route that a reload took away goes by the
// new one.
func TestReloadMovesWaitingMail(t *testing.T) {
	r := newRig(t, func(o *Options) { o.HopLeases = 10 })
	r.hosts("old.example", "new.example")
	r.rules["example.org"] = "hub"
	r.setRoute(&Route{Name: "hub", Kind: ViaSmarthost, Hosts: []string{"old.example:25"}})
	r.net.set("old.example", "hangdial")
	for i := range 50 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", "x@example.org"))
	}
	r.waitFor(1)
	r.setRoute(&Route{Name: "hub", Kind: ViaSmarthost, Hosts: []string{"new.example:25"}})
	r.s.Reload()
	r.settledWhen(func() bool {
		for _, m := range r.queue.order {
			if !m.states[0].Done {
				return false
			}
		}
		return true
	})
	r.net.set("old.example", "refuse")
}

// A bug in what decides costs no mail.
func TestPanicWhileDeciding(t *testing.T) {
	var once sync.Once
	r := newRig(t, func(o *Options) {
		rule := o.RouteOf
		o.RouteOf = func(rcpt mail.Recipient) string {
			once.Do(func() { panic("scripted") })
			return rule(rcpt)
		}
	})
	r.hosts("example.org")
	r.queue.enqueue(r.envelope("m1", "s@example.net", "x@example.org"))
	r.idle()
	r.clock.Advance(time.Minute)
	r.idle()
	if !r.holds(r.done("m1")) {
		t.Error("not delivered")
	}
}

// TestEveryLeaseEndsOnce sends mail through hosts that change their mind all the
// time, with a queue that fails now and then, reloads that change limits, and a moving clock; in
// the end every recipient is settled, once.
func TestEveryLeaseEndsOnce(t *testing.T) {
	flaky := &flakyQueue{fakeQueue: nil}
	r := newRig(t, func(o *Options) {
		flaky.fakeQueue = o.Queue.(*fakeQueue)
		o.Queue = flaky
		o.Connections, o.Leases, o.HopLeases, o.TransactionRecipients = 6, 60, 20, 3
	})
	names := []string{"a.example", "b.example", "c.example", "d.example", "e.example", "f.example", "g.example", "h.example"}
	r.hosts(names...)
	behaviours := []string{"ok", "drop", "refuse", "reply 451 4.2.0 later", "panic", "closes", "forget", "greet 421 4.3.2 busy", "ok", "ok"}
	var sources []*Source
	for i := range 2 {
		sources = append(sources, &Source{Name: fmt.Sprint("s", i), Addresses: []netip.Addr{netip.AddrFrom4([4]byte{198, 51, 100, byte(i)})}})
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		rnd := rand.New(rand.NewPCG(3, 4))
		for i := range 400 {
			var to []string
			for range 1 + rnd.IntN(8) {
				to = append(to, fmt.Sprintf("x%d@%s", rnd.IntN(100), names[rnd.IntN(len(names))]))
			}
			r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", to...))
		}
	}()
	for i := range 300 {
		r.net.set(names[rnd.IntN(len(names))], behaviours[rnd.IntN(len(behaviours))])
		r.clock.Advance(time.Duration(rnd.IntN(20)) * time.Second)
		flaky.set(rnd.IntN(10) == 0)
		r.breaks(sources[rnd.IntN(2)].Addresses[0], rnd.IntN(2) == 0)
		if i%50 == 0 {
			r.setRoute(&Route{Name: "internet", Kind: ViaMX, Schedule: Schedule{Jitter: 0.1}, Connections: 1 + rnd.IntN(3), Rate: Rate{rnd.IntN(50), time.Second}, Sources: sources[:rnd.IntN(3)]})
			r.setProvider(&Provider{Name: "big", Connections: rnd.IntN(3), Rate: Rate{rnd.IntN(5), 10 * time.Second}}, names[:3+rnd.IntN(2)])
			r.s.Reload()
		}
	}
	<-sent
	flaky.set(false)
	for _, src := range sources {
		r.breaks(src.Addresses[0], false)
	}
	for _, n := range names {
		r.net.set(n, "ok")
	}
	r.settledWhen(func() bool {
		r.queue.mu.Unlock()
		r.clock.Advance(time.Minute)
		r.queue.mu.Lock()
		for _, m := range r.queue.order {
			for _, st := range m.states {
				if !st.Done {
					return false
				}
			}
		}
		return true
	})
	r.idle()
}

// flakyQueue refuses to settle while it is told to.
type flakyQueue struct {
	*fakeQueue
	mu  sync.Mutex
	bad bool
}

func (q *flakyQueue) set(bad bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bad = bad
}

func (q *flakyQueue) Settle(ctx context.Context, results ...Result) error {
	q.mu.Lock()
	bad := q.bad
	q.mu.Unlock()
	if bad {
		return errors.New("disk full")
	}
	return q.fakeQueue.Settle(ctx, results...)
}

func TestPrivate(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"127.0.0.1", true}, {"10.1.2.3", true}, {"172.31.0.1", true}, {"192.168.1.1", true}, {"169.254.169.254", true},
		{"100.64.0.1", true}, {"100.128.0.1", false}, {"0.0.0.0", true}, {"0.1.2.3", true}, {"224.0.0.1", true}, {"255.255.255.255", true},
		{"198.18.0.1", true}, {"198.20.0.1", false}, {"192.0.0.8", true}, {"240.0.0.1", true}, {"203.0.113.1", false}, {"8.8.8.8", false},
		{"::1", true}, {"::", true}, {"fe80::1", true}, {"fc00::1", true}, {"fec0::1", true}, {"ff02::1", true}, {"100::1", true},
		{"::ffff:127.0.0.1", true}, {"::ffff:8.8.8.8", false}, {"64:ff9b::7f00:1", true}, {"64:ff9b::808:808", false},
		{"2002:a00:1::1", true}, {"2002:808:808::1", false}, {"::127.0.0.1", true}, {"2001:4860:4860::8888", false},
	} {
		if got := private(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("private(%s) = %v", tt.addr, got)
		}
	}
}

func TestRetryAt(t *testing.T) {
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &Route{Schedule: Schedule{Retry: []time.Duration{time.Minute, 5 * time.Minute}, Expire: time.Hour}}
	for _, tt := range []struct {
		after    time.Duration
		attempts int
		warning  time.Duration
		want     time.Duration
	}{
		{0, 0, 0, time.Minute}, {0, 1, 0, 5 * time.Minute}, {0, 99, 0, 5 * time.Minute}, {0, -1, 0, time.Minute},
		{58 * time.Minute, 9, 0, time.Hour}, {2 * time.Hour, 9, 0, 2*time.Hour + 5*time.Minute},
		{0, 1, 2 * time.Minute, 2 * time.Minute}, {2 * time.Minute, 1, 2 * time.Minute, 7 * time.Minute},
		{58 * time.Minute, 9, 62 * time.Minute, time.Hour},
	} {
		warning := time.Time{}
		if tt.warning > 0 {
			warning = start.Add(tt.warning)
		}
		if got := r.retryAt(start.Add(tt.after), &mail.Envelope{Received: start}, warning, tt.attempts).Sub(start); got != tt.want {
			t.Errorf("after %v and %d attempts: %v, want %v", tt.after, tt.attempts, got, tt.want)
		}
	}
	r.Jitter = 0.5
	if d := r.schedule(&mail.Envelope{}).interval(1); d < 5*time.Minute || d > 450*time.Second {
		t.Errorf("with jitter: %v", d)
	}
}

// BenchmarkDeliver is what one message of one recipient costs here, between a
// queue and a transport that cost nothing.
func BenchmarkDeliver(b *testing.B) {
	q := &benchQueue{left: b.N, wake: make(chan struct{}, 1), done: make(chan struct{}),
		env: &mail.Envelope{ID: "m", Sender: "s@example.net", Received: time.Now(), Recipients: []mail.Recipient{{Address: "x@example.org"}}}}
	route := &Route{Name: "hub", Kind: ViaDiscard}
	s := New(Options{Queue: q, Routes: func(string) (*Route, bool) { return route, true },
		RouteOf: func(mail.Recipient) string { return "hub" }, Clock: realClock{}})
	b.ReportAllocs()
	b.ResetTimer()
	ended := make(chan struct{})
	go func() { _ = s.Run(context.Background()); close(ended) }()
	<-q.done
	b.StopTimer()
	_ = s.Shutdown(context.Background())
	<-ended
}

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }
func (realClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

type benchQueue struct {
	mu            sync.Mutex
	left, settled int
	wake          chan struct{}
	done          chan struct{}
	env           *mail.Envelope
	total         int
}

func (q *benchQueue) Envelope() *mail.Envelope { return q.env }
func (q *benchQueue) State(int) State          { return State{} }
func (q *benchQueue) Open() (Content, error)   { return Content{}, nil }

func (q *benchQueue) Due(_ time.Time, limit int) []Lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(limit, q.left, 16)
	q.left -= n
	q.total += n
	ls := make([]Lease, n)
	rcpts := make([]int, n)
	for i := range ls {
		ls[i] = Lease{Message: q, Recipients: rcpts[i : i+1]}
	}
	return ls
}

func (q *benchQueue) NextDue() (time.Time, bool)        { return time.Time{}, false }
func (q *benchQueue) Wake() <-chan struct{}             { return q.wake }
func (q *benchQueue) Postpone(string, []int, time.Time) { panic("postpone") }

func (q *benchQueue) Shelve(string, []int, time.Time) { panic("shelve") }

func (q *benchQueue) Return(_ string, rcpts []int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.left += len(rcpts)
	q.total -= len(rcpts)
}

func (q *benchQueue) Settle(_ context.Context, results ...Result) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range results {
		q.settled += len(r.Outcomes)
	}
	if q.left == 0 && q.settled == q.total {
		close(q.done)
	}
	return nil
}

func FuzzSplit(f *testing.F) {
	f.Add("mx.example.org:25")
	f.Add("[2001:db8::1]:587")
	f.Add("host:0")
	f.Add(":25")
	f.Fuzz(func(t *testing.T, s string) {
		hs, err := split([]string{s})
		if err != nil {
			return
		}
		if len(hs) != 1 || hs[0].name == "" || hs[0].port == 0 {
			t.Errorf("split(%q) = %v", s, hs)
		}
	})
}

// When Run's context ends, so does everything, without an attempt counted.
func TestRunEndsWithItsContext(t *testing.T) {
	q, n := newFakeQueue(), newFakeNet()
	n.ip["example.org"] = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
	n.set("example.org", "hang")
	route := &Route{Name: "internet"}
	s := New(Options{Queue: q, Routes: func(string) (*Route, bool) { return route, true }, Resolver: n, SMTP: n,
		RouteOf: func(mail.Recipient) string { return "internet" }, Reporter: fakeReporter{}, Clock: realClock{}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	q.enqueue(&mail.Envelope{ID: "m1", Received: time.Now(), Recipients: []mail.Recipient{{Address: "x@example.org"}}})
	<-n.waits
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
	if err := s.Idle(context.Background()); !errors.Is(err, context.Canceled) {
		t.Errorf("Idle: %v", err)
	}
	if st := q.byID["m1"].State(0); st.Attempts != 0 {
		t.Errorf("state: %+v", st)
	}
	for _, f := range q.check() {
		t.Error(f)
	}
}

func TestRefused(t *testing.T) {
	addr := netip.MustParseAddrPort("203.0.113.1:25")
	gone := mail.NewReply(554, mail.Enhanced{5, 3, 2}, "not here")
	mx, fixed := hopKey{route: &Route{}}, hopKey{route: &Route{Kind: ViaSmarthost}}
	for _, tt := range []struct {
		name   string
		key    hopKey
		err    error
		status mail.Status
		code   int
		remote bool
	}{
		{"no words", mx, errors.New("refused"), mail.Deferred, 451, false},
		{"a host's 5xx", mx, &HostError{Reply: *gone, Remote: true}, mail.Failed, 554, true},
		{"a reply", mx, fmt.Errorf("dial: %w", gone), mail.Failed, 554, false},
		{"a smarthost's 5xx", fixed, &HostError{Reply: *gone, Remote: true}, mail.Deferred, 554, true},
		{"a raw next hop's 5xx", hopKey{route: &Route{}, target: "h:25", raw: true}, &HostError{Reply: *gone}, mail.Deferred, 554, false},
	} {
		if o := tt.key.refused("h", addr, tt.err); o.Status != tt.status || o.Reply.Code != tt.code || o.Remote != tt.remote || o.Address != addr.String() {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
}

// A host that takes fewer connections than we may open gets what it takes, and
// no message is deferred for it.
func TestHostThatLimitsConnections(t *testing.T) {
	r := newRig(t, nil)
	r.hosts("example.org")
	r.net.limit = 1
	r.net.set("example.org", "hang")
	for i := range 100 {
		r.queue.enqueue(r.envelope(fmt.Sprintf("m%d", i), "s@example.net", "x@example.org"))
	}
	r.waitFor(1)
	r.wait(func() bool {
		d := r.s.Explain(r.queue.byID["m99"].env, 0, State{Leased: true})
		return d.Action == Limit && d.Until.Equal(r.start.Add(watchEvery)) &&
			strings.HasPrefix(d.Reason, "limited: the host wants no more connections: 421 4.7.0 too many connections; in line: ")
	})
	r.net.set("example.org", "ok")
	r.idle()
	for _, m := range r.queue.order {
		if st := m.State(0); !st.Done || st.Attempts != 1 {
			t.Errorf("%s: %+v", m.env.ID, st)
		}
	}
	if r.net.dials > 3 {
		t.Errorf("%d attempts to connect within no time", r.net.dials)
	}
}
