// SPDX-License-Identifier: Apache-2.0

package metering

// cost returns the units of one instruction: one for most, more for what takes
// the processor longer, so that a unit is about the same time in any guest.
// Structure is free, for it compiles to nothing. Bulk operations cost their
// length on top (see bulkCost). raw is the encoded instruction.
func (m *module) cost(op opcode, raw []byte) int64 {
	switch {
	case op >= 0xfd00:
		return simdCost(op)
	case op > opTruncSatLast:
		return 100
	case op >= opI32Load && op <= opI64Load32U:
		return 2
	case op >= opI32DivS && op <= opI32RemU, op >= opI64DivS && op <= opI64RemU:
		return 20
	}
	return m.plainCost(op, raw)
}

func (m *module) plainCost(op opcode, raw []byte) int64 {
	switch op {
	case opBlock, opLoop, opElse, opEnd:
		return 0
	case opF32Div, opF64Div:
		return 10
	case opF32Sqrt, opF64Sqrt:
		return 30
	case opCallIndirect:
		return 20
	case opMemoryGrow:
		return 1000
	case opRefFunc: // leaves the native code
		return 500
	case opCall:
		if immediate(raw) < m.imported { // a host function, most likely
			return 500
		}
		return 10
	}
	return 1
}

// immediate returns the index that stands first behind an instruction of one
// octet: the function of a call, the local of a local.set, the label of a br.
func immediate(raw []byte) uint32 {
	r := reader{data: raw[1:]}
	return r.u32()
}

func simdCost(op opcode) int64 {
	switch n := byte(op); {
	case op == opF32x4Sqrt, op == opF64x2Sqrt:
		return 30
	case op == opF32x4Div, op == opF64x2Div:
		return 10
	case n <= 0x0a, n >= 0x54 && n <= 0x57, n == 0x5c, n == 0x5d: // loads
		return 2
	}
	return 1
}

// bulkCost tells how an instruction is charged by the length on top of the
// stack: shifted left, right if negative. ok is false if it has none.
func bulkCost(op opcode) (shift int, ok bool) {
	switch op {
	case opMemoryGrow:
		return 12, true // a page is 65,536 octets to zero
	case opMemoryInit, opMemoryCopy, opMemoryFill:
		return -4, true // 16 octets at a time
	case opTableInit, opTableCopy, opTableFill, opTableGrow:
		return 0, true
	}
	return 0, false
}
