// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"crypto/tls"
	"fmt"
	"net/textproto"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// secure begins TLS.
func (c *client) secure() error {
	if err := c.must("EHLO client.test", "250 "); err != nil {
		return err
	}
	if err := c.must("STARTTLS", "220 "); err != nil {
		return err
	}
	conn := tls.Client(c.conn, c.g.cert.ClientConfig("relay.test"))
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn, c.c = conn, textproto.NewConn(conn)
	return nil
}

// attackers is how many sessions attack at once: they could keep every processor
// busy. The clock has one hand.
func (a attack) attackers() int {
	if a.phase == mail.PhaseTick {
		return 1
	}
	return runtime.GOMAXPROCS(0) + 1
}

// sees is what the client sees of the attack.
func (a attack) sees() string {
	switch {
	case a.outcome == limit:
		return "451 4.7.1 "
	case !a.faults() || a.phase >= mail.PhaseQueued || a.has("shadow") || a.has("canary"):
		return map[mail.Phase]string{mail.PhaseConnect: "220 ", mail.PhaseTick: ""}[a.phase] + map[bool]string{true: "250 "}[a.phase != mail.PhaseConnect && a.phase != mail.PhaseTick]
	case a.phase == mail.PhaseConnect, a.phase == mail.PhaseTLS:
		return "421 4.3.0 "
	}
	return "451 4.3.0 "
}

// siege attacks without a pause until the honest sessions are through: they
// complete while the guest does its worst. It returns how often it has attacked,
// and how long each honest message took.
func (g *rig) siege(a attack, sessions, each int) (attacks int, took []time.Duration) {
	var count atomic.Int64
	var besiegers sync.WaitGroup
	begun, over := make(chan struct{}, a.attackers()), make(chan struct{})
	for range a.attackers() {
		besiegers.Go(func() {
			if err := g.besiege(a, &count, begun, over); err != nil {
				g.t.Error(err)
			}
		})
	}
	for range a.attackers() {
		<-begun
	}
	took = g.calm(sessions, each)
	close(over)
	besiegers.Wait()
	return int(count.Load()), took
}

// besiege attacks until over is closed, at least twice: the second time it meets
// a new instance. In between, good mail passes in the same session.
func (g *rig) besiege(a attack, count *atomic.Int64, begun chan<- struct{}, over <-chan struct{}) error {
	var c *client
	var err error
	if a.when() != "" {
		c, err = g.dial("attacked")
	}
	begun <- struct{}{}
	if err != nil {
		return err
	}
	for n := 0; n < 2 || !closed(over); n++ {
		count.Add(1)
		got, err := g.strike(a, c)
		if err != nil || !strings.HasPrefix(got, a.sees()) {
			return fmt.Errorf("attack %d got %q, %v; want %q", n, got, err, a.sees())
		}
		if c != nil {
			if _, err := c.honest(); err != nil {
				return fmt.Errorf("behind attack %d: %w", n, err)
			}
		}
	}
	if c != nil {
		return c.conn.Close()
	}
	return nil
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// calm runs honest sessions at once, each with some messages, all of which must
// be taken. It returns how long each took.
func (g *rig) calm(sessions, each int) []time.Duration {
	var all sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for range sessions {
		all.Go(func() {
			c, err := g.dial("calm")
			if err != nil {
				g.t.Errorf("an honest session: %v", err)
				return
			}
			defer c.conn.Close()
			for range each {
				d, err := c.honest()
				if err != nil {
					g.t.Errorf("an honest session: %v", err)
					return
				}
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	return took
}
