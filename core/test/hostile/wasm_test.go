// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// The binary format, as far as modules are made here that are too large, or too
// wrong, to be kept as text.

// allPhases is the mask of every phase that there is.
const allPhases = 0x810f07ff

// everywhere makes a guest that asks for phase message ask for all: the operator
// names the one that is meant. Modules that do not ask so stay as they are.
func everywhere(wasm []byte) []byte {
	was, is := []byte("\x05\x00\x42\x80\x04\x0b"), append(append([]byte("\x08\x00\x42"), sleb(allPhases)...), 0x0b)
	var out []byte
	for _, s := range split(wasm) {
		if s.id == 10 && bytes.Count(s.body, was) == 1 {
			s.body = bytes.Replace(s.body, was, is, 1)
		}
		out = append(out, s.encode()...)
	}
	return append([]byte(magic), out...)
}

type section struct {
	id   byte
	body []byte
}

func (s section) encode() []byte { return append([]byte{s.id}, sized(s.body)...) }

// split takes a sound module apart.
func split(wasm []byte) (all []section) {
	for rest := wasm[len(magic):]; len(rest) > 0; {
		n, size := binary.Uvarint(rest[1:])
		end := 1 + size + int(n)
		all = append(all, section{rest[0], bytes.Clone(rest[1+size : end])})
		rest = rest[end:]
	}
	return all
}

const magic = "\x00asm\x01\x00\x00\x00"

func leb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func sleb(n int64) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		if n >>= 7; n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func sized(b []byte) []byte { return append(leb(len(b)), b...) }

// vector is n entries.
func vector(n int, entries []byte) []byte { return append(leb(n), entries...) }

// locals is a declaration of n locals of type i32.
func locals(n int) []byte {
	if n == 0 {
		return []byte{0}
	}
	return append(append([]byte{1}, leb(n)...), 0x7f)
}

// body is the code of a function.
func body(n int, code string) []byte {
	return sized(append(append(locals(n), code...), 0x0b))
}

// plugin is a module with pr_init and a pr_on of that body, and n more functions
// () -> () of another. patch changes its sections.
func plugin(on []byte, n int, other []byte, patch ...func(map[byte][]byte)) []byte {
	secs := map[byte][]byte{
		1: {3, 0x60, 0, 1, 0x7e, 0x60, 2, 0x7f, 0x7f, 1, 0x7f, 0x60, 0, 0},
		3: vector(2+n, append([]byte{0, 1}, bytes.Repeat([]byte{2}, n)...)),
		5: {1, 0, 1},
		7: []byte("\x03\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01"),
	}
	code := append(body(0, "\x42"+string(sleb(allPhases))), on...)
	secs[10] = vector(2+n, append(code, bytes.Repeat(other, n)...))
	for _, f := range patch {
		f(secs)
	}
	out := []byte(magic)
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11, 13} {
		if b, ok := secs[id]; ok {
			out = append(out, section{id, b}.encode()...)
		}
	}
	return out
}

// set replaces a section.
func set(id byte, b string) func(map[byte][]byte) {
	return func(secs map[byte][]byte) { secs[id] = []byte(b) }
}

// on is a plugin whose pr_on is this code.
func on(code string, patch ...func(map[byte][]byte)) []byte {
	return plugin(body(0, code), 0, nil, patch...)
}

// spins is a loop without an end.
const spins = "\x03\x40\x0c\x00\x0b\x41\x00"

func repeat(code string, n int) string { return strings.Repeat(code, n) }

// giants are modules that are near to what may be loaded, and attack when they
// run.
func giants() map[string]func() []byte {
	return map[string]func() []byte{
		"giant_br_table": func() []byte { // 40,000 ways, all of them back
			return on("\x03\x40\x41\x07\x0e" + string(leb(40_000)) + repeat("\x00", 40_001) + "\x0b\x41\x00")
		},
		"giant_locals": func() []byte { // 49,000 locals in each frame
			return plugin(body(0, "\x10\x02\x41\x00"), 1, body(49_000, "\x10\x02"))
		},
		"giant_nesting": func() []byte { // a loop inside of 9,000 blocks
			return on(repeat("\x02\x40", 9_000) + "\x03\x40\x0c\x00\x0b" + repeat("\x0b", 9_000) + "\x41\x00")
		},
		"giant_functions": func() []byte { // 20,000 functions, each calls the next, the last runs for ever
			var code []byte
			const n = 20_000
			for i := range n - 1 {
				code = append(code, body(0, "\x10"+string(leb(3+i)))...)
			}
			code = append(code, body(0, "\x03\x40\x0c\x00\x0b")...)
			return plugin(body(0, "\x10\x02\x41\x00"), n, nil, func(secs map[byte][]byte) {
				secs[10] = append(append(leb(2+n), append(body(0, "\x42"+string(sleb(allPhases))), body(0, "\x10\x02\x41\x00")...)...), code...)
			})
		},
		"giant_straight": func() []byte { // half a MiB of code without a loop, called for ever
			return plugin(body(0, "\x03\x40\x10\x02\x0c\x00\x0b\x41\x00"), 1, body(1, repeat("\x20\x00\x41\x03\x6a\x21\x00", 70_000)))
		},
		"giant_data": func() []byte { // 90,000 data segments, and a loop
			return on(spins, set(11, string(vector(90_000, []byte(repeat("\x00\x41\x00\x0b\x01x", 90_000))))))
		},
		"giant_globals": func() []byte {
			return on(spins, set(6, string(vector(90_000, []byte(repeat("\x7f\x01\x41\x00\x0b", 90_000))))))
		},
	}
}
