// SPDX-License-Identifier: Apache-2.0

// Package soak runs one relay for a long time: kept sessions send without a
// pause through a plugin in Go and two in Rust, while the configuration is
// reloaded again and again, modules are swapped and a candidate is promoted and
// rolled back. Every message must arrive once, made by one generation and by
// that which its transaction began with; no session may be dropped; and after
// each reload the instances, the memory and the goroutines must be what they
// were.
//
// `go test` runs a short campaign. POSTROAD_SOAK_MESSAGES and
// POSTROAD_SOAK_RELOADS set its length, POSTROAD_SOAK_REPORT names a file for
// its figures.
package soak

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	shortMessages = 3000
	shortReloads  = 6

	sessions   = 20
	straddlers = 4 // sessions that are inside of a transaction at a change

	// patience bounds what must happen; nothing is measured with it.
	patience = 2 * time.Minute
)

func TestSoak(t *testing.T) {
	c := newCampaign(t, number(t, "POSTROAD_SOAK_MESSAGES", shortMessages), number(t, "POSTROAD_SOAK_RELOADS", shortReloads))
	for _, fault := range c.run() {
		t.Error(fault)
	}
	t.Log(c.summary())
	if file := os.Getenv("POSTROAD_SOAK_REPORT"); file != "" {
		if err := os.WriteFile(file, []byte(c.report()), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// TestATransactionThatNeverEndsIsFound: it keeps its generation alive, which is
// what a leak looks like from outside.
func TestATransactionThatNeverEndsIsFound(t *testing.T) {
	c := newCampaign(t, 200, 1)
	c.settle = 100 * time.Millisecond
	guest := newClient(c, sessions)
	if err := guest.open(); err != nil {
		t.Fatal(err)
	}
	defer guest.conn.Close()
	if err := guest.ask("MAIL FROM:<guest@here.test>\r\n", 250); err != nil {
		t.Fatal(err)
	}
	faults := c.run()
	if len(faults) != 1 || !strings.Contains(faults[0], "the instances are map[go:") {
		t.Errorf("faults %q", faults)
	}
}

func number(t *testing.T, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of messages or reloads", name, s)
	}
	return n
}

// campaign is one relay, its clients and its next hop, and what is known of all.
type campaign struct {
	t        *testing.T
	messages int
	reloads  int
	settle   time.Duration // in which what ends must be gone

	p       *plant
	l       *ledger
	g       *gate
	clients []*client
	changes int
	samples []sample
	began   time.Time
	sending time.Duration // without the pauses
}

func newCampaign(t *testing.T, messages, reloads int) *campaign {
	l := newLedger(sessions+1, messages)
	c := &campaign{t: t, messages: messages, reloads: reloads, settle: 10 * time.Second, l: l, g: newGate(messages)}
	c.p = newPlant(t, l)
	l.publish(c.p.now)
	l.settle()
	for n := range sessions {
		c.clients = append(c.clients, newClient(c, n))
	}
	return c
}

// run sends all messages, with reloads at even distances, and more messages while
// the last changes are made if there is nothing else to do. It returns what
// went wrong.
func (c *campaign) run() []string {
	c.began = time.Now()
	for _, cl := range c.clients {
		c.g.wg.Go(cl.run)
	}
	for step := 1; step <= c.reloads && c.g.sent(c.messages*step/(c.reloads+1)); step++ {
		c.change(c.p.reload(step))
		c.change(c.p.decision(step))
		c.quiet()
	}
	if c.g.finish() {
		c.quiet()
	}
	c.g.end()
	if !c.g.dead() {
		c.hangUp()
	}
	faults := slices.Concat(c.g.faults(), c.l.faults())
	if len(faults) == 0 {
		faults = slices.Concat(c.complete(), c.bounds())
	}
	if noise := c.p.log.String(); noise != "" {
		faults = append(faults, "the relay logged:\n"+noise)
	}
	return faults
}

// complete tells what the campaign itself owes: all messages, and transactions
// that lived through each change.
func (c *campaign) complete() (faults []string) {
	if c.l.acked < c.messages || c.l.arrived != c.l.acked {
		faults = append(faults, fmt.Sprintf("%d messages were acknowledged and %d arrived, want %d of both", c.l.acked, c.l.arrived, c.messages))
	}
	if want := straddlers * c.changes; c.l.old < want || c.changes != 2*c.reloads {
		faults = append(faults, fmt.Sprintf("%d messages of %d changes ended behind the change, want %d", c.l.old, c.changes, want))
	}
	return faults
}

// change makes a change while all sessions send and some are in the middle of a
// transaction, which must end as it began.
func (c *campaign) change(to epoch, carryOut func() error) {
	h := &hold{die: c.g.dying, out: newSignal()}
	defer h.release()
	for i := range straddlers {
		h.add(c.clients[(c.changes*straddlers+i)%sessions])
	}
	h.wait()
	c.l.publish(to)
	if err := carryOut(); err != nil {
		c.g.fail(fmt.Errorf("change to %+v: %w", to, err))
	}
	c.l.settle()
	c.changes++
}

// quiet stops all clients between two transactions, with their connections open,
// and looks at what is left: nothing is queued, and after one more reload, which
// each session follows at its next MAIL, each stage has one instance.
func (c *campaign) quiet() {
	began := time.Now()
	defer c.g.open()
	if !c.g.stop() {
		return
	}
	c.sending += began.Sub(c.resumed())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.p.r.Idle(ctx); err != nil {
		c.g.fail(err)
	}
	for _, id := range c.l.missing() {
		c.g.fail(fmt.Errorf("%s was acknowledged and has not arrived", id))
	}
	if err := c.p.r.Reload(ctx); err != nil {
		c.g.fail(err)
	}
	for _, cl := range c.clients {
		if err := cl.follow(); err != nil {
			c.g.fail(err)
		}
	}
	if err := c.p.settled(c.settle); err != nil {
		c.g.fail(fmt.Errorf("after reload %d: %w", len(c.samples)+1, err))
	}
	c.samples = append(c.samples, c.sample())
}

// resumed is when the clients began to send the last time.
func (c *campaign) resumed() time.Time {
	if len(c.samples) == 0 {
		return c.began
	}
	return c.samples[len(c.samples)-1].at
}

// hangUp ends every session in order: each still has the connection that it began
// with.
func (c *campaign) hangUp() {
	for _, cl := range c.clients {
		if err := cl.ask("QUIT\r\n", 221); err != nil {
			c.g.fail(err)
		}
	}
}
