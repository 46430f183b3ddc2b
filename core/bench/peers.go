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
	return []string{"postroad", "postroad+1", "postroad+3", "postfix", "postfix+milter", "none"}
}

// allPeers makes the peers; repo is the module's folder, binary postroad's.
func allPeers(o options, repo string) []peer {
	pr := postroad{binary: o.binary, repo: repo}
	pf := postfix{o.self, o.dir}
	return []peer{
		{"postroad", "examples/smarthost.hcl: no stage", nothingMissing, pr.starter("examples/smarthost.hcl")},
		{"postroad+1", "core/bench/filter.hcl: the plugin filter", nothingMissing, pr.starter("core/bench/filter.hcl")},
		{"postroad+3", "examples/smarthost-filtered.hcl: ratelimit, filter, rewrite", nothingMissing, pr.starter("examples/smarthost-filtered.hcl")},
		{"postfix", "relays to the next hop, no milter", pf.missing, pf.starter(noMilter)},
		{"postfix+milter", "with a milter that adds one header field at the end of the message", pf.missing, pf.starter(goMilter)},
		{"none", "load generator and next hop without a server: the ceiling of the tools", nothingMissing, startNone},
	}
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
