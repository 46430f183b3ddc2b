// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// instruction is the encoding of one, without what follows it.
type instruction struct {
	code string
	name string
}

// instructions are all that there can be: the octets, and 300 numbers behind each
// prefix.
func instructions() (all []instruction) {
	for op := range 0x100 {
		if op < 0xfb || op > 0xfe {
			all = append(all, instruction{string([]byte{byte(op)}), fmt.Sprintf("0x%02x", op)})
			continue
		}
		for n := range 301 {
			code := []byte{byte(op), byte(n)}
			if n > 0x7f {
				code = []byte{byte(op), byte(n) | 0x80, byte(n >> 7)}
			}
			all = append(all, instruction{string(code), fmt.Sprintf("0x%02x %d", op, n)})
		}
	}
	return all
}

// TestEveryInstruction: what the engine takes is metered, and what it takes then
// is valid again; everything else is refused by its number and place. Behind
// unreachable code anything has the right types, so that only what stands behind
// an instruction has to be found out.
func TestEveryInstruction(t *testing.T) {
	taken := 0
	for _, in := range instructions() {
		wasm := valid(t, in.code)
		if wasm == "" || in.code[0] == 0xfd && len(in.code) > 2 && in.code[2] > 1 { // of those the engine reads one octet
			refusedByNumber(t, in)
			continue
		}
		taken++
		out, err := metering.Rewrite([]byte(wasm), metering.Options{})
		if err != nil {
			t.Errorf("%s: the engine takes it: %v", in.name, err)
		} else if err := compile(t, out); err != nil {
			t.Errorf("%s: not valid any more: %v", in.name, err)
		}
	}
	if all := 183 + 18 + 236; taken != all { // WebAssembly 2.0 §5.4: one octet, behind 0xfc, behind 0xfd
		t.Errorf("the engine takes %d instructions, WebAssembly 2.0 has %d", taken, all)
	}
}

// behind is what can stand behind an instruction.
func behind() []string {
	zeros := strings.Repeat("\x00", 18)
	return []string{"", zeros[:1], zeros[:2], zeros[:3], zeros[:4], zeros[:8], zeros[:16],
		"\x01\x7f", "\x70", "\x40\x0b", "\x00\x00\x00"}
}

// valid returns a module with the instruction that the engine takes, "" if there
// is none.
func valid(t *testing.T, code string) string {
	for _, more := range behind() {
		for _, frame := range []string{"\x00%s\x00", "\x00\x04\x40%s\x0b", "\x00\x02\x40%s"} {
			wasm := everything(fmt.Sprintf(frame, code+more))
			if compile(t, []byte(wasm)) == nil {
				return wasm
			}
		}
	}
	return ""
}

// everything is a module with this body and one of all that it could refer to.
func everything(body string) string {
	return magic + types + imports + functions + tables + memories + globals +
		section(9, "\x01\x03\x00\x01\x00") + section(12, "\x01") +
		section(10, "\x01"+sized("\x01\x01\x7f"+body+"\x0b")) + section(11, "\x01\x01\x00")
}

// padded is a module that hides an endless loop in what looks like the constant
// of a v128.const.
func padded() string {
	const hidden = "\x0b\x03\x40\x0c\x00\x0b\x02\x40" // end loop br 0 end block
	return code("\x02\x40\x41\x01\x0d\x00\x00\xfd\x8c\x00" + hidden + strings.Repeat("\x01", 8) + "\x0b")
}

// TestPadded: behind 0xfd the engine takes one octet where the specification has
// an integer of any width, so that what would be the constant of a v128.const
// here is code there that nobody counts. Such a module is refused.
func TestPadded(t *testing.T) {
	if err := compile(t, []byte(padded())); err != nil {
		t.Fatalf("the attack is none: %v", err)
	}
	for name, wasm := range map[string]string{
		"hidden loop": padded(),
		"v128.const":  code("\xfd\x8c\x80\x00" + strings.Repeat("\x00", 16) + "\x1a"),
		"i8x16.eq":    code("\x00\xfd\xa3\x80\x00\x00"),
		"v128.not":    code("\x00\xfd\xcd\x00\x00"),
	} {
		_, err := metering.Rewrite([]byte(wasm), metering.Options{})
		if !errors.Is(err, metering.ErrUnsupported) || !strings.Contains(err.Error(), "padded") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func refusedByNumber(t *testing.T, in instruction) {
	wasm := everything("\x00" + in.code + "\x00\x00\x00\x00")
	_, err := metering.Rewrite([]byte(wasm), metering.Options{})
	var e *metering.Error
	if !errors.As(err, &e) || !errors.Is(err, metering.ErrUnsupported) {
		t.Errorf("%s: got %v", in.name, err)
		return
	}
	if at := strings.Index(wasm, in.code+"\x00\x00\x00\x00"); e.Offset != at || !strings.HasPrefix(e.Detail, "instruction "+in.name) {
		t.Errorf("%s at offset 0x%x: %v", in.name, at, err)
	}
}
