// SPDX-License-Identifier: Apache-2.0

package metering

// Bits of the flags of an element segment.
const (
	elemPassive  = 1 << iota // or declarative; no table, no offset
	elemExplicit             // a table index if active, declarative if not
	elemExprs                // constant expressions instead of function indexes
)

func (m *module) readElements(r *reader) {
	total := uint32(0)
	for n := r.count("element segments", maxSegments); n > 0 && r.err == nil; n-- {
		total += m.readElement(r)
		m.elements++
		if total > maxElements {
			r.fail(ErrLimit, "more than %d elements", maxElements)
		}
	}
}

// readElement reads one segment and returns the number of its entries.
func (m *module) readElement(r *reader) uint32 {
	flags := r.u32()
	if flags > elemPassive|elemExplicit|elemExprs {
		r.fail(ErrMalformed, "element segment of the kind %d", flags)
	}
	if flags&elemPassive == 0 {
		m.activeElement(r, flags)
	}
	if flags&(elemPassive|elemExplicit) != 0 {
		elementType(r, flags)
	}
	n := r.count("elements", maxElements)
	for i := uint32(0); i < n && r.err == nil; i++ {
		m.elementEntry(r, flags)
	}
	return n
}

// activeElement reads where a segment is copied to.
func (m *module) activeElement(r *reader, flags uint32) {
	if flags&elemExplicit != 0 {
		r.index("table", m.tables)
	} else if m.tables == 0 {
		r.fail(ErrMalformed, "elements for a table that does not exist")
	}
	m.constant(r)
}

func elementType(r *reader, flags uint32) {
	if flags&elemExprs != 0 {
		refType(r)
	} else if kind := r.byte(); kind != 0 {
		r.fail(ErrMalformed, "elements of the kind %d", kind)
	}
}

func (m *module) elementEntry(r *reader, flags uint32) {
	if flags&elemExprs != 0 {
		m.constant(r)
		return
	}
	r.index("function", uint32(len(m.funcs)))
}

func (m *module) readDatas(r *reader) {
	count := r.count("data segments", maxSegments)
	if m.raw[secDataCount] != nil && count != m.datas {
		r.fail(ErrMalformed, "%d data segments where %d were announced", count, m.datas)
	}
	for ; count > 0 && r.err == nil; count-- {
		m.readData(r)
	}
}

// readData reads one segment: active (0), passive (1), or active with a memory
// index (2).
func (m *module) readData(r *reader) {
	kind := r.u32()
	if kind > 2 {
		r.fail(ErrMalformed, "data segment of the kind %d", kind)
	}
	if kind == 2 {
		r.index("memory", m.memories)
	}
	if kind != 1 {
		if m.memories == 0 {
			r.fail(ErrMalformed, "data for a memory that does not exist")
		}
		m.constant(r)
	}
	r.bytes(r.u32())
}

// constant reads a constant expression. The arithmetic of the
// extended-constants proposal is let through; whether it is allowed is the
// engine's to say.
func (m *module) constant(r *reader) {
	for r.err == nil {
		switch op := m.opcode(r); op {
		case opEnd:
			return
		case opI32Const, opI64Const, opF32Const, opF64Const, opV128Const,
			opGlobalGet, opRefNull, opRefFunc,
			opI32Add, opI32Sub, opI32Mul, opI64Add, opI64Sub, opI64Mul:
			m.immediates(r, op, nil)
		default:
			r.fail(ErrMalformed, "%v is not constant", op)
		}
	}
}
