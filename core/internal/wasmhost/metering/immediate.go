// SPDX-License-Identifier: Apache-2.0

package metering

// scope is what an instruction can refer to besides the module: the labels and
// locals of its function.
type scope struct {
	nesting uint32 // blocks open inside the body; labels are 0 to nesting
	locals  uint32 // parameters and declared locals
}

// immediates reads what follows an instruction and checks every index against
// the counts of the original. In constants there is no scope.
func (m *module) immediates(r *reader, op opcode, s *scope) {
	switch {
	case op >= 0xfd00:
		m.simdImmediates(r, op)
	case op >= 0xfc00:
		m.bulkImmediates(r, op)
	case op >= opI32Load && op <= opI64Store32:
		m.memarg(r)
	case op < opI32Const || op >= opRefNull:
		m.plainImmediates(r, op, s)
	case op <= opF64Const:
		constImmediate(r, op)
	}
}

func constImmediate(r *reader, op opcode) {
	switch op {
	case opI32Const:
		r.signed(32)
	case opI64Const:
		r.signed(64)
	case opF32Const:
		r.bytes(4)
	case opF64Const:
		r.bytes(8)
	}
}

func (m *module) plainImmediates(r *reader, op opcode, s *scope) {
	switch op {
	case opBlock, opLoop, opIf:
		m.blockType(r)
	case opBr, opBrIf:
		r.index("label", s.nesting+1)
	case opBrTable:
		labelTable(r, s)
	case opCall, opRefFunc:
		r.index("function", uint32(len(m.funcs)))
	case opCallIndirect:
		r.index("type", uint32(len(m.types)))
		r.index("table", m.tables)
	case opSelectTyped:
		valueTypes(r, "types", 1)
	case opLocalGet, opLocalSet, opLocalTee:
		r.index("local", s.locals)
	case opGlobalGet, opGlobalSet:
		r.index("global", m.globals)
	case opTableGet, opTableSet:
		r.index("table", m.tables)
	case opMemorySize, opMemoryGrow:
		m.memory(r)
	case opRefNull:
		refType(r)
	}
}

// blockType reads the type of a block: none, a value type, or the index of a
// function type as a positive signed number of 33 bits.
func (m *module) blockType(r *reader) {
	at := r.pos
	n := r.signed(33)
	switch {
	case r.err != nil || n == -64 && r.pos == at+1:
	case n >= int64(len(m.types)):
		r.fail(ErrMalformed, "type %d does not exist, there are %d", n, len(m.types))
	case n >= 0 && len(m.types[n].params) > maxBlockParams:
		r.fail(ErrLimit, "a block of %d parameters, at most %d are allowed", len(m.types[n].params), maxBlockParams)
	case n < -64 || n < 0 && r.pos != at+1:
		r.fail(ErrMalformed, "block type %d", n)
	case n < 0:
		checkValueType(r, byte(n&0x7f))
	}
}

func labelTable(r *reader, s *scope) {
	for n := r.count("labels", maxLabels); n > 0 && r.err == nil; n-- {
		r.index("label", s.nesting+1)
	}
	r.index("label", s.nesting+1)
}

// memory reads the index of the memory that an instruction works on, which is
// one octet, zero, without the multi-memory proposal.
func (m *module) memory(r *reader) {
	if b := r.byte(); b != 0 {
		r.fail(ErrUnsupported, "memory %d (more than one memory)", b)
	}
	m.needMemory(r)
}

func (m *module) needMemory(r *reader) {
	if m.memories == 0 {
		r.fail(ErrMalformed, "memory 0 does not exist")
	}
}

// memarg reads alignment and offset. Alignments beyond 16 octets are the flag
// of a memory index.
func (m *module) memarg(r *reader) {
	m.needMemory(r)
	if align := r.u32(); align > 4 {
		r.fail(ErrMalformed, "alignment 2^%d of a memory access", align)
	}
	r.u32()
}

func (m *module) bulkImmediates(r *reader, op opcode) {
	switch op {
	case opMemoryInit:
		r.index("data segment", m.datas)
		m.memory(r)
	case opDataDrop:
		r.index("data segment", m.datas)
	case opMemoryCopy:
		m.memory(r)
		m.memory(r)
	case opMemoryFill:
		m.memory(r)
	case opTableInit:
		r.index("element segment", m.elements)
		r.index("table", m.tables)
	case opElemDrop:
		r.index("element segment", m.elements)
	case opTableCopy:
		r.index("table", m.tables)
		r.index("table", m.tables)
	case opTableGrow, opTableSize, opTableFill:
		r.index("table", m.tables)
	}
}

func (m *module) simdImmediates(r *reader, op opcode) {
	switch n := byte(op); {
	case n <= byte(opV128Store&0xff), n == 0x5c, n == 0x5d: // loads and stores
		m.memarg(r)
	case op == opV128Const, op == opShuffle:
		r.bytes(16)
	case n >= 0x15 && n <= 0x22: // extract and replace a lane
		r.byte()
	case n >= 0x54 && n <= 0x5b: // load and store a lane
		m.memarg(r)
		r.byte()
	}
}
