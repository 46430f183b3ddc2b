// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Section ids of the core binary format (WebAssembly 1.0 §5.5.2).
const (
	sectionCustom = 0
	sectionImport = 2
	sectionGlobal = 6
	sectionExport = 7
	sectionStart  = 8
)

// Kinds of imports and exports (WebAssembly 1.0 §5.5.5).
const (
	kindFunc   = 0
	kindTable  = 1
	kindMemory = 2
	kindGlobal = 3
)

var kindNames = [...]string{"function", "table", "memory", "global"}

// Errors of readOutline.
var (
	errNotWasm   = errors.New("it is not a WebAssembly module; give a .wasm file that a compiler made")
	errComponent = errors.New("it is a WebAssembly component, which this host cannot run; " +
		"build a core module instead (Rust: target wasm32-wasip1 or wasm32-unknown-unknown; TinyGo and Go: wasip1; not wasip2)")
	errVersion   = errors.New("it is a WebAssembly module of an unknown binary version; build it for version 1")
	errTruncated = errors.New("it is a damaged WebAssembly module: it ends in the middle of a section; get it, or build it, again")
	errTrailing  = errors.New("it is a damaged WebAssembly module: a section is longer than what it holds; get it, or build it, again")
)

// outline is what the host wants to know of a module before it is compiled.
// Nothing in it has been validated beyond its own syntax.
type outline struct {
	imports []importEntry
	exports []exportEntry
	custom  map[string][]byte // contents of the custom sections that were asked for
}

type importEntry struct {
	module, name string
	kind         byte
}

type exportEntry struct {
	name string
	kind byte
}

// readOutline walks the sections of a core module. It refuses what is not one
// with an error that says what it is instead. custom are the names of custom
// sections to read; of each there may be one.
func readOutline(wasm []byte, custom ...string) (*outline, error) {
	if err := checkMagic(wasm); err != nil {
		return nil, err
	}
	b := &outline{custom: make(map[string][]byte)}
	r := reader{rest: wasm[8:]}
	for len(r.rest) > 0 && !r.bad {
		id := r.octet()
		body := reader{rest: r.bytes(r.u32())}
		if r.bad {
			break
		}
		if err := b.section(id, &body, custom); err != nil {
			return nil, err
		}
	}
	if r.bad {
		return nil, errTruncated
	}
	return b, nil
}

func checkMagic(wasm []byte) error {
	switch {
	case len(wasm) < 8 || !bytes.Equal(wasm[:4], []byte("\x00asm")):
		return errNotWasm
	case wasm[6] == 1:
		return errComponent // layer 1 of the component model's preamble
	case !bytes.Equal(wasm[4:8], []byte{1, 0, 0, 0}):
		return errVersion
	}
	return nil
}

func (b *outline) section(id byte, r *reader, custom []string) error {
	switch id {
	case sectionCustom:
		return b.readCustom(r, custom)
	case sectionImport:
		b.readImports(r)
	case sectionExport:
		b.readExports(r)
	default:
		return nil
	}
	switch {
	case r.bad:
		return errTruncated
	case len(r.rest) > 0:
		return errTrailing
	}
	return nil
}

func (b *outline) readCustom(r *reader, wanted []string) error {
	name := r.name()
	if r.bad || !slices.Contains(wanted, name) {
		return nil // a malformed custom section never makes a module invalid
	}
	if b.custom[name] != nil {
		return fmt.Errorf("it has two %s sections; keep one", name)
	}
	b.custom[name] = append([]byte{}, r.rest...)
	return nil
}

func (b *outline) readImports(r *reader) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		e := importEntry{module: r.name(), name: r.name(), kind: r.octet()}
		r.importType(e.kind)
		b.imports = append(b.imports, e)
	}
}

func (b *outline) readExports(r *reader) {
	for n := r.u32(); n > 0 && !r.bad; n-- {
		e := exportEntry{name: r.name(), kind: r.octet()}
		r.u32()
		b.exports = append(b.exports, e)
	}
}

// exported reports whether there is an export of that name and kind.
func (b *outline) exported(name string, kind byte) bool {
	for _, e := range b.exports {
		if e.name == name && e.kind == kind {
			return true
		}
	}
	return false
}

// reader reads the binary format; bad is set once something did not fit.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) octet() byte {
	p := r.bytes(1)
	if len(p) == 0 {
		return 0
	}
	return p[0]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		c := r.octet()
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > 1<<32-1 {
				r.bad = true
			}
			return uint32(v)
		}
	}
	r.bad = true
	return 0
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// importType skips the type of an import.
func (r *reader) importType(kind byte) {
	switch kind {
	case kindFunc:
		r.u32()
	case kindTable:
		r.octet()
		r.limits()
	case kindMemory:
		r.limits()
	case kindGlobal:
		r.bytes(2)
	default:
		r.bad = true
	}
}

func (r *reader) limits() {
	flags := r.octet()
	r.u32()
	if flags&1 != 0 {
		r.u32()
	}
}
