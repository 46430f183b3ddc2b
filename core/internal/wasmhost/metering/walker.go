// SPDX-License-Identifier: Apache-2.0

package metering

// walker rewrites the body of one function after the other. It collects the
// instructions of a straight-line block, and writes them out behind the charge
// for them when the block ends.
type walker struct {
	m *module
	c counters
	r *reader
	scope

	out    sequence // the rewritten instructions so far
	block  []byte   // instructions of the block that is open
	cost   int64    // of the open block
	due    bool     // a test is due at the next block that costs something
	calls  bool     // the function calls others
	bulk   bool     // the function needs the scratch local
	values uint32   // estimate of the values the function makes
}

// walk rewrites the instructions of a function, from the first to the one before
// the last end, which must be the last octet.
func (w *walker) walk(r *reader, locals uint32) error {
	*w = walker{m: w.m, c: w.c, r: r, out: w.out[:0], block: w.block[:0]}
	w.locals, w.due = locals, true
	for w.step() {
	}
	w.flush()
	r.end("function body")
	return r.fault()
}

// step takes one instruction. It returns false behind the last one.
func (w *walker) step() bool {
	start := w.r.pos
	op := w.m.opcode(w.r)
	if w.r.err != nil || op == opEnd && w.nesting == 0 {
		return false
	}
	w.m.immediates(w.r, op, &w.scope)
	if w.r.err != nil {
		return false
	}
	raw := w.r.data[start:w.r.pos]
	w.cost += w.m.cost(op, raw)
	w.values++
	w.take(op, raw)
	return true
}

// take appends an instruction to the block and ends the block where control
// leaves or joins it.
func (w *walker) take(op opcode, raw []byte) {
	switch op {
	case opReturn: // by the label of the body, so that it passes the epilogue
		w.block = sequence(w.block).with(opBr, w.nesting)
	case opMemoryGrow, opMemoryInit, opMemoryCopy, opMemoryFill,
		opTableInit, opTableCopy, opTableFill, opTableGrow:
		w.length(op)
		w.block = append(w.block, raw...)
	default:
		w.block = append(w.block, raw...)
	}
	w.note(op, raw)
	w.control(op)
}

// length charges a bulk operation by its length.
func (w *walker) length(op opcode) {
	shift, _ := bulkCost(op)
	w.bulk = true
	w.block = w.c.bulk(w.block, shift, w.locals)
}

// note keeps what decides about the depth counter.
func (w *walker) note(op opcode, raw []byte) {
	switch op {
	case opCall:
		w.calls = true
		w.values += w.m.results(w.m.funcs[callee(raw)])
	case opCallIndirect:
		w.calls = true
		w.values += w.m.results(callee(raw)) // the type stands first
	}
}

// control keeps the nesting and ends blocks.
func (w *walker) control(op opcode) {
	switch op {
	case opBlock:
		w.open()
	case opLoop:
		w.open()
		w.flush()
		w.due = true
	case opIf:
		w.open()
		w.flush()
	case opEnd:
		w.nesting--
		w.flush()
	case opElse:
		w.inside()
		w.flush()
	case opBr, opBrIf, opBrTable, opReturn, opUnreachable:
		w.flush()
	}
}

func (w *walker) open() {
	if w.nesting++; w.nesting > maxNesting {
		w.r.fail(ErrLimit, "blocks nested deeper than %d", maxNesting)
	}
}

func (w *walker) inside() {
	if w.nesting == 0 {
		w.r.fail(ErrMalformed, "else outside of if")
	}
}

// flush writes the open block behind the charge for it. A block without a cost
// needs neither: whatever follows it, on the way back to a loop header or to
// another call, costs something and takes over the test.
func (w *walker) flush() {
	if w.cost > 0 {
		w.out = w.c.charge(w.out, w.cost)
		if w.due {
			w.out = w.c.test(w.out)
		}
		w.due = false
	}
	w.out = append(w.out, w.block...)
	w.block, w.cost = w.block[:0], 0
}
