// SPDX-License-Identifier: Apache-2.0

package metering

// nameFunctions is the subsection of the name section with the functions'
// names, which an engine shows in stack traces.
const nameFunctions = 1

// custom looks at a custom section: of the first "name" section the functions'
// names are kept, if they are well-formed. The name that the module gives to
// itself is dropped, for the host decides how instances are called. It is a
// fault when the section itself has no proper name.
func (m *module) custom(r *reader) *Error {
	name := r.name()
	if r.err != nil {
		return r.err
	}
	if name == "name" && m.names == nil {
		m.readNames(r)
	}
	return nil
}

func (m *module) readNames(r *reader) {
	for r.more() {
		id := r.byte()
		s := r.sub(r.u32())
		if id == nameFunctions && m.functionNames(s) {
			m.names = appendSized([]byte{nameFunctions}, s.data)
			return
		}
	}
}

// functionNames reports whether a subsection of function names is well-formed.
func (m *module) functionNames(r *reader) bool {
	for n := r.count("names", maxFunctions); n > 0 && r.err == nil; n-- {
		r.u32()
		r.name()
	}
	r.end("name section")
	return r.err == nil
}
