// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// newOverhead is a bench of n messages for each server.
func newOverhead(t *testing.T, n int) (overhead, *bench) {
	t.Helper()
	b := newBench(t, n)
	o, err := parseOverhead(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.bench = b.options
	return o, b
}

// TestAddedFilter measures the real binary with the real guests, and writes the
// table.
func TestAddedFilter(t *testing.T) {
	o, b := newOverhead(t, 40)
	all, err := o.addedPeers(t.Context(), repo(t))
	if err != nil {
		t.Fatal(err)
	}
	peers, _, err := choose(all, []string{"postroad", "postroad+rust", "postroad+go"})
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t.Context(), b, repo(t), peers, []string{"a note"})
	r.cases = []benchCase{addedCase(40)}
	if err := b.rounds(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	text := (&overheadReport{o: o, peers: r}).markdown()
	for _, want := range []string{"\n| postroad+rust | postroad | ", "\n| postroad+go | postroad | ", "- a note\n"} {
		if !strings.Contains(text, want) || strings.Contains(text, "failed") || strings.Contains(text, "NaN") {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

// TestGuestTables: what benchmarks report becomes the tables.
func TestGuestTables(t *testing.T) {
	const text = `goos: linux
BenchmarkOverhead/scan/c-2   10   8000 closing-median-ns   7000 closing-min-ns   3000 metered-median-ns   1100 metered-min-ns   2000 plain-median-ns   1000 plain-min-ns
BenchmarkStage/rust-2   10   1500 call-median-ns   900 call-min-ns   700 none-median-ns   500 none-min-ns   1700 fresh-min-ns
PASS
`
	all := map[string]measured{}
	readBenchmarks([]byte(text), all)
	readBenchmarks([]byte(strings.ReplaceAll(text, "1100", "1200")), all)
	r := overheadReport{guests: all}
	out := r.markdown()
	for _, want := range []string{
		"\n| scan | c | 1.00 | 2.00 | 1.10 | 1.10 | 3.00 | 1.50 | 7.00 | 7.00 | 8.00 | 4.00 |\n",
		"\nscan, metered: 1.10 times the plain form",
		"\n| rust | 0.500 | 0.400 | 0.800 |",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report lacks %q:\n%s", want, out)
		}
	}
}

// TestOverheadCommandLine: what is wrong is said, with exit code 1.
func TestOverheadCommandLine(t *testing.T) {
	for _, args := range [][]string{{"-parts", "x"}, {"more"}, {"-rounds", "0"}, {"-time", "-1s"}, {"-unknown"}} {
		var errs bytes.Buffer
		if got := run(append([]string{"overhead"}, args...), nil, io.Discard, &errs); got != 1 || errs.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, got, errs.String())
		}
	}
}
