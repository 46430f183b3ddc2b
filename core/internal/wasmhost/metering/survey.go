// SPDX-License-Identifier: Apache-2.0

package metering

// loopInfo is what the walker has to know of a loop before it comes to its body.
type loopInfo struct {
	leaves bool // native code is left inside: by a call, or by what the engine calls for
	sets   span // the assignments to locals inside
}

// span is a stretch of surveyor.sets.
type span struct{ from, to int }

// surveyor looks through a function before it is rewritten: it checks every
// instruction and finds the loops that never leave native code.
type surveyor struct {
	m *module
	scope
	loops []loopInfo // in the order of their headers
	sets  []uint32   // the locals that are assigned, in the order of the code
	open  []int      // for each open block the loop that it is, or -1
	in    []int      // those that are loops

	effort effort
}

// survey reads the instructions of a function up to the last end, which must be
// the last octet.
func (s *surveyor) survey(r *reader, locals uint32) error {
	s.scope = scope{locals: locals}
	s.effort.begin(locals)
	s.loops, s.sets, s.open, s.in = s.loops[:0], s.sets[:0], s.open[:0], s.in[:0]
	for s.step(r) {
	}
	s.effort.check(r)
	r.end("function body")
	return r.fault()
}

// step takes one instruction. It returns false behind the last one.
func (s *surveyor) step(r *reader) bool {
	start := r.pos
	op := s.m.opcode(r)
	if r.err != nil || op == opEnd && s.nesting == 0 {
		return false
	}
	s.m.immediates(r, op, &s.scope)
	if r.err != nil {
		return false
	}
	raw := r.data[start:r.pos]
	s.effort.note(s.m, op, raw)
	s.note(op, raw)
	s.control(r, op)
	return r.err == nil
}

// note marks the loops around an instruction that leaves native code, from the
// innermost to the first that is marked, and with it those around it.
func (s *surveyor) note(op opcode, raw []byte) {
	switch {
	case op == opLocalSet || op == opLocalTee:
		s.sets = append(s.sets, immediate(raw))
	case op.leaves():
		for i := len(s.in) - 1; i >= 0 && !s.loops[s.in[i]].leaves; i-- {
			s.loops[s.in[i]].leaves = true
		}
	}
}

// leaves reports whether the engine calls a function for an instruction, or may.
func (op opcode) leaves() bool {
	switch op {
	case opCall, opCallIndirect, opMemoryGrow, opRefFunc, opTableGet, opTableSet:
		return true
	}
	return op >= opMemoryInit && op <= opTableFill
}

// control keeps the nesting.
func (s *surveyor) control(r *reader, op opcode) {
	switch op {
	case opLoop:
		s.in = append(s.in, len(s.loops))
		s.push(r, len(s.loops))
		s.loops = append(s.loops, loopInfo{sets: span{from: len(s.sets)}})
	case opBlock, opIf:
		s.push(r, -1)
	case opElse:
		if s.nesting == 0 {
			r.fail(ErrMalformed, "else outside of if")
		}
	case opEnd:
		s.nesting--
		if l := s.open[s.nesting]; l >= 0 {
			s.loops[l].sets.to, s.in = len(s.sets), s.in[:len(s.in)-1]
		}
		s.open = s.open[:s.nesting]
	}
}

func (s *surveyor) push(r *reader, loop int) {
	if s.nesting++; s.nesting > maxNesting {
		r.fail(ErrLimit, "blocks nested deeper than %d", maxNesting)
	}
	s.open = append(s.open, loop)
}
