// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// bench is one run of the whole command.
type bench struct {
	options
	tools    tools
	progress io.Writer
	settle   time.Duration // before memory is read
	stall    time.Duration // without an arrival, until the rest counts as lost
}

// measure does what the command line asks and writes the report.
func measure(ctx context.Context, o options, out, progress io.Writer) error {
	repo, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	o.dir, err = os.MkdirTemp(o.dir, "postroad-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(o.dir)
	if o.binary == "" {
		if o.binary, err = buildPostroad(ctx, repo, o.dir); err != nil {
			return err
		}
	}
	peers, notes, err := choose(allPeers(o, repo), o.peers)
	if err != nil {
		return err
	}
	b := &bench{options: o, progress: progress, settle: 3 * time.Second, stall: 30 * time.Second}
	if b.tools, err = o.openTools(); err != nil {
		return err
	}
	r := newReport(ctx, b, repo, peers, notes)
	if err := b.rounds(ctx, r); err != nil {
		return err
	}
	return r.publish(out, o.out)
}

func (o options) openTools() (tools, error) {
	if o.tools == "postfix" {
		return newPostfixTools()
	}
	return ownTools{o.self}, nil
}

// rounds measures every case of every peer once in each round; the peers take
// turns, and each round begins with another one. What varies little (memory,
// counts of calls), and peers that no target is about, have the first round alone.
func (b *bench) rounds(ctx context.Context, r *report) error {
	for round := range b.runs {
		for _, c := range r.cases {
			for i := range r.peers {
				p := r.peers[(i+round)%len(r.peers)]
				if round > 0 && (p.single || c.kind != relayed) || slices.Contains(p.without, c.name) {
					continue
				}
				s := b.one(ctx, b.of(c, p), p)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				r.add(c, p, s)
				fmt.Fprintf(b.progress, "%s round %d %s %s: %s\n", time.Now().Format(time.TimeOnly), round+1, c.name, p.name, s.line(c))
			}
		}
	}
	return nil
}

// of returns the case with the messages that p gets, which -n says for all.
func (b *bench) of(c benchCase, p peer) benchCase {
	if b.messages > 0 {
		return c
	}
	return p.loaded(c)
}

// one measures one case of one peer, on a fresh server with an empty queue.
// What goes wrong is in the sample.
func (b *bench) one(ctx context.Context, c benchCase, p peer) sample {
	s := newSample()
	g, err := b.setUp(ctx, c, p)
	if err == nil {
		defer g.tearDown()
		err = g.run(ctx, &s)
	}
	if err != nil {
		s.failed = err.Error()
	}
	return s
}

func newSample() (s sample) {
	for i := range s.values {
		s.values[i] = math.NaN()
	}
	return s
}

// rig is a running server with its next hop.
type rig struct {
	*bench
	c      benchCase
	dir    string
	hop    nextHop // nil when it is to be dead
	server *server
}

func (b *bench) setUp(ctx context.Context, c benchCase, p peer) (g *rig, err error) {
	g = &rig{bench: b, c: c}
	defer func() {
		if err != nil {
			g.tearDown()
		}
	}()
	if g.dir, err = os.MkdirTemp(b.dir, "run-"); err != nil {
		return g, err
	}
	addr, err := g.startHop()
	if err != nil {
		return g, err
	}
	own := filepath.Join(g.dir, "server")
	if err := os.Mkdir(own, 0o755); err != nil {
		return g, err
	}
	if err := openUp(b.dir, g.dir); err != nil {
		return g, err
	}
	g.server, err = p.start(ctx, place{dir: own, nextHop: addr, sessions: c.sessions})
	return g, err
}

// openUp lets servers that run as another user reach their folder.
func openUp(dirs ...string) error {
	for _, d := range dirs {
		if err := os.Chmod(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (g *rig) startHop() (string, error) {
	if g.c.kind == deferred {
		return freeAddress()
	}
	hop, err := g.tools.startSink(g.dir)
	if err != nil {
		return "", err
	}
	g.hop = hop
	return hop.address(), nil
}

func (g *rig) tearDown() {
	if g.server != nil {
		g.server.stop()
	}
	if g.hop != nil {
		g.hop.stop()
	}
	_ = os.RemoveAll(g.dir) // the whole folder goes at the end
}

func (g *rig) run(ctx context.Context, s *sample) error {
	switch g.c.kind {
	case held:
		return g.hold(ctx, s)
	case deferred:
		return g.fill(ctx, s)
	case traced:
		return g.trace(ctx, s)
	default:
		return g.relay(ctx, s)
	}
}
