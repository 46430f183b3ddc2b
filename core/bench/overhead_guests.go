// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// guestBenchmarks is the package whose benchmarks run guests in every form: the
// forms other than the relay's own exist nowhere but in its tests.
const guestBenchmarks = "core/internal/wasmhost"

// measured are the values of a benchmark's metrics, one of each round.
type measured map[string][]float64

// guests runs the benchmarks of guests, all of them once in each round, and
// returns what they reported by name.
func (o overhead) guests(ctx context.Context, repo string, progress io.Writer) (map[string]measured, error) {
	binary := filepath.Join(o.bench.dir, "guests.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./"+guestBenchmarks)
	build.Dir = repo
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the benchmarks: %w: %s", err, text)
	}
	all := map[string]measured{}
	for round := range o.rounds {
		run := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", "^Benchmark(Overhead|Stage)$",
			"-test.benchtime", o.time.String(), "-test.timeout", "1h")
		run.Dir = filepath.Join(repo, guestBenchmarks)
		text, err := run.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("running the benchmarks: %w: %s", err, text)
		}
		readBenchmarks(text, all)
		fmt.Fprintf(progress, "%s guests: round %d of %d\n", time.Now().Format(time.TimeOnly), round+1, o.rounds)
	}
	return all, nil
}

// readBenchmarks adds the metrics of lines "BenchmarkNAME-2 N VALUE METRIC …".
func readBenchmarks(text []byte, all map[string]measured) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if dash := strings.LastIndexByte(name, '-'); dash > 0 {
			name = name[:dash]
		}
		if all[name] == nil {
			all[name] = measured{}
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				all[name][f[i+1]] = append(all[name][f[i+1]], v)
			}
		}
	}
}

// least is the least of all rounds, in microseconds.
func (m measured) least(form string) float64 {
	if len(m[form+"-min-ns"]) == 0 {
		return 0
	}
	return slices.Min(m[form+"-min-ns"]) / 1000
}

// medians are those of the rounds, in microseconds.
func (m measured) medians(form string) []float64 {
	var all []float64
	for _, v := range m[form+"-median-ns"] {
		all = append(all, v/1000)
	}
	return all
}

// median is the median of the rounds' medians, in microseconds.
func (m measured) median(form string) float64 {
	s, _ := spreadOf(m.medians(form))
	return s.median
}
