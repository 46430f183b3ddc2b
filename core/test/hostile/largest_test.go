// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// largestBound is what the process may take more while it loads a module that is
// as large as it may be, in the one way that costs most. core/docs/security.md
// names it.
const largestBound = 1536 << 20

// largest are modules of so many percent of each limit that keeps the loader from
// bombs.
func largest() map[string]func(percent int) []byte {
	touch := func(n int) string {
		var s strings.Builder
		for i := range n {
			s.WriteString("\x20" + string(leb(i)) + "\x1a")
		}
		return s.String()
	}
	mixed := func(n, locals int, code func(a, b string) string) string {
		var s strings.Builder
		for i := range n {
			s.WriteString(code(string(leb(i%locals)), string(leb(i*7919%locals))))
		}
		return touch(locals) + s.String()
	}
	loops := func(a, b string) string { return "\x03\x40\x20" + a + "\x41\x01\x6a\x22" + b + "\x0d\x00\x0b" }
	ifs := func(a, b string) string { return "\x20" + a + "\x04\x40\x20" + b + "\x21" + a + "\x0b" }
	idle := body(0, "\x41\x00")
	one := func(n int, code string) []byte { return plugin(idle, 1, body(n, code)) }
	many := func(n int, code string) []byte { return plugin(idle, n, body(1, code)) }
	return map[string]func(p int) []byte{
		"one function of 512 KiB, calls": func(p int) []byte { return one(0, repeat("\x10\x02", 2600*p)) },
		"one function of 512 KiB, loads": func(p int) []byte { return one(1, repeat("\x20\x00\x28\x00\x00\x21\x00", 740*p)) },
		"20,000 blocks":                  func(p int) []byte { return one(1, repeat("\x02\x40\x20\x00\x0d\x00\x0b", 100*p)) },
		"20,000 blocks inside":           func(p int) []byte { return one(0, repeat("\x02\x40", 200*p)+repeat("\x0b", 200*p)) },
		"3,100 loops inside":             func(p int) []byte { return one(0, repeat("\x03\x40", 31*p)+repeat("\x0b", 31*p)) },
		"630 loops over 630 locals":      func(p int) []byte { return one(630, mixed(6*p, 630, loops)) },
		"2,000 blocks over 2,000 locals": func(p int) []byte { return one(2000, mixed(10*p, 2000, ifs)) },
		"50,000 ways of branch tables": func(p int) []byte {
			return one(0, repeat("\x02\x40\x41\x00\x0e"+string(leb(500))+repeat("\x00", 501)+"\x0b", p))
		},
		"2,000,000 calls":   func(p int) []byte { return many(8, repeat("\x10\x02", 2450*p)) },
		"16 MiB of loads":   func(p int) []byte { return many(31, repeat("\x20\x00\x28\x00\x00\x21\x00", 740*p)) },
		"16 MiB of sums":    func(p int) []byte { return many(31, repeat("\x20\x00\x41\x03\x6a\x21\x00", 740*p)) },
		"16 MiB of numbers": func(p int) []byte { return many(31, repeat("\x41\x00\x1a", 1700*p)) },
		"300,000 functions": func(p int) []byte { return plugin(idle, 2_990*p, body(6, "\x03\x40\x20\x00\x0d\x00\x0b")) },
		"2,000,000 locals":  func(p int) []byte { return plugin(idle, 39, body(500*p, "\x20\x00\x1a")) },
		"31 MiB of data": func(p int) []byte {
			data := append([]byte("\x01\x00\x41\x00\x0b"), sized(make([]byte, 320_000*p))...)
			return plugin(idle, 0, nil, set(5, "\x01\x00\x80\x04"), set(11, string(data)))
		},
	}
}

// TestTheLargestModules loads modules at the limits while honest mail goes on. The
// short form takes a tenth of each.
func TestTheLargestModules(t *testing.T) {
	scale, percent, bound := campaign(), 10, int64(memoryBound)
	if scale.everyPhase {
		percent, bound = 97, largestBound
	}
	g := newRig(t)
	a := attack{row{with: []string{"memory=64MiB"}}, mail.PhaseMessage}
	lines := []string{fmt.Sprintf("modules of %d %% of what may be loaded, beside %d honest sessions\n", percent, scale.sessions)}
	all := largest()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		wasm := all[name](percent)
		grown, began, loaded := watchMemory(), time.Now(), make(chan error, 1)
		go func() { loaded <- g.reload(a.config(g.web), wasm) }()
		took := g.calm(scale.sessions, scale.each)
		if err := <-loaded; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		n := grown()
		if n > bound {
			t.Errorf("%s: memory grew by %d MiB, which is more than %d", name, n>>20, bound>>20)
		}
		lines = append(lines, fmt.Sprintf("%-32s %9d octets %8.1f s %6d MiB | honest mail %s", name, len(wasm), time.Since(began).Seconds(), n>>20, spread(took)))
	}
	g.gone()
	g.settled(a)
	g.well()
	newReport(t, scale).text = strings.Join(lines, "\n") + "\n\n"
}
