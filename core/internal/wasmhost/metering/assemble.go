// SPDX-License-Identifier: Apache-2.0

package metering

// assembler puts the rewritten module together.
type assembler struct {
	walker
	options    Options
	blocks     map[string]uint32 // types without parameters by their results
	added      [][]byte          // results of types appended to those of the module
	head, tail sequence          // around the body of the function at work
}

// assemble changes the sections of m to those of the metered module and encodes
// it. Code comes first, for it asks for types.
func assemble(m *module, o Options) ([]byte, error) {
	a := &assembler{walker: walker{m: m, c: m.counters(), surveyor: surveyor{m: m}}, options: o}
	if err := a.code(); err != nil {
		return nil, err
	}
	if err := a.tables(); err != nil {
		return nil, err
	}
	a.globals()
	a.exports()
	a.types()
	return m.encode(), nil
}

// code rewrites the bodies and appends the helper, which a module without
// functions does not need.
func (a *assembler) code() error {
	m := a.m
	if len(m.bodies) == 0 {
		return nil
	}
	out := make([]byte, 0, len(m.raw[secCode])*3/2)
	out = appendU32(out, uint32(len(m.bodies)+1))
	for i := range m.bodies {
		var err error
		if out, err = a.function(out, i); err != nil {
			return err
		}
	}
	m.raw[secCode] = appendSized(out, a.c.helperBody())
	m.raw[secFunction] = extend(m.raw[secFunction], 1, appendU32(nil, a.typeIndex(nil)))
	a.memory()
	return nil
}

// memory makes sure that there is a memory, which the helper grows by nothing.
func (a *assembler) memory() {
	if a.m.memories == 0 {
		a.m.raw[secMemory] = []byte{1, 1, 0, 0} // none to none pages
	}
}

// typeIndex returns the index of the type without parameters and with these
// results, and appends it if the module has none.
func (a *assembler) typeIndex(results []byte) uint32 {
	if a.blocks == nil {
		a.blocks = a.m.blockTypes()
	}
	if i, ok := a.blocks[string(results)]; ok {
		return i
	}
	i := uint32(len(a.m.types) + len(a.added))
	a.blocks[string(results)] = i
	a.added = append(a.added, results)
	return i
}

// blockTypes returns the types without parameters by their results.
func (m *module) blockTypes() map[string]uint32 {
	found := make(map[string]uint32)
	for i, t := range m.types {
		if len(t.params) == 0 {
			found[string(t.results)] = uint32(i)
		}
	}
	return found
}

// blockType appends the type of a block with these results.
func (a *assembler) blockType(s sequence, results []byte) sequence {
	switch len(results) {
	case 0:
		return append(s, blockEmpty)
	case 1:
		return append(s, results[0])
	}
	return appendS64(s, int64(a.typeIndex(results)))
}

// types appends the types that were asked for.
func (a *assembler) types() {
	var more []byte
	for _, results := range a.added {
		more = appendSized(append(more, 0x60, 0), results)
	}
	if more == nil {
		return
	}
	a.m.raw[secType] = extend(a.m.raw[secType], len(a.added), more)
}

// globals appends the counters, with what the start section may burn.
func (a *assembler) globals() {
	s := NewState(a.options.StartFuel, a.options.StartDepth)
	more := sequence{typeI64, 1}.i64(s.Slice).op(opEnd)
	more = append(more, typeI64, 1).i64(s.Total).op(opEnd)
	more = append(more, typeI32, 1).i32(s.Kill).op(opEnd)
	more = append(more, typeI32, 1).i32(s.Depth).op(opEnd)
	a.m.raw[secGlobal] = extend(a.m.raw[secGlobal], 4, more)
}

// exports appends the names of the counters.
func (a *assembler) exports() {
	const kindGlobal = 3
	var more []byte
	for i, name := range []string{NameSlice, NameTotal, NameKill, NameDepth} {
		more = append(appendName(more, name), kindGlobal)
		more = appendU32(more, a.m.globals+uint32(i))
	}
	a.m.raw[secExport] = extend(a.m.raw[secExport], 4, more)
}

// tables limits the elements of all tables together: those that the module
// starts with must fit, and a table grows by what is left at most.
func (a *assembler) tables() error {
	left := a.options.TableElements
	for _, t := range a.m.defined {
		if t.limits.min > left {
			return &Error{Kind: ErrLimit, Offset: a.m.offset[secTable], Detail: "tables are too large"}
		}
		left -= t.limits.min
	}
	if len(a.m.defined) == 0 {
		return nil
	}
	out := appendU32(nil, uint32(len(a.m.defined)))
	for _, t := range a.m.defined {
		out = t.encode(out, left/uint32(len(a.m.defined)))
	}
	a.m.raw[secTable] = out
	return nil
}

// encode appends a table that grows by so many elements at most.
func (t table) encode(out []byte, growth uint32) []byte {
	most := t.limits.min + growth
	if t.limits.bounded {
		most = min(most, t.limits.max)
	}
	return appendU32(appendU32(append(out, t.elem, 1), t.limits.min), most)
}

// extend appends n encoded entries to a section that is a vector, which may be
// absent.
func extend(section []byte, n int, more []byte) []byte {
	r := &reader{data: section}
	count := uint32(0)
	if len(section) > 0 {
		count = r.u32()
	}
	out := appendU32(make([]byte, 0, len(section)+len(more)+5), count+uint32(n))
	return append(append(out, section[r.pos:]...), more...)
}
