// SPDX-License-Identifier: Apache-2.0

// Package hostile runs whole relays with plugins that mean harm: that loop for
// ever, recurse without end, take all memory, flood the log, hand over wrong
// pointers. testdata/attacks is the table: a line for each module, the phases in
// which it attacks, and what becomes of it. Meanwhile honest sessions send mail,
// and all of it arrives. Each attack costs its own message a 451, and nobody else
// anything.
//
// `go test` attacks in the first phase of each line, with each third number of
// those that have some, beside 5 honest sessions.
// `.ci/long hostile` attacks in all phases, beside 50, and reports what honest
// mail had to wait for.
package hostile

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestAttacks attacks as the table says.
func TestAttacks(t *testing.T) {
	scale := campaign()
	report := newReport(t, scale)
	for _, r := range rows(t) {
		phases := r.phases
		if !scale.everyPhase {
			phases = phases[:r.short()]
		}
		for _, p := range phases {
			a := attack{r, p}
			t.Run(a.name(), func(t *testing.T) { report.add(a, run(t, a, scale)) })
		}
	}
}

// run makes one attack, and checks all that should be as it was.
func run(t *testing.T, a attack, s scale) result {
	g := newRig(t)
	var res result
	if s.everyPhase {
		res.before = g.calm(s.sessions, s.each)
	}
	if err := g.reload(a.config(g.web), a.load(t)); err != nil {
		t.Fatal(err)
	}
	grown := watchMemory()
	res.attacks, res.during = g.siege(a, s.sessions, s.each)
	res.memory = grown()
	g.settled(a)
	g.well()
	g.accounts(a, res.attacks)
	if res.memory > memoryBound {
		t.Errorf("memory grew by %d MiB, which is more than %d", res.memory>>20, memoryBound>>20)
	}
	if n := g.log.floods; n > 100*res.attacks || n == 0 && a.module == "log_flood" {
		t.Errorf("%d lines of the flood are in the log after %d attacks", n, res.attacks)
	}
	if a.module == "slow_http" && g.asked.Load() == 0 {
		t.Error("the web server was never asked")
	}
	g.gone()
	return res
}

// accounts checks that the figures tell the operator of each attack by its cause,
// and that no instance that failed lives on.
func (g *rig) accounts(a attack, attacks int) {
	g.t.Helper()
	want := map[string]int{}
	if a.faults() {
		want["hostile "+a.outcome] = attacks
	}
	if a.has("shadow") || a.has("canary") {
		mode := map[bool]string{true: "shadow", false: "canary"}[a.has("shadow")]
		if n := g.figure(`postroad_candidate_calls_total{mode="` + mode + `",result="failed",stage="hostile"}`); n != attacks {
			g.t.Errorf("after %d attacks %d calls of the candidate have failed", attacks, n)
		}
		return
	}
	got := g.failures()
	if n := got["hostile pool"]; n > 0 && a.has("slow") && a.outbound() { // nobody holds the client back there
		got["hostile "+a.outcome] += n
		delete(got, "hostile pool")
	}
	if !maps.Equal(got, want) {
		g.t.Errorf("after %d attacks the failures are %v, want %v; the last: %s", attacks, got, want, g.log.failed)
	}
	live := g.figure(`postroad_plugin_instances{stage="hostile"}`)
	if live > a.attackers() || a.faults() && live > 0 {
		g.t.Errorf("%d instances live on", live)
	}
}

// gone checks that nothing of the plugin stays when the operator takes it out.
func (g *rig) gone() {
	g.t.Helper()
	g.write(calmConfig)
	if err := g.r.Reload(context.Background()); err != nil {
		g.t.Fatal(err)
	}
	g.calm(1, 1)
	if n := g.figure(`postroad_plugin_instances{stage="hostile"}`); n != 0 {
		g.t.Errorf("%d instances of a plugin that is not there any more", n)
	}
}

// TestEveryModuleAttacks keeps modules from lying about, and the table from
// missing a cause or a class.
func TestEveryModuleAttacks(t *testing.T) {
	used := map[string]bool{}
	causes := map[string]bool{}
	for _, r := range rows(t) {
		used[r.module], causes[r.outcome] = true, true
	}
	for name := range starts() {
		used[name] = true
	}
	for name := range giants() {
		used[name] = used[name] || false
	}
	for _, name := range modules(t) {
		used[name] = used[name] || false
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		if !used[name] && name != "hoard" {
			t.Errorf("module %s is in no line", name)
		}
	}
	if n := len(used) + len(broken()); n < 40 {
		t.Errorf("there are %d modules", n)
	}
	for _, c := range strings.Fields("fuel deadline depth memory trap exit verdict error holds limit takes") {
		if !causes[c] {
			t.Errorf("no line has the outcome %s", c)
		}
	}
}
