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
	if err = addExports(secs, startName, []export{{startName, kindFunc, fn}}); err != nil {
		return nil, err
	}
	return join(wasm[:8], secs), nil
}

// join makes a module of its sections.
func join(magic []byte, secs []section) []byte {
	out := append([]byte{}, magic...)
	for _, s := range secs {
		out = append(out, s.id)
		out = appendU32(out, uint32(len(s.body)))
		out = append(out, s.body...)
	}
	return out
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

// export is an export to be added: a name for something of the module's.
type export struct {
	name  string
	kind  byte
	index uint32
}

// addExports appends exports, whose names begin with prefix. A module that can
// be a plugin has an export section, so a missing one is an error.
func addExports(secs []section, prefix string, more []export) error {
	for i, s := range secs {
		if s.id != sectionExport {
			continue
		}
		if bytes.Contains(s.body, []byte(prefix)) {
			return fmt.Errorf("it exports the reserved name %s; rename that export", prefix)
		}
		r := reader{rest: s.body}
		n := r.u32()
		if r.bad {
			return errTruncated
		}
		body := append(appendU32(nil, n+uint32(len(more))), r.rest...)
		for _, e := range more {
			body = append(appendU32(body, uint32(len(e.name))), e.name...)
			body = appendU32(append(body, e.kind), e.index)
		}
		secs[i].body = body
		return nil
	}
	return errNoExports
}

func appendU32(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
