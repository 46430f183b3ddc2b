// SPDX-License-Identifier: Apache-2.0

package metering

// blockEmpty is the type of a block without parameters and results.
const blockEmpty = 0x40

// Value types that the added code uses.
const (
	typeV128 = 0x7b
	typeF64  = 0x7c
	typeF32  = 0x7d
	typeI64  = 0x7e
	typeI32  = 0x7f
)

// sequence is a stretch of added code under construction.
type sequence []byte

func (s sequence) op(ops ...opcode) sequence {
	for _, op := range ops {
		s = append(s, byte(op))
	}
	return s
}

// with appends an instruction with an index.
func (s sequence) with(op opcode, index uint32) sequence {
	return appendU32(append(s, byte(op)), index)
}

func (s sequence) i32(v int32) sequence {
	return appendS64(append(s, byte(opI32Const)), int64(v))
}

func (s sequence) i64(v int64) sequence {
	return appendS64(append(s, byte(opI64Const)), v)
}

// cond opens an if without results.
func (s sequence) cond() sequence { return append(s, byte(opIf), blockEmpty) }

// counters are the indexes of what is appended to a module.
type counters struct {
	slice, total, kill, depth uint32 // globals
	helper                    uint32 // function
}

func (m *module) counters() counters {
	g := m.globals
	return counters{slice: g, total: g + 1, kill: g + 2, depth: g + 3, helper: uint32(len(m.funcs))}
}

// charge takes units from the slice.
func (c counters) charge(s sequence, units int64) sequence {
	return s.with(opGlobalGet, c.slice).i64(units).op(opI64Sub).with(opGlobalSet, c.slice)
}

// test calls the helper when the slice is burnt.
func (c counters) test(s sequence) sequence {
	return s.with(opGlobalGet, c.slice).i64(0).op(opI64LtS).cond().with(opCall, c.helper).op(opEnd)
}

// leaveLoop leaves a wrapped loop by a label when the slice is burnt.
func (c counters) leaveLoop(s sequence, label uint32) sequence {
	return s.with(opGlobalGet, c.slice).i64(0).op(opI64LtS).with(opBrIf, label)
}

// bulk charges by the length on top of the stack, and tests. The length passes
// through the local scratch.
func (c counters) bulk(s sequence, shift int, scratch uint32) sequence {
	s = s.with(opLocalSet, scratch)
	s = s.with(opGlobalGet, c.slice).with(opLocalGet, scratch).op(opI64ExtendU)
	switch {
	case shift > 0:
		s = s.i64(int64(shift)).op(opI64Shl)
	case shift < 0:
		s = s.i64(int64(-shift)).op(opI64ShrU)
	}
	s = s.op(opI64Sub).with(opGlobalSet, c.slice)
	return c.test(s).with(opLocalGet, scratch)
}

// enter takes the weight of a frame from the depth and traps below zero.
func (c counters) enter(s sequence, weight int32) sequence {
	s = s.with(opGlobalGet, c.depth).i32(weight).op(opI32Sub).with(opGlobalSet, c.depth)
	return s.with(opGlobalGet, c.depth).i32(0).op(opI32LtS).cond().op(opUnreachable, opEnd)
}

// leave gives the weight back.
func (c counters) leave(s sequence, weight int32) sequence {
	return s.with(opGlobalGet, c.depth).i32(weight).op(opI32Add).with(opGlobalSet, c.depth)
}

// helperBody is the function that ends a slice:
//
//	if kill != 0 || total == 0 { trap }
//	x := min(SliceUnits-slice, total)
//	slice += x; total -= x
//	memory.grow(0) // return to Go
//	if slice < 0 { trap }
//
// One refill covers even the charge of a bulk operation over 4 GiB, for it
// starts from the deficit.
func (c counters) helperBody() []byte {
	const x = 0                      // local
	s := sequence{1, 1, typeI64}     // one local, i64
	s = s.with(opGlobalGet, c.kill)  // kill != 0
	s = s.with(opGlobalGet, c.total) //
	s = s.op(opI64Eqz, opI32Or)      // or total == 0
	s = s.cond().op(opUnreachable, opEnd)
	s = s.i64(SliceUnits).with(opGlobalGet, c.slice).op(opI64Sub).with(opLocalSet, x)
	s = s.with(opGlobalGet, c.total).with(opLocalGet, x).op(opI64LtU).cond()
	s = s.with(opGlobalGet, c.total).with(opLocalSet, x).op(opEnd)
	s = s.with(opGlobalGet, c.slice).with(opLocalGet, x).op(opI64Add).with(opGlobalSet, c.slice)
	s = s.with(opGlobalGet, c.total).with(opLocalGet, x).op(opI64Sub).with(opGlobalSet, c.total)
	s = s.i32(0).with(opMemoryGrow, 0).op(opDrop)
	s = s.with(opGlobalGet, c.slice).i64(0).op(opI64LtS).cond().op(opUnreachable, opEnd)
	return s.op(opEnd)
}
