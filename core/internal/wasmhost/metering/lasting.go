// SPDX-License-Identifier: Apache-2.0

package metering

// Lasting returns the name of the first instruction by which a module changes
// something that is neither its memory nor a global: a table, or a segment that
// it drops. It is empty when there is none, so that an instance is as new when
// memory and globals are put back. Every error is an *Error.
func Lasting(wasm []byte) (string, error) {
	m, err := parse(wasm)
	if err != nil {
		return "", err
	}
	for _, b := range m.bodies {
		if name, err := m.lasting(b); name != "" || err != nil {
			return name, err
		}
	}
	return "", nil
}

// lasting looks through one body, which does not end at its first end.
func (m *module) lasting(b body) (string, error) {
	r := &reader{data: b.code, base: b.offset}
	s := scope{locals: maxLocals + maxParams} // the host validates locals, and labels
	for r.more() {
		op := m.opcode(r)
		if name := lastingName(op); name != "" && r.err == nil {
			return name, nil
		}
		switch op {
		case opBlock, opLoop, opIf:
			s.nesting++
		case opEnd:
			s.nesting--
		}
		m.immediates(r, op, &s)
	}
	return "", r.fault()
}

func lastingName(op opcode) string {
	switch op {
	case opTableSet:
		return "table.set"
	case opTableGrow:
		return "table.grow"
	case opTableFill:
		return "table.fill"
	case opTableCopy:
		return "table.copy"
	case opTableInit:
		return "table.init"
	case opDataDrop:
		return "data.drop"
	case opElemDrop:
		return "elem.drop"
	}
	return ""
}
