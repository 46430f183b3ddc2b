// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// ratios writes how many times better Postroad was than Postfix in the same
// round: more messages a second, or less CPU and memory.
func (r *report) ratios(b *strings.Builder, c benchCase) {
	var rows strings.Builder
	for _, p := range r.peers {
		for _, base := range r.peers {
			if strings.HasPrefix(p.name, "postroad") && strings.HasPrefix(base.name, "postfix") && !base.single {
				r.ratioRow(&rows, c, p, base)
			}
		}
	}
	if rows.Len() == 0 || len(compared(c)) == 0 {
		return
	}
	fmt.Fprint(b, "\n| times better than |")
	for _, m := range compared(c) {
		fmt.Fprintf(b, " %s |", m)
	}
	fmt.Fprintf(b, "\n|---|%s\n%s", strings.Repeat("---|", len(compared(c))), rows.String())
}

func (r *report) ratioRow(b *strings.Builder, c benchCase, p, base peer) {
	ours, theirs := r.samples[key{c.name, p.name}], r.samples[key{c.name, base.name}]
	_, bad1 := r.failed(c, p)
	_, bad2 := r.failed(c, base)
	if bad1+bad2 > 0 || len(ours) != len(theirs) || len(ours) == 0 {
		return
	}
	fmt.Fprintf(b, "| %s / %s |", p.name, base.name)
	for _, m := range compared(c) {
		fmt.Fprintf(b, " %s |", cell(times(m, column(ours, m), column(theirs, m))))
	}
	b.WriteByte('\n')
}

// compared are the metrics of a case that have a better and a worse.
func compared(c benchCase) (ms []metric) {
	for _, m := range c.columns {
		if m.moreIsBetter() || m.lessIsBetter() {
			ms = append(ms, m)
		}
	}
	return ms
}

func (m metric) moreIsBetter() bool {
	return m == accepted || m == delivered || m == acceptedMB || m == deliveredMB
}

func (m metric) lessIsBetter() bool {
	return m == cpuPerMessage || m == cpuPerMB || m == afterMemory || m == disk || m == writtenByIt || m == writtenToDisk
}

// times divides round by round.
func times(m metric, ours, theirs []float64) []float64 {
	if m.lessIsBetter() {
		ours, theirs = theirs, ours
	}
	var all []float64
	for i := range ours {
		all = append(all, quotient(ours[i], theirs[i]))
	}
	return all
}

// quotient is not known where the divisor is nothing.
func quotient(a, b float64) float64 {
	if b <= 0 {
		return math.NaN()
	}
	return a / b
}
