// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
)

// peer is a kind of server that can be measured.
type peer struct {
	name    string
	about   string
	missing func() error // why it cannot be measured here; nil = it can
	start   func(ctx context.Context, p place) (*server, error)

	part    int      // of a case's messages: 1 = all, 2 = half
	single  bool     // in the first round alone
	without []string // cases
}

// place is what a server is started with.
type place struct {
	dir      string // empty, its own
	nextHop  string // host:port to which everything is relayed
	sessions int    // connections it has to take at once
}

// server is a running peer. The CPU time and memory of processes and of what
// descends from them are the peer's.
type server struct {
	addr      string
	processes []*process
	detached  bool                                   // what it forks leaves it: its CPU time and writes are not known
	queued    func(context.Context) (int, error)     // messages in its queue
	syncs     func(context.Context) (float64, error) // syncs of its log so far; nil = not known
}

func (s *server) pids() []int {
	var ids []int
	for _, p := range s.processes {
		ids = append(ids, p.pid())
	}
	return ids
}

// stop ends the processes in the reverse order of their start.
func (s *server) stop() {
	for _, p := range slices.Backward(s.processes) {
		p.stop()
	}
}

// peerNames are the peers in the order of the report.
func peerNames() []string {
	var names []string
	for _, p := range allPeers(options{}, "") {
		names = append(names, p.name)
	}
	return names
}

// allPeers makes the peers; repo is the module's folder.
func allPeers(o options, repo string) []peer {
	pr := postroad{binary: o.binary, repo: repo}
	pf, ex, h := postfix{self: o.self, dir: o.dir}, exim{o.exim, o.dir}, haraka{dir: o.haraka, queue: true}
	return []peer{
		newPeer("postroad", "examples/smarthost.hcl: no stage. Its 250 comes after a sync of its log that messages share", nothingMissing,
			pr.starter("examples/smarthost.hcl")),
		newPeer("postroad+1", "core/bench/filter.hcl: the plugin filter", nothingMissing, pr.starter("core/bench/filter.hcl")).except("idle1000", "deferred"),
		newPeer("postroad+3", "examples/smarthost-filtered.hcl: ratelimit, filter, rewrite", nothingMissing, pr.starter("examples/smarthost-filtered.hcl")),
		newPeer("postfix", "Debian's configuration (core/bench/main.cf), as a relay to the next hop. Its 250 comes after an fsync of the queue file",
			pf.missing, pf.starter(noMilter)).slow(2),
		newPeer("postfix+milter", "the same with a milter that adds one header field at the end of the message", pf.missing,
			pf.starter(goMilter)).slow(2).except("idle1000", "deferred"),
		newPeer("postfix-tuned", "tuned for throughput (core/bench/main-tuned.cf)", pf.missing, pf.inTune().starter(noMilter)).slow(2).once().except("idle1000", "deferred"),
		newPeer("exim", "delivers each message at once, in a process of its own. Its 250 comes after fsyncs of two spool files and a log. "+
			"Those processes leave their parent, so that their CPU time is not known and is among the others'",
			ex.missing, ex.start).slow(12).once().except("deferred"),
		newPeer("haraka", "Haraka "+h.version()+", its own outbound queue. Its 250 comes after an fsync of the queue file", h.missing, h.starter()).slow(4).once(),
		newPeer("none", "load generator and next hop without a server: the ceiling of the tools", nothingMissing,
			startNone).once().except("idle1000", "deferred", "syncs"),
	}
}

// newPeer returns a peer that is measured in every case and round.
func newPeer(name, about string, missing func() error, start func(context.Context, place) (*server, error)) peer {
	return peer{name: name, about: about, missing: missing, start: start, part: 1}
}

// slow has it measured with the n-th part of a case's own number of messages,
// where they are relayed, so that it does not take n times the time.
func (p peer) slow(n int) peer {
	p.part = n
	return p
}

// once has it measured in the first round alone: no target is about it.
func (p peer) once() peer {
	p.single = true
	return p
}

// except leaves cases out.
func (p peer) except(cases ...string) peer {
	p.without = cases
	return p
}

// least is how many messages slow leaves.
const least = 50

// loaded returns the case with the number of messages that the peer gets.
func (p peer) loaded(c benchCase) benchCase {
	if c.kind == relayed && p.part > 1 {
		c.messages = min(c.messages, max(c.messages/p.part, c.sessions, least))
	}
	return c
}

func nothingMissing() error { return nil }

// startNone has the load generator talk to the next hop.
func startNone(_ context.Context, p place) (*server, error) { return &server{addr: p.nextHop}, nil }

// choose returns the peers that were asked for, or all that can be measured
// here, and a note about each that cannot.
func choose(all []peer, names []string) (chosen []peer, notes []string, err error) {
	for _, p := range all {
		asked := slices.Contains(names, p.name)
		if len(names) > 0 && !asked {
			continue
		}
		why := p.missing()
		switch {
		case why == nil:
			chosen = append(chosen, p)
		case asked:
			return nil, nil, fmt.Errorf("%s cannot be measured here: %w", p.name, why)
		default:
			notes = append(notes, fmt.Sprintf("%s was left out: %v", p.name, why))
		}
	}
	return chosen, notes, nil
}
