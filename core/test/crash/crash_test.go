// SPDX-License-Identifier: Apache-2.0

// Package crash kills the real relay under load, again and again, and counts:
// every message that a client read a 250 for arrives at the next hop, octet for
// octet.
//
// `go test` runs a short campaign. POSTROAD_CRASH_ROUNDS=full, or a number, sets
// how many kills there are. SIGKILL leaves the operating system's caches alone,
// so it cannot show a missing sync: the tests of core/internal/queue do that, on
// a disk that forgets what was not synced.
package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

const (
	shortCampaign = 4  // kills
	fullCampaign  = 24 // kills

	minAcked       = 200 // 250s in a life before it is ended
	minUndelivered = 50  // messages acknowledged and not delivered at the kill
	closeTo        = 5 * time.Millisecond
)

// rounds is how many kills are asked for.
func rounds(t *testing.T) int {
	switch s := os.Getenv("POSTROAD_CRASH_ROUNDS"); s {
	case "":
		return shortCampaign
	case "full":
		return fullCampaign
	default:
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("POSTROAD_CRASH_ROUNDS=%q is no number of kills; give one, or \"full\" for %d", s, fullCampaign)
		}
		return n
	}
}

// campaign is one data directory through many lives.
type campaign struct {
	p   *program
	l   *ledger
	rng *rand.Rand
}

func newCampaign(t *testing.T, binary string) *campaign {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &campaign{p: newProgram(t, binary), l: newLedger(), rng: rand.New(rand.NewPCG(seed, 0))}
}

func TestKill(t *testing.T) {
	binary := build(t)
	t.Run("nothing acknowledged is lost", func(t *testing.T) { nothingIsLost(t, newCampaign(t, binary)) })
	t.Run("a loss is found", func(t *testing.T) { aLossIsFound(t, newCampaign(t, binary)) })
}

// nothingIsLost is the campaign.
func nothingIsLost(t *testing.T, c *campaign) {
	want := rounds(t)
	var kills []kill
	for attempt := 0; len(kills) < want && attempt < 4*want+10 && !t.Failed(); attempt++ {
		near := len(kills)%2 == 0
		t.Run(fmt.Sprintf("kill %d", attempt+1), func(t *testing.T) {
			k := c.life(t, len(kills), near)
			if why := k.tooEasy(); why != "" {
				t.Logf("does not count and is repeated: %s", why)
				return
			}
			kills = append(kills, k)
		})
	}
	if len(kills) < want {
		t.Fatalf("only %d of %d kills met the conditions", len(kills), want)
	}
	t.Run("drain", c.drain)
	c.report(t, kills)
}

// kill is what is known of one kill.
type kill struct {
	near        bool          // asked to be close to a 250
	after       time.Duration // from reading a 250 to SIGKILL, when near
	acked       int           // in this life
	undelivered int           // of all lives
	fresh       int           // of them, acknowledged in this life
	files       int           // of undelivered, with a body in a file
}

// tooEasy says why a kill proves too little, or nothing.
func (k *kill) tooEasy() string {
	switch {
	case k.acked < minAcked:
		return fmt.Sprintf("only %d acknowledged", k.acked)
	case k.undelivered < minUndelivered:
		return fmt.Sprintf("only %d undelivered", k.undelivered)
	case k.near && k.after > closeTo:
		return fmt.Sprintf("SIGKILL came %v after the 250", k.after)
	}
	return ""
}

// life starts the relay, loads it, kills it and settles the accounts.
func (c *campaign) life(t *testing.T, round int, near bool) kill {
	b := behaviours()[round%len(behaviours())]
	hop := testkit.NewSink(t, testkit.SinkOptions{Script: b.script(round)})
	r := c.p.start(t, hop.Addr().String())
	c.l.begin()
	k := c.shoot(t, r, near)
	hop.Close()
	c.settle(t, hop.Messages())
	c.count(&k)
	t.Logf("next hop %s; %d acknowledged; undelivered %d, %d of this life, %d with a file; near %v, %v after a 250",
		b.name, k.acked, k.undelivered, k.fresh, k.files, k.near, k.after)
	return k
}

// shoot loads the relay and kills it: right after a 250, or at a random moment.
func (c *campaign) shoot(t *testing.T, r *process, near bool) kill {
	k := kill{near: near}
	at := minAcked + c.rng.IntN(3*minAcked)
	delay := time.Duration(c.rng.Int64N(int64(100 * time.Millisecond)))
	if near { // half of them at once
		delay = max(0, time.Duration(c.rng.Int64N(int64(closeTo)))-closeTo/2)
	}
	done := make(chan struct{})
	o := &load{addr: r.addr, l: c.l}
	o.acked = func(n int, read time.Time) {
		if n != at {
			return
		}
		if !near {
			time.Sleep(delay) // the random moment
		}
		for time.Since(read) < delay { // a timer may ring too late
		}
		o.dying.Store(true)
		r.strike()
		k.after = time.Since(read)
		close(done)
	}
	o.start()
	select {
	case <-done:
	case <-r.exited:
	case <-time.After(patience):
		t.Errorf("no %d messages were acknowledged in %v", at, patience)
	}
	if r.kill(); !r.killed() {
		t.Errorf("the relay ended with %v before it was killed\n%s", r.err, c.p.tail())
	}
	for _, fault := range o.end() {
		t.Error(fault)
	}
	return k
}

// settle enters what the next hop has taken.
func (c *campaign) settle(t *testing.T, ms []testkit.Received) {
	for _, fault := range c.l.deliver(ms) {
		t.Error(fault)
	}
}

// count takes the figures of a kill, when all sessions are over and the next
// hop is closed: a 250 that was under way at the kill is counted too.
func (c *campaign) count(k *kill) {
	left := c.l.undelivered()
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	k.acked, k.undelivered = c.l.acks, len(left)
	for _, id := range left {
		k.fresh += one(c.l.entries[id].life == c.l.life)
		k.files += one(c.l.entries[id].big)
	}
}

// drain lets the relay deliver everything that is left and ends it in order.
func (c *campaign) drain(t *testing.T) {
	for _, id := range c.drainBut(t, nil) {
		t.Errorf("LOST: %s was acknowledged and did not arrive (file %v)\n%s", id, c.l.isBig(id), c.p.about(c.l.of(id)))
	}
	if names := c.p.bodies(t); len(names) > 0 {
		t.Errorf("%d body files of no message are left: %v", len(names), names)
	}
}

// drainBut is one life with a good next hop, until everything acknowledged but
// except has arrived and the queue holds nothing else. It returns the ids that
// did not arrive. Asking a relay that does not get there fails the test.
func (c *campaign) drainBut(t *testing.T, except []string) []string {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	hop := testkit.NewSink(t, testkit.SinkOptions{})
	r := c.p.start(t, hop.Addr().String())
	c.p.queue(ctx, t, "retry", "--all", "--yes")
	for c.left(ctx, t) > len(except) {
		next(ctx, hop)
	}
	r.stop(t)
	hop.Close()
	c.settle(t, hop.Messages())
	return c.l.undelivered()
}

// next waits until the next hop has got one more message, or it is time to ask
// the relay again.
func next(ctx context.Context, hop *testkit.Sink) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	hop.Wait(ctx, hop.Count()+1)
}

// left is how many messages the relay says it still has.
func (c *campaign) left(ctx context.Context, t *testing.T) int {
	list := c.p.queue(ctx, t, "list", "--json", "--limit", "1000000")
	return strings.Count(list, `"ID":`)
}

// report prints the figures of a campaign and checks that it was one.
func (c *campaign) report(t *testing.T, kills []kill) {
	var near int
	var undelivered, acked []int
	for _, k := range kills {
		near += one(k.near)
		undelivered, acked = append(undelivered, k.undelivered), append(acked, k.acked)
	}
	s := c.l.totals()
	t.Logf("%d kills, %d of them within %v of a 250; acknowledged per life %v", len(kills), near, closeTo, acked)
	t.Logf("undelivered at each kill %v", undelivered)
	t.Logf("%d sent, %d acknowledged (%d with a body in a file), %d delivered, acknowledged minus delivered %d, %d duplicates, %d delivered without a 250 read",
		s.sent, s.acked, s.big, s.delivered, s.acked-s.delivered, s.duplicates, s.unpromised)
	if 2*near < len(kills) {
		t.Errorf("only %d of %d kills came within %v of a 250", near, len(kills), closeTo)
	}
	if 4*s.big < s.acked {
		t.Errorf("only %d of %d messages had their body in a file", s.big, s.acked)
	}
}

// aLossIsFound proves that the campaign sees a loss: one body file is taken
// away behind the relay's back.
func aLossIsFound(t *testing.T, c *campaign) {
	k := c.life(t, 1, false) // nothing is delivered in a life with this next hop
	if k.files == 0 {
		t.Fatal("no body is in a file")
	}
	left := c.l.undelivered()
	victim := left[slices.IndexFunc(left, c.l.isBig)]
	if err := os.Remove(filepath.Join(c.p.data, "spool", c.l.of(victim))); err != nil {
		t.Fatal(err)
	}
	if lost := c.drainBut(t, []string{victim}); !slices.Equal(lost, []string{victim}) {
		t.Errorf("lost %v, want %s", lost, victim)
	}
}
