// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/bench/filters"
)

// overheadReport gathers what was measured and writes it as Markdown.
type overheadReport struct {
	started time.Time
	machine machine
	o       overhead
	guests  map[string]measured // nil: not asked for
	peers   *report             // nil: not asked for
}

func (r *overheadReport) markdown() string {
	var b strings.Builder
	r.head(&b)
	if r.guests != nil {
		r.calls(&b)
		r.isolation(&b)
	}
	if r.peers != nil {
		r.added(&b)
	}
	return b.String()
}

func (r *overheadReport) head(b *strings.Builder) {
	m := r.machine
	fmt.Fprintf(b, "# What running a guest costs, %s\n\n", r.started.Format(time.DateOnly))
	fmt.Fprintf(b, "Written by `go run ./core/bench overhead`; core/docs/performance.md tells how it is measured and read.\n\n")
	fmt.Fprintf(b, "- Machine: %d cores, %s, %s, %s; queues on %s\n", m.cores, m.cpu, m.memory, m.kernel, m.fileSystem)
	fmt.Fprintf(b, "- Postroad %s, %s\n", m.commit, m.goVersion)
	for _, g := range filters.Guests() {
		fmt.Fprintf(b, "- %s: %s\n", g.Name, g.About)
	}
}

// Columns of the table of calls.
var forms = []struct{ name, title string }{
	{"metered", "metered"}, {"closing", "WithCloseOnContextDone"},
}

// calls writes what a call costs in every form.
func (r *overheadReport) calls(b *strings.Builder) {
	fmt.Fprintf(b, "\n## A call, by the way it is stopped\n\n%d rounds of %v, all forms in turns. Microseconds: the least of all, and the median "+
		"with the range of the rounds' medians. × is to the plain form, which nothing can stop. The call is a message hook; making the hook is in it.\n\n",
		r.o.rounds, r.o.time)
	fmt.Fprint(b, "| job | guest | plain, least | median |")
	for _, f := range forms {
		fmt.Fprintf(b, " %s, least | × | median | × |", f.title)
	}
	fmt.Fprintf(b, "\n|---|---|---|---|%s\n", strings.Repeat("---|---|---|---|", len(forms)))
	for _, job := range []string{"nothing", "add", "subject", "scan"} {
		for _, g := range filters.Guests() {
			r.call(b, job, g.Name)
		}
	}
	r.summary(b)
}

func (r *overheadReport) call(b *strings.Builder, job, guest string) {
	m := r.guests["Overhead/"+job+"/"+guest]
	if m == nil {
		return
	}
	fmt.Fprintf(b, "| %s | %s | %s | %s |", job, guest, digits(m.least("plain")), cell(m.medians("plain")))
	for _, f := range forms {
		fmt.Fprintf(b, " %s | %.2f | %s | %.2f |", digits(m.least(f.name)), m.least(f.name)/m.least("plain"),
			cell(m.medians(f.name)), m.median(f.name)/m.median("plain"))
	}
	b.WriteByte('\n')
}

// summary says what metering does to the guests that work.
func (r *overheadReport) summary(b *strings.Builder) {
	for _, f := range forms {
		var times []float64
		for _, g := range filters.Guests() {
			if m := r.guests["Overhead/scan/"+g.Name]; m != nil {
				times = append(times, m.least(f.name)/m.least("plain"))
			}
		}
		if s, ok := spreadOf(times); ok {
			fmt.Fprintf(b, "\nscan, %s: %.2f times the plain form, the median of the guests' least (%.2f to %.2f).\n", f.title, s.median, s.low, s.high)
		}
	}
}

// isolation writes what a stage adds to a message at each isolation.
func (r *overheadReport) isolation(b *strings.Builder) {
	levels := []string{"call", "message", "session", "restore", "fresh"}
	fmt.Fprintf(b, "\n## A stage that adds a header field, by isolation\n\nMicroseconds that it adds to a message of 5 KiB in the relay's pipeline "+
		"(sessions of ten messages; with the stage minus without): of the least, and of the medians.\n\n| guest | no stage |")
	for _, l := range levels {
		fmt.Fprintf(b, " %s | median |", l)
	}
	fmt.Fprintf(b, "\n|---|---|%s\n", strings.Repeat("---|---|", len(levels)))
	for _, g := range filters.Guests() {
		m := r.guests["Stage/"+g.Name]
		if m == nil {
			continue
		}
		fmt.Fprintf(b, "| %s | %s |", g.Name, digits(m.least("none")))
		for _, l := range levels {
			fmt.Fprintf(b, " %s | %s |", digits(m.least(l)-m.least("none")), digits(m.median(l)-m.median("none")))
		}
		b.WriteByte('\n')
	}
}

// added writes what the same filter costs a message in other servers.
func (r *overheadReport) added(b *strings.Builder) {
	c := r.peers.cases[0]
	fmt.Fprintf(b, "\n## The same filter in other servers\n\nEach adds one header field to every message. %d rounds of %s messages of %s octets, "+
		"%s; all servers in turns. Added is with the filter minus without, round by round; median (lowest–highest).\n\n",
		r.peers.runs, thousands(int64(c.messages)), thousands(int64(c.size)), c.title)
	for _, p := range r.peers.peers {
		fmt.Fprintf(b, "- %s: %s\n", p.name, p.about)
	}
	for _, n := range slices.Concat(r.peers.versions, r.peers.notes) {
		fmt.Fprintf(b, "- %s\n", n)
	}
	columns := []metric{cpuPerMessage, accepted, p50}
	fmt.Fprint(b, "\n| with | without |")
	for _, m := range columns {
		fmt.Fprintf(b, " %s without | with |", m)
	}
	fmt.Fprintf(b, " **added CPU µs/msg** | added µs/msg by accepted/s |\n|---|---|%s---|---|\n", strings.Repeat("---|---|", len(columns)))
	for _, p := range addedPairs() {
		r.addedRow(b, c, p, columns)
	}
}

func (r *overheadReport) addedRow(b *strings.Builder, c benchCase, p added, columns []metric) {
	without, with := r.peers.samples[key{c.name, p.without}], r.peers.samples[key{c.name, p.with}]
	if len(without) == 0 || len(without) != len(with) {
		return
	}
	fmt.Fprintf(b, "| %s | %s |", p.with, p.without)
	for _, name := range []string{p.without, p.with} {
		if why, n := r.peers.failed(c, peer{name: name}); n > 0 {
			fmt.Fprintf(b, " **%s failed**: %s |\n", name, oneLine(why))
			return
		}
	}
	for _, m := range columns {
		fmt.Fprintf(b, " %s | %s |", cell(column(without, m)), cell(column(with, m)))
	}
	var cpu, wall []float64
	for i := range with {
		cpu = append(cpu, 1000*(with[i].values[cpuPerMessage]-without[i].values[cpuPerMessage]))
		wall = append(wall, 1e6/with[i].values[accepted]-1e6/without[i].values[accepted])
	}
	fmt.Fprintf(b, " %s | %s |\n", cell(cpu), cell(wall))
}

func oneLine(s string) string { return strings.NewReplacer("\n", " ", "|", "/").Replace(s) }
