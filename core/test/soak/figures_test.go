// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// What may be more at the end than behind the first quarter of the campaign.
// One instance of the plugin in Go has 4 MiB at least, its compiled code 5 MiB:
// what a reload leaks shows.
const (
	moreHeap       = 8 << 20  // octets
	moreResident   = 48 << 20 // octets
	moreGoroutines = 40       // the two sides of connections to the next hop, which come and go
	moreFiles      = 40       // the same, and tables of the store
)

// sample is what the process has while nothing runs: relay, clients, next hop
// and ledger together.
type sample struct {
	at         time.Time
	messages   int
	heap       int64 // octets in use after a collection
	resident   int64 // octets of memory, 0 where /proc does not tell
	goroutines int
	files      int   // open ones, 0 where /proc does not tell
	data       int64 // octets below data_dir
}

func (c *campaign) sample() sample {
	heap := settledHeap()
	return sample{at: time.Now(), messages: c.l.arrivedSoFar(), heap: heap, resident: resident(), goroutines: runtime.NumGoroutine(),
		files: openFiles(), data: size(c.p.file("data"))}
}

// settledHeap is what is in use after some collections: memory with a finalizer
// needs two, and finalizers take their time.
func settledHeap() int64 {
	var least uint64 = math.MaxUint64
	for range 5 {
		debug.FreeOSMemory() // collects
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, m.HeapAlloc)
	}
	return int64(least)
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

func resident() int64 {
	text, err := os.ReadFile("/proc/self/status")
	m := residentLine.FindSubmatch(text)
	if err != nil || m == nil {
		return 0
	}
	kib, _ := strconv.ParseInt(string(m[1]), 10, 64) // the expression wants digits
	return kib << 10
}

func openFiles() int {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(names)
}

// size is that of all files below dir. The store removes some meanwhile.
func size(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil
		}
		if st, err := e.Info(); err == nil {
			sum += st.Size()
		}
		return nil
	})
	return sum
}

// bounds holds the samples of the last quarter against those of the first, in
// which pools and caches fill. What leaks is in each of them: the least counts.
func (c *campaign) bounds() (faults []string) {
	warm := max(1, len(c.samples)/4)
	if len(c.samples) <= warm {
		return []string{fmt.Sprintf("%d samples are too few to compare", len(c.samples))}
	}
	for _, f := range []struct {
		what string
		more int64
		of   func(*sample) int64
	}{
		{"octets of heap", moreHeap, func(s *sample) int64 { return s.heap }},
		{"octets of resident memory", moreResident, func(s *sample) int64 { return s.resident }},
		{"goroutines", moreGoroutines, func(s *sample) int64 { return int64(s.goroutines) }},
		{"open files", moreFiles, func(s *sample) int64 { return int64(s.files) }},
	} {
		first, last := most(c.samples[:warm], f.of), least(c.samples[len(c.samples)-warm:], f.of)
		if last > first+f.more && !(raced && strings.HasPrefix(f.what, "octets")) {
			faults = append(faults, fmt.Sprintf("%d %s at the end, %d in the first quarter; at most %d more are permitted", last, f.what, first, f.more))
		}
	}
	return faults
}

func most(samples []sample, of func(*sample) int64) (n int64) {
	for i := range samples {
		n = max(n, of(&samples[i]))
	}
	return n
}

func least(samples []sample, of func(*sample) int64) int64 {
	n := of(&samples[0])
	for i := range samples {
		n = min(n, of(&samples[i]))
	}
	return n
}

func (c *campaign) summary() string {
	last := c.samples[len(c.samples)-1]
	return fmt.Sprintf("%d sessions, %d messages acknowledged, %d arrived; %d reloads and as many decisions about a candidate under traffic, %d reloads between messages; "+
		"%d messages were under way while a change was made and ended as they began; %.0f messages/s while sending, %v in all; at the end %d KiB of heap, %d KiB resident, %d goroutines",
		sessions, c.l.acked, c.l.arrived, c.reloads, len(c.samples), c.l.old,
		float64(c.l.acked)/c.sending.Seconds(), last.at.Sub(c.began).Round(time.Second), last.heap>>10, last.resident>>10, last.goroutines)
}

// report is the summary and a table of samples, ten thousand messages apart or
// more.
func (c *campaign) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\nThe data directory keeps the compiled code of each generation's module, up to 1 GiB, and what the store reserves.\n\n%10s %9s %10s %12s %11s %6s %9s\n", c.summary(), "messages", "seconds", "heap KiB", "resident KiB", "goroutines", "files", "data KiB")
	for i, s := range c.samples {
		if i == 0 || i == len(c.samples)-1 || s.messages/10_000 > c.samples[i-1].messages/10_000 {
			fmt.Fprintf(&b, "%10d %9.0f %10d %12d %11d %6d %9d\n", s.messages, s.at.Sub(c.began).Seconds(), s.heap>>10, s.resident>>10, s.goroutines, s.files, s.data>>10)
		}
	}
	return b.String()
}
