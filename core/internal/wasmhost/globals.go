// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// globalPrefix and a number are the exports under which openGlobals hands out
// the mutable globals of a module.
const globalPrefix = "postroad.global."

// restoreSection is a custom section of the metered module that says why its
// instances cannot be restored. It is not there when they can.
const restoreSection = "postroad.restore"

// maxRestored bounds the mutable globals of a module that can be restored.
const maxRestored = 1000

// The value types that api.MutableGlobal can carry: numbers.
const (
	typeF64 = 0x7c
	typeI32 = 0x7f
)

var errGlobals = errors.New("it is a damaged WebAssembly module: its globals cannot be read")

// openGlobals exports every mutable global of a valid module, so that isolation
// "restore" can put their values back: the stack pointer, as a rule. It returns
// too why that is not enough for this module, "" if it is. A module imports no
// globals, so indexes count those that it defines.
func openGlobals(wasm []byte) (out []byte, why string, err error) {
	secs, err := split(wasm)
	if err != nil {
		return nil, "", err
	}
	globals, why, err := mutableGlobals(secs)
	if err != nil {
		return nil, "", err
	}
	if why == "" {
		if why, err = metering.Lasting(wasm); err != nil {
			return nil, "", fmt.Errorf("it cannot be run safely: %w", err)
		}
	}
	if why != "" || len(globals) == 0 {
		return wasm, why, nil
	}
	exports := make([]export, len(globals))
	for n, index := range globals {
		exports[n] = export{globalPrefix + strconv.Itoa(n), kindGlobal, index}
	}
	if err = addExports(secs, globalPrefix, exports); err != nil {
		return nil, "", err
	}
	return join(wasm[:8], secs), "", nil
}

// mutableGlobals returns the indexes of the mutable globals, or what is wrong
// with them: one that holds a vector or a reference.
func mutableGlobals(secs []section) (indexes []uint32, why string, err error) {
	for _, s := range secs {
		if s.id != sectionGlobal {
			continue
		}
		r := reader{rest: s.body}
		count := r.u32()
		for n := uint32(0); n < count && !r.bad; n++ {
			kind, mutable := r.octet(), r.octet() == 1
			r.constant()
			switch {
			case mutable && (kind < typeF64 || kind > typeI32):
				why = "a mutable global that is no number"
			case mutable:
				indexes = append(indexes, n)
			}
		}
		switch {
		case r.bad:
			return nil, "", errGlobals
		case len(indexes) > maxRestored:
			why = fmt.Sprintf("more than %d mutable globals", maxRestored)
		}
	}
	return indexes, why, nil
}

// constant skips a constant expression of WebAssembly 2.0 (§3.3.10).
func (r *reader) constant() {
	for !r.bad {
		switch r.octet() {
		case 0x0b: // end
			return
		case 0x41, 0x42: // i32.const, i64.const
			r.signed()
		case 0x43: // f32.const
			r.bytes(4)
		case 0x44: // f64.const
			r.bytes(8)
		case 0x23, 0xd2: // global.get, ref.func
			r.u32()
		case 0xd0: // ref.null
			r.octet()
		case 0xfd: // v128.const
			r.bytes(17)
		default:
			r.bad = true
		}
	}
}

// signed skips a signed LEB128 number.
func (r *reader) signed() {
	for r.octet()&0x80 != 0 && !r.bad {
	}
}

// withSection appends a custom section.
func withSection(wasm []byte, name, content string) []byte {
	body := append(appendU32(nil, uint32(len(name))), name...)
	body = append(body, content...)
	out := append(bytes.Clone(wasm), sectionCustom)
	return append(appendU32(out, uint32(len(body))), body...)
}

// readOpened reads back from a metered module what openGlobals made of it.
func (c *code) readOpened(metered []byte) error {
	o, err := readOutline(metered, restoreSection)
	if err != nil {
		return err
	}
	c.tied, c.globals = string(o.custom[restoreSection]), 0
	for _, e := range o.exports {
		if strings.HasPrefix(e.name, globalPrefix) {
			c.globals++
		}
	}
	return nil
}
