// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scale is how much of the table is run, beside how much honest mail.
type scale struct {
	everyPhase     bool
	sessions, each int
}

// result is what one attack came to.
type result struct {
	attacks        int
	memory         int64 // octets more than before
	before, during []time.Duration
}

// report collects results by class, for the file that POSTROAD_HOSTILE_REPORT
// names.
type report struct {
	path    string
	text    string // in front of what it collects
	scale   scale
	lines   []string
	classes map[string]*class
}

// class is what all attacks of one class came to.
type class struct {
	modules        map[string]bool
	places         int
	attacks        int
	memory         int64
	before, during []time.Duration
}

// campaign returns what the environment asks for: POSTROAD_HOSTILE_SESSIONS is
// the number of honest sessions beside each attack in each phase.
func campaign() scale {
	n, _ := strconv.Atoi(os.Getenv("POSTROAD_HOSTILE_SESSIONS"))
	if n == 0 {
		return scale{sessions: 5, each: 1}
	}
	return scale{everyPhase: true, sessions: n, each: 2}
}

// newReport returns a report that is written when the test ends.
func newReport(t *testing.T, s scale) *report {
	r := &report{path: os.Getenv("POSTROAD_HOSTILE_REPORT"), scale: s, classes: map[string]*class{}}
	t.Cleanup(func() { r.write(t) })
	return r
}

func (r *report) add(a attack, res result) {
	c := r.classes[a.class]
	if c == nil {
		c = &class{modules: map[string]bool{}}
		r.classes[a.class] = c
	}
	c.modules[a.module] = true
	c.places++
	c.attacks += res.attacks
	c.memory = max(c.memory, res.memory)
	c.before, c.during = append(c.before, res.before...), append(c.during, res.during...)
	seen := strings.TrimSpace(a.sees())
	if seen == "" {
		seen = "nothing"
	}
	r.lines = append(r.lines, fmt.Sprintf("%-28s %-12s %-10s %-10s %5d attacks %s", a.module+map[bool]string{true: "/" + a.number}[a.number != ""], a.phase, a.outcome, seen, res.attacks, spread(res.during)))
}

// write appends the report to its file, if one is asked for.
func (r *report) write(t *testing.T) {
	if r.path == "" {
		return
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	text := r.text
	if len(r.classes) > 0 {
		text += r.table()
		r.judge(t)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Error(err)
	}
}

// table spells what was collected.
func (r *report) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "each attack beside %d honest sessions of %d messages; honest mail in ms, from MAIL to the 250; memory in MiB above what it was before\n\n", r.scale.sessions, r.scale.each)
	fmt.Fprintf(&b, "%-14s %7s %7s %8s %6s | %8s %8s %8s | %8s %8s %8s\n", "class", "modules", "places", "attacks", "memory", "p50", "p99", "max", "p50", "p99", "max")
	fmt.Fprintf(&b, "%-46s | %26s | %26s\n", "", "without the attack", "with it")
	for _, name := range slices.Sorted(maps.Keys(r.classes)) {
		c := r.classes[name]
		fmt.Fprintf(&b, "%-14s %7d %7d %8d %6d | %s | %s\n", name, len(c.modules), c.places, c.attacks, c.memory>>20, spread(c.before), spread(c.during))
	}
	fmt.Fprintf(&b, "\n%s\n\n", strings.Join(r.lines, "\n"))
	return b.String()
}

// slowest is what honest mail waits for its 250 at most, in 99 of 100 cases,
// beside any class of attacks: twice the deadline of a session's phase, with the
// limits of the suite and two processors. core/docs/security.md says so. Only a
// campaign looks at it: a test on a busy machine must not.
const slowest = 500 * time.Millisecond

func (r *report) judge(t *testing.T) {
	for name, c := range r.classes {
		if got := percentile(c.during, 0.99); got > slowest {
			t.Errorf("class %s: one in a hundred honest messages waits longer than %v, %v", name, slowest, got)
		}
	}
}

// percentile returns the duration that a share of d is below. It sorts d.
func percentile(d []time.Duration, share float64) time.Duration {
	slices.Sort(d)
	if len(d) == 0 {
		return 0
	}
	return d[min(len(d)-1, int(share*float64(len(d))))]
}

// spread spells median, 99th percentile and maximum in milliseconds.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return fmt.Sprintf("%8s %8s %8s", "-", "-", "-")
	}
	ms := func(share float64) float64 { return float64(percentile(d, share)) / float64(time.Millisecond) }
	return fmt.Sprintf("%8.1f %8.1f %8.1f", ms(0.5), ms(0.99), ms(1))
}

// modules returns the names of all that are kept as text.
func modules(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, dir := range []string{ours, shared} {
		files, err := filepath.Glob(filepath.Join(dir, "*.wat"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no modules in %s: %v", dir, err)
		}
		for _, f := range files {
			names = append(names, strings.TrimSuffix(filepath.Base(f), ".wat"))
		}
	}
	return names
}
