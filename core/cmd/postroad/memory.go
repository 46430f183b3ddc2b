// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimLook  = time.Second // between two looks
	trimQuiet = 256 << 10   // octets allocated between two looks, up to which nothing much goes on
	trimLeast = 4 << 20     // octets allocated since the last time, below which it is not worth it
)

// trimmer gives memory back to the system when work has ended: what compiling
// plugins left behind, or a burst of mail. The runtime alone keeps it for
// minutes, for it expects more of the same. It is used by one goroutine.
type trimmer struct {
	samples    []metrics.Sample // octets allocated so far, octets of living objects
	last, base uint64           // allocated at the last look, at the last trim
}

func newTrimmer() *trimmer {
	return &trimmer{samples: []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}}
}

// look is called every trimLook.
func (t *trimmer) look() {
	metrics.Read(t.samples)
	if t.due(t.samples[0].Value.Uint64(), t.samples[1].Value.Uint64()) {
		trim()
	}
}

// due reports whether nothing much was allocated since the last look, and enough
// since the last trim: a trim collects garbage, which costs more the more lives.
func (t *trimmer) due(allocated, live uint64) bool {
	quiet := allocated-t.last <= trimQuiet
	t.last = allocated
	if !quiet || allocated-t.base < max(trimLeast, live/4) {
		return false
	}
	t.base = allocated
	return true
}

// trim gives back free memory, and the pages of the program's own file: the
// start touched nearly all of them, and those that are used come back from the
// page cache.
func trim() {
	debug.FreeOSMemory()
	dropProgram()
}
