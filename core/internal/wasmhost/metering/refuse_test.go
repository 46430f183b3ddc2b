// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
)

// sections of a small module that the tests take apart: one type with a result
// and one without, an imported function, a function, a table, a memory, a global.
const (
	magic     = "\x00asm\x01\x00\x00\x00"
	types     = "\x01\x08\x02\x60\x00\x00\x60\x00\x01\x7f"
	imports   = "\x02\x07\x01\x01m\x01f\x00\x00"
	functions = "\x03\x02\x01\x00"
	tables    = "\x04\x04\x01\x70\x00\x02"
	memories  = "\x05\x03\x01\x00\x01"
	globals   = "\x06\x06\x01\x7f\x01\x41\x00\x0b"
	before    = magic + types + imports + functions + tables + memories + globals
)

// sized is a vector or section: length and contents.
func sized(s string) string {
	if len(s) < 128 {
		return string(byte(len(s))) + s
	}
	return string([]byte{byte(len(s)) | 0x80, byte(len(s) >> 7)}) + s
}

func section(id byte, contents string) string { return string(id) + sized(contents) }

// code is the module with this body, without locals.
func code(instructions string) string {
	return before + section(10, "\x01"+sized("\x00"+instructions+"\x0b"))
}

// TestAccept: what the refused modules below are made from is valid.
func TestAccept(t *testing.T) {
	for _, wasm := range []string{
		code(""), code("\x10\x01"), code("\x23\x00\x24\x00"), code("\x0c\x00"), code("\x02\x40\x0c\x01\x0b"),
		code("\x41\x00\x41\x00\x41\x00\xfc\x0b\x00"), magic,
	} {
		out := rewrite(t, []byte(wasm))
		if err := compile(t, out); err != nil {
			t.Errorf("%q: %v", wasm, err)
		}
	}
}

func compile(t testing.TB, wasm []byte) error {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter())
	defer r.Close(ctx)
	_, err := r.CompileModule(ctx, wasm)
	return err
}

// attacks are modules with an index out of range that becomes valid by what is
// appended, where it would reach the counters or the helper.
func attacks() map[string]string {
	exports := func(kind, index string) string {
		return before + section(7, "\x01\x01x"+kind+index) + code("")[len(before):]
	}
	return map[string]string{
		"global.set slice":        code("\x42\x00\x24\x01"),
		"global.get total":        code("\x23\x02\x1a"),
		"global.get kill, padded": code("\x23\x83\x80\x80\x80\x00\x1a"),
		"call helper":             code("\x10\x02"),
		"ref.func helper":         code("\xd2\x02\x1a"),
		"br past the epilogue":    code("\x0c\x01"),
		"br_if past the epilogue": code("\x02\x40\x41\x00\x0d\x02\x0b"),
		"br_table past":           code("\x41\x00\x0e\x01\x00\x01"),
		"br_table default past":   code("\x41\x00\x0e\x00\x01"),
		"scratch local":           code("\x41\x00\x41\x00\x41\x00\xfc\x0b\x00\x20\x00\x1a"),
		"local.set scratch":       code("\x41\x00\x40\x00\x21\x00"),
		"block type":              code("\x02\x02\x0b"),
		"call_indirect type":      code("\x41\x00\x11\x02\x00"),
		"call_indirect table":     code("\x41\x00\x11\x00\x01"),
		"table.get table":         code("\x41\x00\x25\x01\x1a"),
		"table.init segment":      code("\x41\x00\x41\x00\x41\x00\xfc\x0c\x00\x00"),
		"memory.init segment":     code("\x41\x00\x41\x00\x41\x00\xfc\x08\x00\x00"),
		"export of slice":         exports("\x03", "\x01"),
		"export of helper":        exports("\x00", "\x02"),
		"start is helper":         before + section(8, "\x02") + code("")[len(before):],
		"element is helper":       before + section(9, "\x01\x00\x41\x00\x0b\x01\x02") + code("")[len(before):],
		"element expr is helper":  before + section(9, "\x01\x04\x41\x00\x0b\x01\xd2\x02\x0b") + code("")[len(before):],
		"global from helper":      strings.Replace(code(""), globals, "\x06\x06\x01\x70\x00\xd2\x02\x0b", 1),
		"global from slice":       strings.Replace(code(""), globals, "\x06\x06\x01\x7e\x00\x23\x00\x0b", 1),
		"function of new type":    strings.Replace(code(""), functions, "\x03\x02\x01\x02", 1),
		"no memory to load from":  strings.Replace(code("\x41\x00\x28\x02\x00\x1a"), memories, "", 1),
		"no memory to grow":       strings.Replace(code("\x41\x00\x40\x00\x1a"), memories, "", 1),
		"no memory to export":     strings.Replace(exports("\x02", "\x00"), memories, "", 1),
		"no memory for data":      strings.Replace(code("")+section(11, "\x01\x00\x41\x00\x0b\x00"), memories, "", 1),
		"body ends early":         code("\x0b\x0b"),
		"body ends late":          code("\x02\x40"),
		"else at the top":         code("\x05"),
	}
}

// TestOutOfRange: the attacks are refused.
func TestOutOfRange(t *testing.T) {
	for name, wasm := range attacks() {
		refused(t, name, wasm, metering.ErrMalformed)
	}
}

// refused demands an *Error of a kind that knows the place, and that wazero
// agrees about the original.
func refused(t *testing.T, name, wasm string, kind error) {
	t.Helper()
	out, err := metering.Rewrite([]byte(wasm), metering.Options{})
	var e *metering.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || out != nil {
		t.Errorf("%s: got %v, want %v", name, err, kind)
	}
	if e != nil && (e.Offset < 0 || e.Offset > len(wasm) || e.Detail == "") {
		t.Errorf("%s: offset %d of %d", name, e.Offset, len(wasm))
	}
	if kind == metering.ErrMalformed && compile(t, []byte(wasm)) == nil {
		t.Errorf("%s: wazero takes it", name)
	}
}

// TestUnsupported: proposals that plugins may not use.
func TestUnsupported(t *testing.T) {
	for name, wasm := range map[string]string{
		"return_call":          code("\x12\x00"),
		"return_call_indirect": code("\x41\x00\x13\x00\x00"),
		"call_ref":             code("\x14\x00"),
		"try":                  code("\x06\x40\x0b"),
		"throw":                code("\x08\x00"),
		"try_table":            code("\x1f\x40\x00\x0b"),
		"gc":                   code("\xfb\x00\x00"),
		"threads":              code("\xfe\x03\x00"),
		"relaxed simd":         code("\xfd\x80\x02"),
		"unused simd":          code("\xfd\x9a\x01"),
		"new bulk":             code("\xfc\x12\x00\x00"),
		"unused":               code("\x27"),
		"ref.as_non_null":      code("\xd4"),
		"second memory":        code("\x3f\x01\x1a"),
		"two memories":         strings.Replace(code(""), memories, "\x05\x05\x02\x00\x01\x00\x01", 1),
		"shared memory":        strings.Replace(code(""), memories, "\x05\x04\x01\x03\x01\x01", 1),
		"memory64":             strings.Replace(code(""), memories, "\x05\x03\x01\x04\x01", 1),
		"tag section":          code("") + section(13, "\x00"),
		"struct type":          strings.Replace(code(""), types, "\x01\x06\x02\x5f\x00\x60\x00\x00", 1),
		"table with a value":   strings.Replace(code(""), tables, "\x04\x09\x01\x40\x00\x70\x00\x02\xd0\x70\x0b", 1),
		"typed table":          strings.Replace(code(""), tables, "\x04\x05\x01\x63\x70\x00\x02", 1),
		"imported tag":         strings.Replace(code(""), imports, "\x02\x08\x01\x01m\x01f\x04\x00\x00", 1),
		"exnref local":         before + section(10, "\x01"+sized("\x01\x01\x69\x0b")),
		"reserved export":      before + section(7, "\x01"+sized(metering.NameKill)+"\x03\x00") + code("")[len(before):],
	} {
		refused(t, name, wasm, metering.ErrUnsupported)
	}
}

// TestLimits: small modules that ask for much.
func TestLimits(t *testing.T) {
	refused(t, "big table", strings.Replace(code(""), tables, "\x04\x06\x01\x70\x00\xff\xff\x7f", 1), metering.ErrLimit)
	refused(t, "locals", before+section(10, "\x01"+sized("\x01\xff\xff\x7f\x7f\x0b")), metering.ErrLimit)
	refused(t, "locals that wrap", before+section(10, "\x01"+sized("\x02\xd0\x86\x03\x7f\xff\xff\xff\xff\x0f\x7f\x0b")), metering.ErrLimit)
	refused(t, "parameters", magic+section(1, "\x01\x60"+sized(strings.Repeat("\x7f", 1001))+"\x00"), metering.ErrLimit)
	refused(t, "types", magic+section(1, "\xff\xff\xff\xff\x0f"), metering.ErrMalformed)
	refused(t, "nothing", "", metering.ErrMalformed)
	refused(t, "component", "\x00asm\x0d\x00\x01\x00", metering.ErrMalformed)
	refused(t, "trailing octets", strings.Replace(code(""), functions, "\x03\x03\x01\x00\x00", 1), metering.ErrMalformed)
	refused(t, "twice", before+globals, metering.ErrMalformed)
	refused(t, "order", magic+functions+types, metering.ErrMalformed)
	refused(t, "section beyond the end", code("")+"\x0b\x05", metering.ErrMalformed)
	refused(t, "no bodies", before, metering.ErrMalformed)
}

// TestStrip: the form for the validator has nothing in it that allocates more
// than it is worth, such as a name section that announces 2^32 names.
func TestStrip(t *testing.T) {
	bomb := section(0, sized("name")+"\x01\x05\xff\xff\xff\xff\x0f")
	names := section(0, sized("name")+"\x00\x02\x01m"+"\x01\x04\x01\x01\x01f"+"\x02\x01\x00")
	manifest := section(0, sized("postroad.manifest")+"{}")
	plain := code("")
	for in, want := range map[string]string{
		plain:                                   plain,
		plain + bomb:                            plain,
		manifest + plain:                        "",
		plain + manifest:                        plain,
		plain + names:                           plain + section(0, sized("name")+"\x01\x04\x01\x01\x01f"),
		magic + manifest + plain[8:] + manifest: plain,
	} {
		out, err := metering.Strip([]byte(in))
		if string(out) != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v", in, out, err)
		}
	}
}

// TestRepeatable: the same input gives the same output, and is not changed.
func TestRepeatable(t *testing.T) {
	wasm := read(t, "testdata/exact.wasm")
	before := string(wasm)
	if a, b := rewrite(t, wasm), rewrite(t, wasm); string(a) != string(b) || string(wasm) != before {
		t.Error("two results differ, or the input was changed")
	}
}

// TestRewriteTwice: what is metered cannot be metered again, for then the guest
// would own the first counters.
func TestRewriteTwice(t *testing.T) {
	if _, err := metering.Rewrite(rewrite(t, read(t, "testdata/exact.wasm")), metering.Options{}); !errors.Is(err, metering.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}
