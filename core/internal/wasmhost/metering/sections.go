// SPDX-License-Identifier: Apache-2.0

package metering

import "strings"

func (m *module) readTypes(r *reader) {
	for n := r.count("types", maxTypes); n > 0 && r.err == nil; n-- {
		if form := r.byte(); form != 0x60 {
			r.fail(ErrUnsupported, "type of the form 0x%02x", form)
		}
		params := valueTypes(r, "parameters", maxParams)
		m.types = append(m.types, signature{params, valueTypes(r, "results", maxResults)})
	}
}

// valueTypes reads a vector of value types.
func valueTypes(r *reader, what string, limit uint32) []byte {
	types := r.bytes(r.count(what, limit))
	for _, t := range types {
		checkValueType(r, t)
	}
	return types
}

// checkValueType demands i32, i64, f32, f64, v128, funcref or externref.
func checkValueType(r *reader, t byte) {
	if t < 0x7b && !isRefType(t) || t > 0x7f {
		r.fail(ErrUnsupported, "value type 0x%02x", t)
	}
}

func isRefType(t byte) bool { return t == 0x70 || t == 0x6f }

func refType(r *reader) byte {
	t := r.byte()
	if !isRefType(t) {
		r.fail(ErrUnsupported, "reference type 0x%02x", t)
	}
	return t
}

func (m *module) readImports(r *reader) {
	for n := r.count("imports", maxImports); n > 0 && r.err == nil; n-- {
		r.name()
		r.name()
		m.readImport(r)
	}
}

func (m *module) readImport(r *reader) {
	switch kind := r.byte(); kind {
	case 0:
		m.funcs = append(m.funcs, r.index("type", uint32(len(m.types))))
		m.imported++
	case 1:
		readTable(r)
		m.tables++
	case 2:
		m.addMemory(r)
	case 3:
		globalType(r)
		m.globals++
	default:
		r.fail(ErrUnsupported, "import of the kind %d", kind)
	}
}

func (m *module) readFunctions(r *reader) {
	for n := r.count("functions", maxFunctions); n > 0 && r.err == nil; n-- {
		m.funcs = append(m.funcs, r.index("type", uint32(len(m.types))))
	}
}

func (m *module) readTables(r *reader) {
	for n := r.count("tables", maxTables); n > 0 && r.err == nil; n-- {
		m.defined = append(m.defined, readTable(r))
		m.tables++
	}
}

func readTable(r *reader) table {
	return table{refType(r), readLimits(r)}
}

// readLimits reads the limits of a table or memory (flags 0 and 1).
func readLimits(r *reader) limits {
	flags := r.byte()
	switch {
	case flags >= 4:
		r.fail(ErrUnsupported, "64-bit or custom-page limits (flags %d)", flags)
	case flags >= 2:
		r.fail(ErrUnsupported, "shared memory or table (threads)")
	}
	l := limits{min: r.u32(), bounded: flags == 1}
	if l.bounded {
		l.max = r.u32()
	}
	return l
}

func (m *module) readMemories(r *reader) {
	for n := r.count("memories", maxTables); n > 0 && r.err == nil; n-- {
		m.addMemory(r)
	}
}

func (m *module) addMemory(r *reader) {
	readLimits(r)
	if m.memories++; m.memories > 1 {
		r.fail(ErrUnsupported, "more than one memory")
	}
}

func globalType(r *reader) {
	checkValueType(r, r.byte())
	if mutable := r.byte(); mutable > 1 {
		r.fail(ErrMalformed, "mutability %d of a global", mutable)
	}
}

func (m *module) readGlobals(r *reader) {
	for n := r.count("globals", maxGlobals); n > 0 && r.err == nil; n-- {
		globalType(r)
		m.constant(r)
		m.globals++
	}
}

func (m *module) readExports(r *reader) {
	for n := r.count("exports", maxExports); n > 0 && r.err == nil; n-- {
		if name := r.name(); strings.HasPrefix(name, Reserved) {
			r.fail(ErrUnsupported, "the name %q of an export is reserved for the host", name)
		}
		m.readExport(r)
	}
}

func (m *module) readExport(r *reader) {
	switch kind := r.byte(); kind {
	case 0:
		r.index("function", uint32(len(m.funcs)))
	case 1:
		r.index("table", m.tables)
	case 2:
		r.index("memory", m.memories)
	case 3:
		r.index("global", m.globals)
	default:
		r.fail(ErrUnsupported, "export of the kind %d", kind)
	}
}
