// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"testing"
)

func TestTrimOnlyWhenQuietAndWorthIt(t *testing.T) {
	const mib = 1 << 20
	tr := &trimmer{}
	for i, step := range []struct {
		allocated, live uint64
		want            bool
	}{
		{30 * mib, 4 * mib, false},                     // the start
		{30 * mib, 4 * mib, true},                      // it is over
		{30*mib + 1, 4 * mib, false},                   // nothing since
		{31 * mib, 4 * mib, false},                     // work
		{40 * mib, 4 * mib, false},                     // more work
		{40*mib + trimQuiet, 4 * mib, true},            // it is over
		{50 * mib, 100 * mib, false},                   // work
		{50 * mib, 100 * mib, false},                   // quiet, but too little for a large heap
		{66 * mib, 100 * mib, false},                   // work
		{66*mib + trimQuiet + 1, 100 * mib, false},     // still some
		{66*mib + 2*trimQuiet + 1, 100 * mib, true},    // it is over
		{66*mib + 3*trimQuiet + 1, 100 * mib, false},   // nothing since
		{66*mib + 3*trimQuiet + 1, 1 << 40, false},     // nor now
		{66*mib + 3*trimQuiet + 1, 0, false},           // nor now
		{66*mib + 3*trimQuiet + 5*mib, 0, false},       // work
		{66*mib + 3*trimQuiet + 5*mib, 4 * mib, true},  // it is over
		{66*mib + 3*trimQuiet + 5*mib, 4 * mib, false}, // nothing since
	} {
		if got := tr.due(step.allocated, step.live); got != step.want {
			t.Errorf("step %d: due = %v", i, got)
		}
	}
}

func TestTrimmerReadsTheRuntime(t *testing.T) {
	tr := newTrimmer()
	runtime.GC()
	tr.look()
	if tr.last == 0 || tr.samples[1].Value.Uint64() == 0 {
		t.Errorf("allocated %d, live %d octets", tr.last, tr.samples[1].Value.Uint64())
	}
	trim() // and the program goes on
}
