// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"strings"
	"sync"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

const (
	hoarded = 4  // instances that the plugin may have
	clients = 24 // that want one for as long as they are there
)

// TestHoarders lets clients keep the instances of a plugin whose isolation gives
// each connection, or each message, one of its own, and say nothing more. Others
// of the same plugin are put off; mail that does not need it is not touched.
func TestHoarders(t *testing.T) {
	scale := campaign()
	for isolation, phase := range map[string]mail.Phase{"session": mail.PhaseConnect, "message": mail.PhaseMail} {
		t.Run(isolation, func(t *testing.T) {
			a := attack{row{module: "hoard", with: []string{"slow", "memory=4MiB", "instances=4", "isolation=" + isolation}, outcome: "pool"}, phase}
			g := newRig(t)
			if err := g.reload(a.config(g.web), a.load(t)); err != nil {
				t.Fatal(err)
			}
			grown := watchMemory()
			held := g.hoard(a)
			g.calm(scale.sessions, scale.each)
			if n := g.figure(`postroad_plugin_instances{stage="hostile"}`); n != hoarded {
				t.Errorf("%d instances live, want %d", n, hoarded)
			}
			if got := g.failures(); len(got) != 1 || got["hostile pool"] != clients-hoarded {
				t.Errorf("failures %v", got)
			}
			for _, c := range held {
				c.conn.Close()
			}
			if n := grown(); n > memoryBound {
				t.Errorf("memory grew by %d MiB", n>>20)
			}
			g.settled(a)
			g.well()
			g.gone()
		})
	}
}

// hoard opens connections that stay, and returns them. All but as many as there
// are instances are put off.
func (g *rig) hoard(a attack) []*client {
	var all sync.WaitGroup
	var mu sync.Mutex
	var held []*client
	kept := 0
	for range clients {
		all.Go(func() {
			c, got, err := g.begin(a)
			if err != nil {
				g.t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			held = append(held, c)
			if strings.HasPrefix(got, "2") {
				kept++
			} else if !strings.HasPrefix(got, a.sees()) {
				g.t.Errorf("a client got %q", got)
			}
		})
	}
	all.Wait()
	if kept != hoarded {
		g.t.Errorf("%d clients have an instance, want %d", kept, hoarded)
	}
	return held
}

// begin gets as far as the hook that takes an instance.
func (g *rig) begin(a attack) (*client, string, error) {
	if a.phase == mail.PhaseConnect {
		return g.connect("attacked")
	}
	c, err := g.dial("attacked")
	if err != nil {
		return nil, "", err
	}
	got, err := c.ask("MAIL FROM:<a@attack.test>")
	return c, got, err
}

// TestAPluginThatFailsAndFailsIsNotCalled: after ten failures on_error is applied
// at once, so that not even the time until a fault is spent, and a figure says so.
func TestAPluginThatFailsAndFailsIsNotCalled(t *testing.T) {
	scale := campaign()
	a := attack{row{module: "deadline", with: []string{"slow", "memory=32MiB", "breaker"}, outcome: "deadline"}, mail.PhaseMessage}
	g := newRig(t)
	if err := g.reload(a.config(g.web), a.load(t)); err != nil {
		t.Fatal(err)
	}
	attacks, _ := g.siege(a, scale.sessions, scale.each)
	c, err := g.dial("attacked")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, err := g.strike(a, c); err != nil || !strings.HasPrefix(got, a.sees()) {
			t.Fatalf("got %q, %v", got, err)
		}
	}
	got := g.failures()
	if called := got["hostile deadline"]; called < 10 || got["hostile breaker"] == 0 || called+got["hostile breaker"] != attacks+20 {
		t.Errorf("after %d attacks the failures are %v", attacks+20, got)
	}
	if g.figure(`postroad_stage_broken{stage="hostile"}`) != 1 {
		t.Error("no figure says that the stage is broken")
	}
	if err := c.conn.Close(); err != nil {
		t.Error(err)
	}
	g.settled(a)
	g.well()
}
