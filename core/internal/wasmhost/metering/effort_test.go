// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// withLocals is a module with a function that has n locals of type i32.
func withLocals(n uint64, body string) string {
	return before + "\x0a" + long("\x01"+long("\x01"+leb(n)+"\x7f"+body+"\x0b"))
}

func leb(n uint64) string { return string(binary.AppendUvarint(nil, n)) }

// each repeats a piece of code for the locals 0 to n-1.
func each(n uint64, code func(local string) string) string {
	var s strings.Builder
	for i := range n {
		s.WriteString(code(leb(i)))
	}
	return s.String()
}

// efforts are functions that are small, and for which a compiler needs minutes or
// gigabytes when they are a few times as large.
func efforts() map[string]func(percent int) string {
	loop := func(local string) string { return "\x03\x40\x20" + local + "\x0d\x00\x0b" }
	touch := func(local string) string { return "\x20" + local + "\x1a" }
	return map[string]func(percent int) string{
		"blocks": func(p int) string { return withLocals(1, strings.Repeat("\x02\x40\x0b", 200*p)) },
		"nested blocks": func(p int) string {
			return withLocals(1, strings.Repeat("\x02\x40", 200*p)+strings.Repeat("\x0b", 200*p))
		},
		"branches": func(p int) string { return withLocals(1, "\x02\x40"+strings.Repeat("\x20\x00\x0d\x00", 199*p)+"\x0b") },
		"nested loops": func(p int) string {
			return withLocals(1, strings.Repeat("\x03\x40", 31*p)+strings.Repeat("\x0b", 31*p))
		},
		"loops":            func(p int) string { return withLocals(1, strings.Repeat(loop("\x00"), 22*p)) },
		"loops and locals": func(p int) string { return withLocals(632, each(632, touch)+strings.Repeat(loop("\x00"), 6*p+p/4)) },
		"blocks and locals": func(p int) string {
			return withLocals(2000, each(2000, touch)+strings.Repeat("\x20\x00\x04\x40\x0b", 10*p))
		},
		"branch tables": func(p int) string {
			return withLocals(1, "\x02\x40"+strings.Repeat("\x20\x00\x0e"+leb(5000)+strings.Repeat("\x00", 5001), p/10)+"\x0b")
		},
		"bulk":   func(p int) string { return withLocals(1, strings.Repeat("\x41\x00\x41\x00\x41\x00\xfc\x0b\x00", 25*p)) },
		"octets": func(p int) string { return withLocals(1, strings.Repeat("\x01", 5240*p)) },
	}
}

// TestEffort: a function is taken up to the limit, and refused beyond it, before
// an engine sees it.
func TestEffort(t *testing.T) {
	for name, make := range efforts() {
		if _, err := metering.Strip([]byte(make(99))); err != nil {
			t.Errorf("%s, below the limit: %v", name, err)
		}
		for _, f := range []func([]byte) ([]byte, error){metering.Strip, func(b []byte) ([]byte, error) { return metering.Rewrite(b, metering.Options{}) }} {
			_, err := f([]byte(make(110)))
			if !errors.Is(err, metering.ErrLimit) || !strings.Contains(err.Error(), "at most ") {
				t.Errorf("%s, above the limit: %v", name, err)
			}
		}
	}
}

// TestEffortOfTheWholeModule: what single functions may, many may not.
func TestEffortOfTheWholeModule(t *testing.T) {
	functions := func(n int, body string) string {
		return magic + types + imports + "\x03" + long(leb(uint64(n))+strings.Repeat("\x00", n)) + tables + memories + globals +
			"\x0a" + huge(leb(uint64(n))+strings.Repeat(body, n))
	}
	for name, wasm := range map[string]string{
		"locals": functions(41, sized("\x01"+leb(50_000)+"\x7f\x0b")),
		"calls":  functions(10, long("\x00"+strings.Repeat("\x10\x00", 210_000)+"\x0b")),
		"code":   functions(33, long("\x00"+strings.Repeat("\x01", 510<<10)+"\x0b")),
	} {
		refused(t, name, wasm, metering.ErrLimit)
	}
	wide := strings.Replace(code("\x02\x02\x0b"), types, "\x01\x2c\x03\x60\x00\x00\x60\x00\x01\x7f\x60\x21"+strings.Repeat("\x7f", 33)+"\x00", 1)
	refused(t, "parameters of a block", wide, metering.ErrLimit)
	refused(t, "results", magic+section(1, "\x01\x60\x00"+sized(strings.Repeat("\x7f", 101))), metering.ErrLimit)
}

// huge is sized for any length: four octets of it.
func huge(s string) string {
	n := len(s)
	return string([]byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n>>14) | 0x80, byte(n >> 21)}) + s
}
