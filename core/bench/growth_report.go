// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// growthReport gathers what was measured and writes it as Markdown.
type growthReport struct {
	started time.Time
	machine machine
	probes  int
	rows    []growthRow
}

func (r *growthReport) publish(out io.Writer, dir string) error {
	text := r.markdown()
	if _, err := io.WriteString(out, text); err != nil || dir == "" {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "growth-"+r.started.Format(time.DateOnly)+".md"), []byte(text), 0o644)
}

func (r *growthReport) markdown() string {
	var b strings.Builder
	m := r.machine
	fmt.Fprintf(&b, "# The queue as it grows, %s\n\n", r.started.Format(time.DateOnly))
	fmt.Fprintf(&b, "Written by `go run ./core/bench growth`; core/docs/performance.md tells how it is measured and read.\n\n")
	fmt.Fprintf(&b, "- Machine: %d cores, %s, %s, %s; queues on %s\n", m.cores, m.cpu, m.memory, m.kernel, m.fileSystem)
	fmt.Fprintf(&b, "- Postroad %s, %s\n", m.commit, m.goVersion)
	fmt.Fprintf(&b, "- Deferred messages of one recipient and %d octets in %d domains; %d more are measured on top\n", growthBody, growthDomains, r.probes)
	fmt.Fprintf(&b, "- Load average at the end: %s\n", first(strings.Fields(word("/proc/loadavg"))))
	fmt.Fprint(&b, "\n## Work, by what is queued\n\nMicroseconds for one, of a mean; lists in milliseconds.\n\n"+
		"| recipients | enqueue | its CPU | lease, in memory | lease, from disk | settle | list of a domain | first 100 of all |\n|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.rows {
		row.work(&b)
	}
	fmt.Fprint(&b, "\n## After a crash, and at rest\n\n"+
		"| recipients | accepting after | delivering after | all read after | CPU until accepting | CPU until all is read | heap for a recipient | process | disk for a recipient |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.rows {
		row.rest(&b)
	}
	return b.String()
}

func (row *growthRow) work(b *strings.Builder) {
	f := &row.filled
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %.1f | %.1f | %.2f | %.2f |\n", thousands(int64(row.recipients)), us(f.Enqueue), us(f.EnqueueCPU),
		us(f.LeaseFresh), us(f.Lease), us(f.Settle), us(f.ListDomain)/1000, us(f.ListAll)/1000)
}

func (row *growthRow) rest(b *strings.Builder) {
	s := &row.restarted
	each := int64(max(s.Messages, 1))
	fmt.Fprintf(b, "| %s | %.2f s | %.2f s | %.2f s | %.2f s | %.2f s | %s B | %.0f MiB | %s B |\n", thousands(int64(row.recipients)), s.Accepting.Seconds(), s.Delivering.Seconds(),
		s.AllRead.Seconds(), s.AcceptingCPU.Seconds(), s.AllReadCPU.Seconds(), thousands(s.Heap/each), float64(s.Resident)/(1<<20), thousands(row.disk/each))
}
