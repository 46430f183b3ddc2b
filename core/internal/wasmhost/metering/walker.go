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
	surveyor surveyor

	out    sequence // the rewritten instructions so far
	block  []byte   // instructions of the block that is open
	cost   int64    // of the open block
	place  uint32   // nesting where the open block begins
	due    due      // the test to make at the next block that costs something
	loops  int      // seen so far
	calls  bool     // the function calls others
	bulk   bool     // the function needs the scratch local
	values uint32   // estimate of the values the function makes

	labels  labels
	wrapper wrapper
	wrapped []wrapped // that are open
}

// due is a test to make.
type due struct {
	pending bool
	leaves  bool   // of a wrapped loop, which it leaves, instead of calling the helper
	wrapped int    // that loop
	nesting uint32 // inside of it
}

// walk rewrites the instructions of a function, from the first to the one before
// the last end.
func (w *walker) walk(b body, sig signature) error {
	locals := uint32(len(sig.params)) + b.locals
	if err := w.surveyor.survey(&reader{data: b.code, base: b.offset}, locals); err != nil {
		return err
	}
	w.begin(b, sig)
	w.scope = scope{locals: locals}
	for w.step() {
	}
	w.flush()
	return w.r.fault()
}

// begin forgets the function before.
func (w *walker) begin(b body, sig signature) {
	w.r = &reader{data: b.code, base: b.offset}
	w.out, w.block, w.cost, w.place = w.out[:0], w.block[:0], 0, 0
	w.due, w.loops, w.calls, w.bulk, w.values = due{pending: true}, 0, false, false, 0
	w.labels.added, w.wrapped = w.labels.added[:0], w.wrapped[:0]
	w.wrapper.begin(b, sig)
}

// step takes one instruction. It returns false behind the last one.
func (w *walker) step() bool {
	start := w.r.pos
	op := w.m.opcode(w.r)
	if w.r.err != nil || op == opEnd && w.nesting == 0 {
		return false
	}
	w.m.immediates(w.r, op, &w.scope)
	raw := w.r.data[start:w.r.pos]
	w.cost += w.m.cost(op, raw)
	w.values++
	w.take(op, raw)
	w.note(op, raw)
	w.control(op, raw)
	return true
}

// take appends an instruction to the block.
func (w *walker) take(op opcode, raw []byte) {
	switch op {
	case opReturn: // by the label of the body, so that it passes the epilogue
		w.block = sequence(w.block).with(opBr, w.labels.moved(w.nesting))
	case opBr, opBrIf:
		w.block = sequence(w.block).with(op, w.labels.moved(immediate(raw)))
	case opBrTable:
		w.block = w.labels.table(w.block, raw)
	case opLoop: // see loop
	case opMemoryGrow, opMemoryInit, opMemoryCopy, opMemoryFill,
		opTableInit, opTableCopy, opTableFill, opTableGrow:
		w.length(op)
		w.block = append(w.block, raw...)
	default:
		w.block = append(w.block, raw...)
	}
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
		w.values += w.m.results(w.m.funcs[immediate(raw)])
	case opCallIndirect:
		w.calls = true
		w.values += w.m.results(immediate(raw)) // the type stands first
	}
}

// control keeps the nesting and ends the block where control leaves or joins it.
func (w *walker) control(op opcode, raw []byte) {
	switch op {
	case opBlock:
		w.open(0)
	case opLoop:
		w.loop(raw)
	case opIf:
		w.open(0)
		w.flush()
	case opEnd:
		w.end()
	case opElse, opBr, opBrIf, opBrTable, opReturn, opUnreachable:
		w.flush()
	}
}

// open opens a block of the guest inside of so many added ones.
func (w *walker) open(around uint32) {
	w.nesting++
	w.labels.push(around)
}

// loop opens a loop, with the blocks around it where they help.
func (w *walker) loop(raw []byte) {
	l := w.surveyor.loops[w.loops]
	w.loops++
	w.wrapper.assigns(l, w.surveyor.sets)
	around := uint32(0)
	wraps := w.wrapper.wraps(raw[1:], l, w.m)
	if wraps {
		around = wrapBlocks
		w.wrapped = append(w.wrapped, wrapped{typ: raw[1:]})
		w.block = w.wrapped[len(w.wrapped)-1].open(w.block)
		w.values += wrapBlocks + 2*uint32(len(w.wrapper.sets))
	}
	w.block = append(w.block, raw...)
	w.open(around)
	w.flush()
	w.due = due{pending: true, leaves: wraps, wrapped: len(w.wrapped) - 1, nesting: w.nesting}
}

// end closes a block, and those that were added around it.
func (w *walker) end() {
	w.nesting--
	w.flush()
	if w.labels.pop() > 0 {
		w.leave()
	}
}

// leave closes the blocks around a loop. A test that is still due is for the
// next one: the loop holds nothing that costs, so no way back to its header.
func (w *walker) leave() {
	last := len(w.wrapped) - 1
	w.out = w.wrapped[last].close(w.out, w.c, &w.wrapper)
	w.wrapped = w.wrapped[:last]
	w.due.leaves = false
}

// flush writes the open block behind the charge for it. A block without a cost
// needs neither: whatever follows it, on the way back to a loop header or to
// another call, costs something and takes over the test.
func (w *walker) flush() {
	if w.cost > 0 {
		w.out = w.c.charge(w.out, w.cost)
		w.test()
	}
	w.out = append(w.out, w.block...)
	w.block, w.cost, w.place = w.block[:0], 0, w.nesting
}

// test makes the test that is due.
func (w *walker) test() {
	switch {
	case !w.due.pending:
	case w.due.leaves:
		w.wrapped[w.due.wrapped].header = w.cost
		w.out = w.c.leaveLoop(w.out, w.place-w.due.nesting+1)
	default:
		w.out = w.c.test(w.out)
	}
	w.due = due{}
}
