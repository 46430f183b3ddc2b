// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/postroad-mail/postroad/core/bench/filters"
)

// added is a server with a filter that adds a header field, and the same server
// without.
type added struct{ without, with string }

func addedPairs() []added {
	return []added{
		{"postroad", "postroad+rust"}, {"postroad", "postroad+go"},
		{"postfix", "postfix+milter"}, {"postfix", "postfix+pymilter"},
		{"haraka", "haraka+plugin"},
	}
}

// peers measures servers with and without a filter that does the same job, on
// the same load.
func (o overhead) peers(ctx context.Context, repo string, progress io.Writer) (*report, error) {
	o.bench.runs = max(o.bench.runs, 1)
	if o.bench.binary == "" {
		var err error
		if o.bench.binary, err = buildPostroad(ctx, repo, o.bench.dir); err != nil {
			return nil, err
		}
	}
	all, err := o.addedPeers(ctx, repo)
	if err != nil {
		return nil, err
	}
	peers, notes, err := choose(all, nil)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o.bench, tools: ownTools{o.bench.self}, progress: progress, settle: 3 * time.Second, stall: 30 * time.Second}
	r := newReport(ctx, b, repo, peers, notes)
	r.cases = []benchCase{addedCase(o.bench.messages)}
	return r, b.rounds(ctx, r)
}

// addedCase keeps the server busy without filling its queue.
func addedCase(messages int) benchCase {
	return benchCase{"added", "8 sessions, connections kept", relayed, min(8, messages), true, messages, small, rates()}
}

// addedPeers writes the guests' modules and returns the servers.
func (o overhead) addedPeers(ctx context.Context, repo string) ([]peer, error) {
	plain := postroad{binary: o.bench.binary, repo: repo}
	pf, h := postfix{self: o.bench.self, dir: o.bench.dir}.inTune(), haraka{dir: o.haraka}
	peers := []peer{newPeer("postroad", "examples/smarthost.hcl: no stage", nothingMissing, plain.starter("examples/smarthost.hcl"))}
	for _, guest := range []string{"rust", filters.Go} {
		with, err := plain.running(ctx, guest, o.bench.dir)
		if err != nil {
			return nil, err
		}
		peers = append(peers, newPeer("postroad+"+guest, "core/bench/overhead.hcl: a stage in the language "+guest, nothingMissing,
			with.starter("core/bench/overhead.hcl")))
	}
	return append(peers,
		newPeer("postfix", "tuned for throughput, no milter", pf.missing, pf.starter(noMilter)),
		newPeer("postfix+milter", "with core/bench/milter.go, asked at the end of the message alone", pf.missing, pf.starter(goMilter)),
		newPeer("postfix+pymilter", "with core/bench/addfield.py: pymilter, on libmilter", pf.pythonMissing, pf.starter(pythonMilter)),
		newPeer("haraka", "Haraka "+h.version()+", relays through queue/smtp_forward, keeps nothing on disk", h.missing, h.starter()),
		newPeer("haraka+plugin", "with core/bench/haraka.js", h.missing, h.starter("filter")),
	), nil
}

// running returns a postroad that finds a guest's module in its environment.
func (p postroad) running(ctx context.Context, guest, dir string) (postroad, error) {
	module, err := filters.Module(ctx, guest)
	if err != nil {
		return p, err
	}
	file := filepath.Join(dir, guest+".wasm")
	p.env = []string{"POSTROAD_PLUGIN=" + file}
	if err := os.WriteFile(file, module, 0o644); err != nil {
		return p, fmt.Errorf("the guest's module: %w", err)
	}
	return p, nil
}
