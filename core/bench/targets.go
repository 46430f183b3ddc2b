// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// target is what the relay with three stages is to reach: times better than the
// peer base in a case, or, without a base, a number that it has to stay below.
type target struct {
	about string
	c     string // name of the case
	m     metric
	base  string
	want  float64
}

// aim and base are the peers that targets are about.
const (
	aim  = "postroad+3"
	base = "postfix"
)

func allTargets() []target {
	var all []target
	for _, c := range []struct {
		name     string
		in, thru float64
	}{{"c20/conn", 4, 5}, {"c20/reuse", 8, 10}, {"c100/conn", 7, 8}, {"c100/reuse", 8, 10}} {
		all = append(all,
			target{"accepted/s, times " + base, c.name, accepted, base, c.in},
			target{"delivered/s, times " + base, c.name, delivered, base, c.thru},
			target{"CPU of a message, times less than " + base, c.name, cpuPerMessage, base, 10})
	}
	return append(all,
		target{"accepted MB/s, times " + base, "large", acceptedMB, base, 2},
		target{"delivered MB/s, times " + base, "large", deliveredMB, base, 1.2},
		target{"MiB idle", "idle1000", idleMemory, "", 30},
		target{"MiB with 1,000 idle connections", "idle1000", afterMemory, "", 50},
		target{"MiB with 20,000 deferred messages", "deferred", afterMemory, "", 80})
}

// targets writes the last table.
func (r *report) targets(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Targets for %s\n\n| case | what | wanted | measured | |\n|---|---|---|---|---|\n", aim)
	for _, t := range allTargets() {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", t.c, t.about, t.wanted(), r.verdict(t))
	}
}

func (t target) wanted() string {
	if t.base == "" {
		return fmt.Sprintf("< %g", t.want)
	}
	return fmt.Sprintf("≥ %g", t.want)
}

// verdict is what was measured, and whether its median is enough.
func (r *report) verdict(t target) string {
	got, ok := spreadOf(r.reached(t))
	switch {
	case !ok:
		return "– | not measured"
	case t.base == "" && got.median < t.want, t.base != "" && got.median >= t.want:
		return got.String() + " | met"
	}
	return got.String() + " | **missed**"
}

// reached returns the numbers of the rounds, none when one of them failed.
func (r *report) reached(t target) []float64 {
	ours, theirs := r.samples[key{t.c, aim}], r.samples[key{t.c, t.base}]
	for _, s := range append(ours[:len(ours):len(ours)], theirs...) {
		if s.failed != "" {
			return nil
		}
	}
	if t.base == "" {
		return column(ours, t.m)
	}
	if len(ours) != len(theirs) {
		return nil
	}
	return times(t.m, column(ours, t.m), column(theirs, t.m))
}
