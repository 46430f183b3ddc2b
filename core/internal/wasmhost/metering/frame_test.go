// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// TestWideFrames: an endless recursion of frames that are wide by the values
// they keep, not by their locals, ends by the depth before its stack gets large.
func TestWideFrames(t *testing.T) {
	const values = 4000
	for name, body := range map[string]string{
		// values that all live across the recursive call, then are consumed
		"vectors": "\x00" + strings.Repeat("\x20\x00\xfd\x4d", values) + "\x20\x00\x10\x00" + strings.Repeat("\xfd\x51", values),
		// few instructions, but a hundred results each
		"results": "\x00" + strings.Repeat("\x20\x00\x10\x00", 1) + strings.Repeat("\x10\x01", values/100) + strings.Repeat("\xfd\x51", values),
		// loops that are entered again, each with values of its own for eight locals
		"loops": "\x01\x08\x7b" + strings.Repeat("\x03\x40"+eightSets()+"\x41\x00\x0d\x00\x0b", values/20) + "\x20\x08\x10\x00",
	} {
		wasm := magic + section(1, "\x02\x60\x01\x7b\x01\x7b\x60\x00"+sized(strings.Repeat("\x7b", 100))) +
			section(3, "\x02\x00\x01") + section(7, "\x01\x01f\x00\x00") +
			"\x0a" + long("\x02"+long(body+"\x0b")+long("\x00"+strings.Repeat(zeroVector, 100)+"\x0b"))
		g, err := start(t, engines()["compiler"], rewrite(t, []byte(wasm)))
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, s, err := g.call(metering.NewState(1<<40, 4096), "f", 0, 0)
		runtime.ReadMemStats(&after)
		mustCause(t, s, err, metering.CauseDepth)
		if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > 64 {
			t.Errorf("%s: the stack took %d MiB", name, grown)
		} else {
			t.Logf("%s: the stack took %d MiB", name, grown)
		}
	}
}

// eightSets complements the locals 1 to 8.
func eightSets() string {
	s := ""
	for local := 1; local <= 8; local++ {
		s += fmt.Sprintf("\x20%c\xfd\x4d\x21%c", local, local)
	}
	return s
}

const zeroVector = "\xfd\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// long is sized for any length: three octets of it.
func long(s string) string {
	n := len(s)
	return string([]byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)}) + s
}
