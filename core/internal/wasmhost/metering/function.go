// SPDX-License-Identifier: Apache-2.0

package metering

// A frame of the engine's stack grows with the locals of its function and with
// the values that the function makes, for each may get a place of its own. The
// weight of a frame counts both, so that the depth bounds the stack.
const (
	localsPerFrame = 16
	valuesPerFrame = 512
)

// results returns how many results a type has.
func (m *module) results(typ uint32) uint32 {
	return uint32(len(m.types[typ].results))
}

// function appends the rewritten body of the i-th defined function, behind its
// length.
func (a *assembler) function(out []byte, i int) ([]byte, error) {
	b := a.m.bodies[i]
	typ := a.m.types[a.m.funcs[int(a.m.imported)+i]]
	locals := uint32(len(typ.params)) + b.locals
	if err := a.walk(b, typ); err != nil {
		return nil, err
	}
	a.head, a.tail = a.declare(a.head[:0], b), a.tail[:0]
	if a.calls {
		a.wrap(typ.results, int32(1+locals/localsPerFrame+a.values/valuesPerFrame))
	}
	a.tail = a.tail.op(opEnd)
	out = appendU32(out, uint32(len(a.head)+len(a.out)+len(a.tail)))
	return append(append(append(out, a.head...), a.out...), a.tail...), nil
}

// declare appends the declaration of locals, with the scratch local at the end
// if the function needs it.
func (a *assembler) declare(s sequence, b body) sequence {
	if !a.bulk {
		return append(appendU32(s, b.groups), b.decl...)
	}
	s = append(appendU32(s, b.groups+1), b.decl...)
	return append(s, 1, typeI32)
}

// wrap puts the body into a block between taking and giving back its weight.
// Labels stay right: what left the body now leaves the block.
func (a *assembler) wrap(results []byte, weight int32) {
	a.head = a.c.enter(a.head, weight).op(opBlock)
	a.head = a.blockType(a.head, results)
	a.tail = a.c.leave(a.tail.op(opEnd), weight)
}
