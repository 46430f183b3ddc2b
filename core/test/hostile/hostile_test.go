// SPDX-License-Identifier: Apache-2.0

// Package hostile runs whole relays with plugins that mean harm: that loop for
// ever, recurse without end, take all memory, flood the log. Each is stopped
// within its budget and for the cause that its text names, costs its own
// message a 451, and nobody else anything.
package hostile

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

const (
	others = 10 // sessions that go on meanwhile
	each   = 3  // messages of each of them
	flood  = "a line of a log that nobody wants to read"

	bad  = "X-Attack: yes\r\nSubject: bad\r\n\r\nboom\r\n"
	good = "Subject: good\r\n\r\nIt works.\r\n"
)

// attackers is how many sessions have messages that meet the hostile plugin: it
// could keep every processor busy.
func attackers() int { return runtime.GOMAXPROCS(0) + 1 }

func TestAHostileGuestCostsOneMessage(t *testing.T) {
	for _, g := range hostileGuests(t) {
		if g.when != "hook" {
			continue
		}
		t.Run(g.name, func(t *testing.T) {
			r := newRig(t, g.config(marked, "tempfail"))
			attacks := r.siege()
			t.Logf("%d attacks, cause %s", attacks, g.cause)
			if got := r.failures(); len(got) != 1 || got["hostile "+g.cause] != attacks {
				t.Errorf("after %d attacks the failures are %v, want cause %s", attacks, got, g.cause)
			}
			r.goesOn()
			r.arrived(others*each + attackers())
			if n := strings.Count(r.log.String(), flood); n > 100*attacks || n == 0 && g.name == "log_flood" {
				t.Errorf("%d lines of the flood are in the log after %d attacks", n, attacks)
			}
		})
	}
}

// siege attacks without a pause until the other sessions are through: they
// complete while the guest does its worst. It returns the number of attacks.
func (g *rig) siege() int {
	var attacks atomic.Int64
	var besiegers, peaceful sync.WaitGroup
	begun := make(chan struct{}, attackers())
	over := make(chan struct{})
	for range attackers() {
		besiegers.Go(func() { g.attack(&attacks, begun, over) })
	}
	for range attackers() {
		<-begun
	}
	for range others {
		peaceful.Go(g.peaceful)
	}
	peaceful.Wait()
	close(over)
	besiegers.Wait()
	return int(attacks.Load())
}

// attack sends bad messages in one session until over is closed, at least two:
// the second one meets a new instance. Each gets a 451.
func (g *rig) attack(attacks *atomic.Int64, begun chan<- struct{}, over <-chan struct{}) {
	c, err := g.dial("attacked")
	begun <- struct{}{}
	if err != nil {
		g.t.Error(err)
		return
	}
	defer c.conn.Close()
	for n := 0; n < 2 || !closed(over); n++ {
		reply, err := c.send(bad)
		attacks.Add(1)
		if err != nil || !strings.HasPrefix(reply, "451 4.3.0 ") {
			g.t.Errorf("attack got %q, %v", reply, err)
			return
		}
	}
	if reply, err := c.send(good); err != nil || !strings.HasPrefix(reply, "250 ") { // in the same session
		g.t.Errorf("behind an attack a good message got %q, %v", reply, err)
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// peaceful is one of the other sessions.
func (g *rig) peaceful() {
	c, err := g.dial("calm")
	if err != nil {
		g.t.Error(err)
		return
	}
	defer c.conn.Close()
	for range each {
		if reply, err := c.send(good); err != nil || !strings.HasPrefix(reply, "250 ") {
			g.t.Errorf("another session got %q, %v", reply, err)
		}
	}
}

// goesOn checks that the relay is well after the attacks.
func (g *rig) goesOn() {
	g.t.Helper()
	if err := g.r.Healthy(); err != nil {
		g.t.Error(err)
	}
	if err := g.r.Idle(g.t.Context()); err != nil {
		g.t.Error(err)
	}
	if strings.Contains(g.log.String(), "panic") {
		g.t.Errorf("something panicked:\n%s", g.log)
	}
}

// arrived checks that n good messages have arrived as they were, and no other.
func (g *rig) arrived(n int) {
	g.t.Helper()
	ms := g.sink.Messages()
	if len(ms) != n {
		g.t.Errorf("%d messages arrived, want %d", len(ms), n)
	}
	for _, m := range ms {
		if s := string(m.Content); !strings.HasSuffix(s, "\r\n"+good) || strings.Contains(s, "X-") {
			g.t.Errorf("arrived: %q", s)
		}
	}
}

// TestAHostileGuestInTheSession stops guests after MAIL and after RCPT: that
// command gets the 451, and the session goes on.
func TestAHostileGuestInTheSession(t *testing.T) {
	for _, g := range hostileGuests(t) {
		if g.name != "loop" && g.name != "recurse" && g.name != "grow" && g.name != "deadline" {
			continue
		}
		t.Run(g.name+" at MAIL", func(t *testing.T) {
			r := newRig(t, g.inPhase(t, mail.PhaseMail).config(`envelope.sender_domain == "attack.test"`, "tempfail"))
			r.refusesAt(g.cause, "MAIL FROM:<a@attack.test>")
		})
		t.Run(g.name+" at RCPT", func(t *testing.T) {
			r := newRig(t, g.inPhase(t, mail.PhaseRcpt).config(`recipient.domain == "attack.test"`, "tempfail"))
			r.refusesAt(g.cause, "MAIL FROM:<a@here.test>", "RCPT TO:<b@attack.test>")
		})
	}
}

// refusesAt checks that the last of some commands gets a 451 and that good mail
// passes in the same session.
func (g *rig) refusesAt(cause string, lines ...string) {
	g.t.Helper()
	c, err := g.dial("attacked")
	if err != nil {
		g.t.Fatal(err)
	}
	defer c.conn.Close()
	for n := range 2 { // the second time with a new instance
		for i, line := range lines {
			code := 250
			if i == len(lines)-1 {
				code = 451
			}
			if err := c.ask(line, code); err != nil {
				g.t.Fatalf("%s: %v", line, err)
			}
		}
		if err := c.ask("RSET", 250); err != nil {
			g.t.Fatal(err)
		}
		if got := g.failures(); len(got) != 1 || got["hostile "+cause] != n+1 {
			g.t.Errorf("failures %v, want %d with cause %s", got, n+1, cause)
		}
	}
	if reply, err := c.send(good); err != nil || !strings.HasPrefix(reply, "250 ") {
		g.t.Errorf("a good message got %q, %v", reply, err)
	}
	g.goesOn()
	g.arrived(1)
}

// TestNothingOfAFailedGuestStays lets mail pass when the guest fails: none of
// the thousand header fields that it added is in it.
func TestNothingOfAFailedGuestStays(t *testing.T) {
	for _, g := range hostileGuests(t) {
		if g.name != "header_flood" {
			continue
		}
		r := newRig(t, g.config(marked, "skip"))
		c, err := r.dial("attacked")
		if err != nil {
			t.Fatal(err)
		}
		defer c.conn.Close()
		if reply, err := c.send(bad); err != nil || !strings.HasPrefix(reply, "250 ") {
			t.Fatalf("got %q, %v", reply, err)
		}
		r.goesOn()
		if ms := r.sink.Messages(); len(ms) != 1 || !strings.HasSuffix(string(ms[0].Content), "\r\n"+bad) || strings.Contains(string(ms[0].Content), "X-Flood") {
			t.Errorf("arrived: %.1000s", fmt.Sprintf("%+v", ms))
		}
		if got := r.failures(); got["hostile fuel"] != 1 {
			t.Errorf("failures %v", got)
		}
		return
	}
	t.Error("there is no guest that floods the header")
}

// TestAGuestThatFailsAtItsStartIsRefused: it never comes into a pipeline, and
// the error names the stage, its place and the cause.
func TestAGuestThatFailsAtItsStartIsRefused(t *testing.T) {
	found := 0
	for _, g := range hostileGuests(t) {
		if g.when == "hook" {
			continue
		}
		found++
		t.Run(g.name, func(t *testing.T) {
			r, err := open(t, g.config(marked, "tempfail"))
			if err == nil {
				r.r.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, relay.ErrConfig) {
				t.Errorf("%v is not %v", err, relay.ErrConfig)
			}
			for _, w := range []string{"test.hcl:", `"hostile"`, g.cause} {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in %v", w, err)
				}
			}
		})
	}
	if found == 0 {
		t.Error("no guest fails at its start")
	}
}

// TestEveryBudgetIsTried keeps the guests of this folder from missing a cause.
func TestEveryBudgetIsTried(t *testing.T) {
	tried := map[string]bool{}
	for _, g := range hostileGuests(t) {
		if g.when == "hook" {
			tried[g.cause] = true
		}
	}
	for _, cause := range []string{"fuel", "deadline", "depth", "memory", "trap", "verdict", "error"} {
		if !tried[cause] {
			t.Errorf("no guest is stopped with cause %s", cause)
		}
	}
}
