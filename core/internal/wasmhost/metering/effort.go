// SPDX-License-Identifier: Apache-2.0

package metering

// effort is what an engine's work for one function grows with. A compiler to
// machine code is not linear: it looks at every pair of a loop and a block to
// find out which encloses which, and carries every local variable through every
// block on the way to where it is used. With wazero 1.12, 16 KiB of loops over a
// thousand locals took 48 s, and 1 MiB would not have ended. So the products are
// limited, to what takes seconds and some hundred MiB at most. The largest
// functions of SQLite and QuickJS stay below a twentieth of each limit.
type effort struct {
	blocks  int // that code is cut into
	loops   int // of them
	targets int // of branch tables
	values  int // made by instructions
	locals  int // that are used at all
	calls   int // of all functions so far
	used    []uint32
	mark    uint32 // in used: by the function at hand
}

// begin forgets the function before, but for what counts for all.
func (e *effort) begin(locals uint32) {
	if int(locals) > len(e.used) {
		e.used = make([]uint32, locals)
		e.mark = 0
	}
	e.mark++
	e.blocks, e.loops, e.targets, e.values, e.locals = 0, 0, 0, 0, 0
}

// Blocks that an engine may cut one instruction into, with the test behind it.
const bulkBlocks = 8

// note counts one instruction, of which r has read the immediates.
func (e *effort) note(m *module, op opcode, raw []byte) {
	e.values++
	switch op {
	case opLoop:
		e.loops++
		e.blocks++
	case opBlock, opElse, opBrIf:
		e.blocks++
	case opIf:
		e.blocks += 2
	case opBrTable:
		e.targets += int(immediate(raw))
	case opLocalGet, opLocalSet, opLocalTee:
		e.use(immediate(raw))
	case opCall:
		e.calls++
		e.values += int(m.results(m.funcs[immediate(raw)]))
	case opCallIndirect:
		e.calls++
		e.values += int(m.results(immediate(raw)))
	case opMemoryGrow:
		e.blocks += bulkBlocks
	default:
		if op >= opMemoryInit && op <= opTableFill {
			e.blocks += bulkBlocks
		}
	}
}

func (e *effort) use(local uint32) {
	if e.used[local] != e.mark {
		e.used[local] = e.mark
		e.locals++
	}
}

// check refuses a function that would take an engine too long.
func (e *effort) check(r *reader) {
	const remedy = "of one function; split it, or compile it with optimization"
	switch {
	case e.calls > maxCalls:
		r.fail(ErrLimit, "more than %d calls in all functions", maxCalls)
	case e.blocks > maxBlocks:
		r.fail(ErrLimit, "%d blocks, at most %d are allowed, "+remedy, e.blocks, maxBlocks)
	case e.targets > maxTargets:
		r.fail(ErrLimit, "%d targets of branch tables, at most %d are allowed, "+remedy, e.targets, maxTargets)
	case e.values > maxValues:
		r.fail(ErrLimit, "%d values, at most %d are allowed, "+remedy, e.values, maxValues)
	case e.loops*e.blocks > maxLoopBlocks:
		r.fail(ErrLimit, "%d loops and %d blocks, at most %d as a product are allowed, "+remedy, e.loops, e.blocks, maxLoopBlocks)
	case e.loops*e.locals > maxLoopLocals:
		r.fail(ErrLimit, "%d loops and %d locals, at most %d as a product are allowed, "+remedy, e.loops, e.locals, maxLoopLocals)
	case e.blocks*e.locals > maxBlockLocals:
		r.fail(ErrLimit, "%d blocks and %d locals, at most %d as a product are allowed, "+remedy, e.blocks, e.locals, maxBlockLocals)
	}
}

// surveyed looks through all functions for one that is over a limit. What else
// may be wrong with them is left to the engine, which has better words for it.
func (m *module) surveyed() error {
	s := surveyor{m: m}
	for i, b := range m.bodies {
		locals := uint32(len(m.types[m.funcs[int(m.imported)+i]].params)) + b.locals
		r := &reader{data: b.code, base: b.offset}
		if s.survey(r, locals) != nil && r.err.Kind == ErrLimit {
			return r.err
		}
	}
	return nil
}
