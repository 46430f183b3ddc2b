// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report gathers samples and writes them as Markdown.
type report struct {
	started  time.Time
	machine  machine
	runs     int
	tools    string
	versions []string
	notes    []string
	cases    []benchCase
	peers    []peer
	samples  map[key][]sample // one for each round
}

type key struct{ c, peer string }

func newReport(ctx context.Context, b *bench, repo string, peers []peer, notes []string) *report {
	r := &report{started: time.Now(), machine: describe(ctx, repo, b.dir), runs: b.runs, tools: b.tools.describe(),
		notes: notes, cases: allCases(b.options), peers: peers, samples: map[key][]sample{}}
	if err := straceMissing(); err != nil {
		r.cases = slices.DeleteFunc(r.cases, func(c benchCase) bool { return c.kind == traced })
		r.notes = append(r.notes, fmt.Sprintf("system calls were not counted: %v", err))
	}
	if v, err := (exim{binary: b.exim}).version(ctx); err == nil {
		r.versions = append(r.versions, "Exim "+v)
	}
	if v, err := (postfix{}).setting(ctx, "mail_version"); err == nil {
		r.versions = append(r.versions, "Postfix "+v)
	}
	return r
}

func (r *report) add(c benchCase, p peer, s sample) {
	k := key{c.name, p.name}
	r.samples[k] = append(r.samples[k], s)
}

// publish writes the report to out and, with a folder, to a file named after
// the day. It returns an error when a case failed.
func (r *report) publish(out io.Writer, dir string) error {
	text := r.markdown()
	if _, err := io.WriteString(out, text); err != nil {
		return err
	}
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, r.fileName()), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return r.failures()
}

func (r *report) fileName() string { return "peers-" + r.started.Format(time.DateOnly) + ".md" }

func (r *report) failures() error {
	var all []error
	for _, c := range r.cases {
		for _, p := range r.peers {
			if why, n := r.failed(c, p); n > 0 {
				all = append(all, fmt.Errorf("%s %s failed: %s", c.name, p.name, why))
			}
		}
	}
	return errors.Join(all...)
}

// failed returns the first reason and the number of rounds that failed.
func (r *report) failed(c benchCase, p peer) (why string, n int) {
	for _, s := range r.samples[key{c.name, p.name}] {
		if s.failed == "" {
			continue
		}
		if n++; n == 1 {
			why = s.failed
		}
	}
	return why, n
}

func (r *report) markdown() string {
	var b strings.Builder
	r.head(&b)
	for _, c := range r.cases {
		r.table(&b, c)
		r.ratios(&b, c)
	}
	r.targets(&b)
	return b.String()
}

func (r *report) head(b *strings.Builder) {
	m := r.machine
	fmt.Fprintf(b, "# Postroad beside its peers, %s\n\n", r.started.Format(time.DateOnly))
	fmt.Fprintf(b, "Written by `go run ./core/bench`; core/docs/performance.md tells how it is measured and read.\n\n")
	fmt.Fprintf(b, "- Machine: %d cores, %s, %s, %s; queues on %s\n", m.cores, m.cpu, m.memory, m.kernel, m.fileSystem)
	fmt.Fprintf(b, "- Postroad %s, %s; %s\n", m.commit, m.goVersion, strings.Join(append(r.versions, fmt.Sprintf("%d rounds, interleaved; median (lowest–highest)", r.runs)), "; "))
	fmt.Fprintf(b, "- Load generator and next hop, on the same cores: %s\n", r.tools)
	for _, p := range r.peers {
		fmt.Fprintf(b, "- %s: %s%s\n", p.name, p.about, p.share())
	}
	for _, n := range r.notes {
		fmt.Fprintf(b, "- %s\n", n)
	}
}

// table writes one case: a row for each peer, a column for each metric.
func (r *report) table(b *strings.Builder, c benchCase) {
	fmt.Fprintf(b, "\n## %s: %s\n\n", c.name, c.title)
	fmt.Fprintf(b, "%s %s counted in each round", thousands(int64(c.messages)), c.unit())
	if c.kind == relayed {
		fmt.Fprintf(b, " after %d of warm-up", c.warmUp())
	}
	fmt.Fprint(b, ".\n\n| peer |")
	for _, m := range c.columns {
		fmt.Fprintf(b, " %s |", m)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(c.columns)))
	for _, p := range r.peers {
		if samples := r.samples[key{c.name, p.name}]; len(samples) > 0 {
			r.row(b, c, p, samples)
		}
	}
}

// share says what a peer is spared.
func (p peer) share() (text string) {
	if p.part > 1 {
		text += fmt.Sprintf("; 1/%d of the messages, at least %d", p.part, least)
	}
	if p.single {
		text += "; first round alone"
	}
	return text
}

func (c benchCase) unit() string {
	if c.kind == held {
		return "connections"
	}
	return fmt.Sprintf("messages of %s octets", thousands(int64(c.size)))
}

func (r *report) row(b *strings.Builder, c benchCase, p peer, samples []sample) {
	fmt.Fprintf(b, "| %s |", p.name)
	if why, n := r.failed(c, p); n > 0 {
		fmt.Fprintf(b, " **failed** in %d of %d: %s |\n", n, len(samples), oneLine(why))
		return
	}
	for _, m := range c.columns {
		fmt.Fprintf(b, " %s |", cell(column(samples, m)))
	}
	b.WriteByte('\n')
}

func cell(values []float64) string {
	if s, ok := spreadOf(values); ok {
		return s.String()
	}
	return "–"
}

func column(samples []sample, m metric) []float64 {
	var values []float64
	for _, s := range samples {
		values = append(values, s.values[m])
	}
	return values
}

// line is a sample in short, for those who wait.
func (s sample) line(c benchCase) string {
	if s.failed != "" {
		return "FAILED: " + s.failed
	}
	var parts []string
	for _, m := range c.columns[:min(3, len(c.columns))] {
		parts = append(parts, m.String()+" "+cell([]float64{s.values[m]}))
	}
	return strings.Join(parts, ", ")
}
