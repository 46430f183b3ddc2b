// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"fmt"
)

// startName is the export under which liftStart hands out a start function.
const startName = "postroad.start"

// liftStart takes the start section out of a valid module and exports its
// function as startName instead. The engine runs a start section inside of
// instantiation, where nobody could stop it at a deadline; as an export the host
// calls it itself, first, with everything in place. A module without one comes
// back as it is.
func liftStart(wasm []byte) ([]byte, error) {
	secs, err := split(wasm)
	if err != nil {
		return nil, err
	}
	fn, ok, err := takeStart(&secs)
	if err != nil || !ok {
		return wasm, err
	}
	secs, err = addExport(secs, startName, fn)
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, wasm[:8]...)
	for _, s := range secs {
		out = append(out, s.id)
		out = appendU32(out, uint32(len(s.body)))
		out = append(out, s.body...)
	}
	return out, nil
}

type section struct {
	id   byte
	body []byte
}

func split(wasm []byte) ([]section, error) {
	if err := checkMagic(wasm); err != nil {
		return nil, err
	}
	var secs []section
	for r := (reader{rest: wasm[8:]}); len(r.rest) > 0; {
		s := section{id: r.octet(), body: r.bytes(r.u32())}
		if r.bad {
			return nil, errTruncated
		}
		secs = append(secs, s)
	}
	return secs, nil
}

// takeStart removes the start section and returns the index of its function.
func takeStart(secs *[]section) (uint32, bool, error) {
	for i, s := range *secs {
		if s.id == sectionStart {
			r := reader{rest: s.body}
			fn := r.u32()
			if r.bad || len(r.rest) > 0 {
				return 0, false, errTruncated
			}
			*secs = append((*secs)[:i:i], (*secs)[i+1:]...)
			return fn, true, nil
		}
	}
	return 0, false, nil
}

// addExport appends an export of function fn. A module that can be a plugin has
// an export section, so a missing one is an error.
func addExport(secs []section, name string, fn uint32) ([]section, error) {
	for i, s := range secs {
		if s.id != sectionExport {
			continue
		}
		if bytes.Contains(s.body, []byte(name)) {
			return nil, fmt.Errorf("it exports the reserved name %s; rename that export", name)
		}
		r := reader{rest: s.body}
		n := r.u32()
		if r.bad {
			return nil, errTruncated
		}
		body := append(appendU32(nil, n+1), r.rest...)
		body = append(appendU32(body, uint32(len(name))), name...)
		secs[i].body = appendU32(append(body, kindFunc), fn)
		return secs, nil
	}
	return nil, errNoExports
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
