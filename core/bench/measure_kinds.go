// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"
)

const mib = 1 << 20

// relay sends a warm-up and then the counted messages, and waits until all of
// them are at the next hop.
func (g *rig) relay(ctx context.Context, s *sample) error {
	warm := g.c.warmUp()
	if _, _, err := g.through(ctx, 0, warm); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	if err := g.hop.reset(); err != nil {
		return err
	}
	before := g.read(ctx)
	sent, came, err := g.through(ctx, warm, g.c.messages)
	if err != nil {
		return err
	}
	g.rates(s, sent, came)
	g.shares(s, before, g.read(ctx), sent)
	g.pause(ctx) // what is settled after delivery belongs to the message too
	g.costs(s, before, g.read(ctx))
	s.values[afterMemory], s.values[afterOwn] = g.memory()
	return nil
}

// through sends n messages and waits for them. It fails when one is refused,
// lost, damaged or there twice.
func (g *rig) through(ctx context.Context, first, n int) (loaded, arrival, error) {
	sent, err := g.load(ctx, first, n)
	if err != nil {
		return sent, arrival{}, err
	}
	came, err := g.hop.wait(n, g.stall)
	switch {
	case err != nil:
		return sent, came, err
	case came.Messages != n || came.Damaged > 0 || came.Duplicates > 0:
		return sent, came, fmt.Errorf("of %d accepted messages %d arrived, %d damaged, %d more than once",
			n, came.Messages, came.Damaged, came.Duplicates)
	}
	return sent, came, nil
}

// load fails when a message is refused.
func (g *rig) load(ctx context.Context, first, n int) (loaded, error) {
	sent, err := g.tools.load(ctx, job{Addr: g.server.addr, Sessions: g.c.sessions, First: first, Messages: n, Size: g.c.size, Keep: g.c.keep})
	if err == nil && (sent.Accepted != n || sent.Fault != "") {
		err = fmt.Errorf("%d of %d messages were accepted: %s", sent.Accepted, n, sent.Fault)
	}
	return sent, err
}

// rates fills in what the clock says.
func (g *rig) rates(s *sample, sent loaded, came arrival) {
	n, mb := float64(g.c.messages), float64(g.c.messages)*float64(g.c.size)/1e6
	in, through := seconds(sent.Start, sent.End), seconds(sent.Start, max(came.Last, sent.End))
	s.values[accepted], s.values[delivered] = n/in, n/through
	s.values[acceptedMB], s.values[deliveredMB] = mb/in, mb/through
	s.values[connections] = float64(came.Connections) / n
	if sent.P50 > 0 {
		s.values[p50], s.values[p99] = milliseconds(sent.P50), milliseconds(sent.P99)
	}
}

func seconds(from, to int64) float64 { return time.Duration(to - from).Seconds() }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// reading is what the counters of the machine and the server say at a moment.
type reading struct {
	at                 time.Time
	server, sink, busy time.Duration
	syncs              float64 // NaN = not known
	written, device    float64 // octets
}

func (g *rig) read(ctx context.Context) reading {
	r := reading{at: time.Now(), server: cpuTime(g.server.pids()...), busy: busyTime(), syncs: math.NaN(),
		written: written(g.server.pids()...), device: deviceWritten(g.dir)}
	if g.hop != nil {
		r.sink = cpuTime(g.hop.pid())
	}
	if g.server.syncs != nil {
		if n, err := g.server.syncs(ctx); err == nil {
			r.syncs = n
		}
	}
	return r
}

// costs fills in what the messages took of the server between two readings.
func (g *rig) costs(s *sample, from, to reading) {
	n := float64(g.c.messages)
	if len(g.server.processes) > 0 && !g.server.detached {
		cpu := milliseconds(to.server - from.server)
		s.values[cpuPerMessage], s.values[cpuPerMB] = cpu/n, cpu/(n*float64(g.c.size)/1e6)
		s.values[writtenByIt], s.values[writtenToDisk] = (to.written-from.written)/n/1024, (to.device-from.device)/n/1024
	}
	s.values[syncs] = (to.syncs - from.syncs) / n
}

// shares fills in what everything else took of the machine between two
// readings.
func (g *rig) shares(s *sample, from, to reading, sent loaded) {
	n := float64(g.c.messages)
	s.values[loadCPU], s.values[sinkCPU] = milliseconds(sent.CPU)/n, milliseconds(to.sink-from.sink)/n
	ours := to.server - from.server + to.sink - from.sink + sent.CPU
	s.values[others] = max(0, (to.busy-from.busy-ours).Seconds()/to.at.Sub(from.at).Seconds())
}

// hold opens idle connections and reads the memory.
func (g *rig) hold(ctx context.Context, s *sample) error {
	g.pause(ctx)
	s.values[idleMemory], s.values[idleOwn] = g.memory()
	h, _, err := startHelper(g.self, filepath.Join(g.dir, "hold.log"), "hold", g.server.addr, strconv.Itoa(g.c.messages))
	if err != nil {
		return err
	}
	defer h.stop()
	g.pause(ctx)
	s.values[afterMemory], s.values[afterOwn] = g.memory()
	return nil
}

// fill puts messages into the queue that cannot leave it.
func (g *rig) fill(ctx context.Context, s *sample) error {
	before := g.read(ctx)
	sent, err := g.load(ctx, 0, g.c.messages)
	if err != nil {
		return err
	}
	s.values[accepted] = float64(g.c.messages) / seconds(sent.Start, sent.End)
	g.shares(s, before, g.read(ctx), sent)
	g.pause(ctx)
	s.values[afterMemory], s.values[afterOwn] = g.memory()
	s.values[disk] = float64(diskUse(filepath.Join(g.dir, "server"))) / mib
	n, err := g.server.queued(ctx)
	if err == nil && n != g.c.messages {
		err = fmt.Errorf("of %d accepted messages %d are in the queue", g.c.messages, n)
	}
	return err
}

// memory is that of the server, in MiB, and its anonymous part; not known when
// there is none.
func (g *rig) memory() (all, own float64) {
	a, o := memory(g.server.pids()...)
	if a == 0 {
		return math.NaN(), math.NaN()
	}
	return float64(a) / mib, float64(o) / mib
}

// pause lets the server come to rest.
func (g *rig) pause(ctx context.Context) {
	select {
	case <-time.After(g.settle):
	case <-ctx.Done():
	}
}
