// SPDX-License-Identifier: Apache-2.0

package metering

import "fmt"

// opcode is an instruction: the octet, or the prefix 0xfc or 0xfd in the high
// octet and the number behind it in the low one.
type opcode uint16

// Instructions that the rewriter treats by name.
const (
	opUnreachable  opcode = 0x00
	opNop          opcode = 0x01
	opBlock        opcode = 0x02
	opLoop         opcode = 0x03
	opIf           opcode = 0x04
	opElse         opcode = 0x05
	opEnd          opcode = 0x0b
	opBr           opcode = 0x0c
	opBrIf         opcode = 0x0d
	opBrTable      opcode = 0x0e
	opReturn       opcode = 0x0f
	opCall         opcode = 0x10
	opCallIndirect opcode = 0x11
	opDrop         opcode = 0x1a
	opSelect       opcode = 0x1b
	opSelectTyped  opcode = 0x1c
	opLocalGet     opcode = 0x20
	opLocalSet     opcode = 0x21
	opLocalTee     opcode = 0x22
	opGlobalGet    opcode = 0x23
	opGlobalSet    opcode = 0x24
	opTableGet     opcode = 0x25
	opTableSet     opcode = 0x26
	opI32Load      opcode = 0x28
	opI64Load32U   opcode = 0x35
	opI64Store32   opcode = 0x3e
	opMemorySize   opcode = 0x3f
	opMemoryGrow   opcode = 0x40
	opI32Const     opcode = 0x41
	opI64Const     opcode = 0x42
	opF32Const     opcode = 0x43
	opF64Const     opcode = 0x44
	opI32Eqz       opcode = 0x45
	opI64Eqz       opcode = 0x50
	opI64LtS       opcode = 0x53
	opI32LtS       opcode = 0x48
	opI32Add       opcode = 0x6a
	opI32Sub       opcode = 0x6b
	opI32Mul       opcode = 0x6c
	opI32DivS      opcode = 0x6d
	opI32RemU      opcode = 0x70
	opI32Or        opcode = 0x72
	opI64Add       opcode = 0x7c
	opI64Sub       opcode = 0x7d
	opI64Mul       opcode = 0x7e
	opI64DivS      opcode = 0x7f
	opI64RemU      opcode = 0x82
	opI64Shl       opcode = 0x86
	opI64ShrU      opcode = 0x88
	opI64LtU       opcode = 0x54
	opF32Sqrt      opcode = 0x91
	opF32Div       opcode = 0x95
	opF64Sqrt      opcode = 0x9f
	opF64Div       opcode = 0xa3
	opI64ExtendU   opcode = 0xad
	opI64Extend32S opcode = 0xc4

	opI32ReinterpretF32 opcode = 0xbc
	opI64ReinterpretF64 opcode = 0xbd
	opF32ReinterpretI32 opcode = 0xbe
	opF64ReinterpretI64 opcode = 0xbf
	opRefNull           opcode = 0xd0
	opRefIsNull         opcode = 0xd1
	opRefFunc           opcode = 0xd2
	opTruncSatLast      opcode = 0xfc07
	opMemoryInit        opcode = 0xfc08
	opDataDrop          opcode = 0xfc09
	opMemoryCopy        opcode = 0xfc0a
	opMemoryFill        opcode = 0xfc0b
	opTableInit         opcode = 0xfc0c
	opElemDrop          opcode = 0xfc0d
	opTableCopy         opcode = 0xfc0e
	opTableGrow         opcode = 0xfc0f
	opTableSize         opcode = 0xfc10
	opTableFill         opcode = 0xfc11
	opV128Store         opcode = 0xfd0b
	opV128Const         opcode = 0xfd0c
	opShuffle           opcode = 0xfd0d
	opV128And           opcode = 0xfd4e
	opF32x4Sqrt         opcode = 0xfde3
	opF32x4Div          opcode = 0xfde7
	opF64x2Sqrt         opcode = 0xfdef
	opF64x2Div          opcode = 0xfdf3
)

// String returns the number as the specification writes it.
func (op opcode) String() string {
	if op > 0xff {
		return number(byte(op>>8), uint32(op&0xff))
	}
	return number(byte(op), 0)
}

// opcode reads an instruction and demands that it is a known one. A fault is at
// its first octet.
//
// The number behind 0xfd must not be padded: wazero takes one octet for it, so
// that what is an operand here would be code there, and code that is not seen
// here is not charged.
func (m *module) opcode(r *reader) opcode {
	start := r.pos
	first, n := r.byte(), uint32(0)
	if isPrefix(first) {
		n = r.u32()
	}
	op := opcode(first)
	if first == 0xfc || first == 0xfd {
		op = op<<8 | opcode(n&0xff)
	}
	switch {
	case r.err != nil:
		return 0
	case first == 0xfd && r.pos-start != 1+sizeU32(n):
		r.refuse(start, number(first, n)+" (its number is padded)")
	case n > 0xff || !op.known():
		r.refuse(start, number(first, n)+feature(first, n))
	}
	return op
}

// isPrefix reports whether the instruction is the number behind an octet.
func isPrefix(first byte) bool { return first >= 0xfb && first <= 0xfe }

// sizeU32 returns the octets that appendU32 takes.
func sizeU32(v uint32) int { return len(appendU32(nil, v)) }

// known reports whether the instruction is of WebAssembly 2.0: the MVP, sign
// extension, saturating conversion, multi-value, bulk memory, reference types
// and fixed-width SIMD.
func (op opcode) known() bool {
	switch {
	case op <= opElse, op >= opEnd && op <= opCallIndirect, op >= opDrop && op <= opSelectTyped:
		return true
	case op >= opLocalGet && op <= opTableSet, op >= opI32Load && op <= opI64Extend32S:
		return true
	case op >= opRefNull && op <= opRefFunc, op >= 0xfc00 && op <= opTableFill:
		return true
	case op >= 0xfd00:
		return !simdGap(byte(op))
	}
	return false
}

// simdGap reports whether a number below 256 behind the prefix 0xfd is unused.
func simdGap(n byte) bool {
	switch n {
	case 0x9a, 0xa2, 0xa5, 0xa6, 0xaf, 0xb0, 0xb2, 0xb3, 0xb4, 0xbb,
		0xc2, 0xc5, 0xc6, 0xcf, 0xd0, 0xd2, 0xd3, 0xd4, 0xe2, 0xee:
		return true
	}
	return false
}

// number spells an instruction as the specification does: its octet, or a prefix
// and the number behind it.
func number(first byte, n uint32) string {
	if isPrefix(first) {
		return fmt.Sprintf("instruction 0x%02x %d", first, n)
	}
	return fmt.Sprintf("instruction 0x%02x", first)
}

// feature names the proposal that an unknown instruction belongs to.
func feature(first byte, n uint32) string {
	switch {
	case first >= 0x06 && first <= 0x0a || first >= 0x18 && first <= 0x19 || first == 0x1f:
		return " (exceptions)"
	case first == 0x12 || first == 0x13:
		return " (tail calls)"
	case first == 0x14 || first == 0x15 || first >= 0xd3 && first <= 0xd6 || first == 0xfb:
		return " (typed references and garbage collection)"
	case first == 0xfd && n > 0xff:
		return " (relaxed SIMD)"
	case first == 0xfe:
		return " (threads)"
	}
	return ""
}
