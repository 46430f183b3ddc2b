// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// job is what the load generator is asked to do: send messages number First to
// First+Messages-1 in Sessions parallel sessions, as a plain client does that
// waits for each reply. Keep sends all of a session's messages through one
// connection; without it each message has a connection of its own.
type job struct {
	Addr                            string
	Sessions, First, Messages, Size int
	Keep                            bool
}

// loaded is what came of it. Accepted counts replies of 250 to the data.
type loaded struct {
	Accepted   int
	Start, End int64 // Unix nanoseconds: first connection, last 250
	P50, P99   time.Duration
	Fault      string        // the first refusal or lost connection
	CPU        time.Duration // of the generator, filled in by who started it
}

// loadProcess reads a job from in and writes what came of it to out, as JSON.
func loadProcess(ctx context.Context, _ []string, in io.Reader, out io.Writer) error {
	var j job
	if err := json.NewDecoder(in).Decode(&j); err != nil {
		return fmt.Errorf("load: reading the job: %w", err)
	}
	return json.NewEncoder(out).Encode(j.run(ctx))
}

// run sends the messages and waits for the end of all sessions.
func (j job) run(ctx context.Context) loaded {
	g := &generator{job: j, maker: newMaker(j.Size)}
	start := time.Now()
	var all sync.WaitGroup
	for range j.Sessions {
		all.Go(func() { g.session(ctx) })
	}
	all.Wait()
	return g.result(start)
}

// generator is what the sessions of a job share.
type generator struct {
	job
	maker *maker
	next  atomic.Int64

	mu    sync.Mutex
	last  time.Time
	waits []time.Duration // from the end of data to 250
	fault error
}

// session sends messages until none is left or one fails.
func (g *generator) session(ctx context.Context) {
	c := &client{addr: g.Addr}
	defer c.quit()
	var waits []time.Duration
	var last time.Time
	var err error
	for n := g.take(); n >= 0 && err == nil && ctx.Err() == nil; n = g.take() {
		var wait time.Duration
		if wait, err = g.one(c, n); err == nil {
			waits, last = append(waits, wait), time.Now()
		}
	}
	g.add(waits, last, err)
}

// take returns the number of the next message, -1 when none is left.
func (g *generator) take() int {
	if n := int(g.next.Add(1)) - 1; n < g.Messages {
		return g.First + n
	}
	return -1
}

func (g *generator) one(c *client, n int) (time.Duration, error) {
	wait, err := c.send(g.maker, n)
	if err == nil && !g.Keep {
		c.quit()
	}
	return wait, err
}

func (g *generator) add(waits []time.Duration, last time.Time, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waits = append(g.waits, waits...)
	if last.After(g.last) {
		g.last = last
	}
	if g.fault == nil {
		g.fault = err
	}
}

func (g *generator) result(start time.Time) loaded {
	r := loaded{Accepted: len(g.waits), Start: start.UnixNano(), End: g.last.UnixNano()}
	if g.fault != nil {
		r.Fault = g.fault.Error()
	}
	if len(g.waits) > 0 {
		slices.Sort(g.waits)
		r.P50, r.P99 = g.waits[len(g.waits)/2], g.waits[len(g.waits)*99/100]
	}
	return r
}

// holdProcess opens connections, says EHLO on each, and keeps them idle until
// in ends: args are the address and the number.
func holdProcess(_ context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 2 {
		return errors.New("hold needs an address and a number")
	}
	var n int
	if _, err := fmt.Sscan(args[1], &n); err != nil {
		return fmt.Errorf("hold: %w", err)
	}
	open := make([]*client, n)
	for i := range open {
		open[i] = &client{addr: args[0]}
		if err := open[i].open(); err != nil {
			return fmt.Errorf("hold: connection %d: %w", i+1, err)
		}
	}
	fmt.Fprintln(out, n)
	_, err := io.Copy(io.Discard, in)
	for _, c := range open {
		c.quit()
	}
	return err
}
