// SPDX-License-Identifier: Apache-2.0

package metering

// Section numbers of the binary format.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	sections
)

// order is the order in which sections stand in a module.
func order() [sections - 1]byte {
	return [...]byte{secType, secImport, secFunction, secTable, secMemory, secGlobal,
		secExport, secStart, secElement, secDataCount, secCode, secData}
}

// rank returns the place of a section in that order, zero if it is unknown.
func rank(id byte) int {
	for i, o := range order() {
		if o == id {
			return i + 1
		}
	}
	return 0
}

// module is what is known about a module after parse. All slices are views into
// the original. Counts and indexes are those of the original: imports first.
type module struct {
	raw     [sections][]byte // contents of the sections, nil if absent
	offset  [sections]int    // where they start
	names   []byte           // a well-formed subsection of function names, or nil
	version []byte           // magic and version

	types    []signature
	funcs    []uint32 // type of each function, the imported ones first
	imported uint32   // functions of funcs that are imported
	tables   uint32
	defined  []table // the tables that are not imported
	memories uint32
	globals  uint32
	elements uint32
	datas    uint32 // as announced by the data count section
	locals   uint32 // declared by all bodies together
	bodies   []body
}

// signature is a function type.
type signature struct {
	params, results []byte // value types
}

// table is a defined table.
type table struct {
	elem   byte
	limits limits
}

// limits of a table or memory.
type limits struct {
	min, max uint32
	bounded  bool // max is given
}

// body is the code of a function with its declaration of locals.
type body struct {
	groups uint32 // runs of locals of one type
	decl   []byte // the encoded groups
	locals uint32 // sum of the groups
	code   []byte
	offset int // of code
}

// parse splits a module into its sections and reads all but the instructions.
func parse(wasm []byte) (*module, error) {
	m := &module{}
	if err := m.split(wasm); err != nil {
		return nil, err
	}
	for _, id := range order() {
		if m.raw[id] == nil {
			continue
		}
		r := &reader{data: m.raw[id], base: m.offset[id]}
		m.read(id, r)
		r.end(sectionName(id))
		if err := r.fault(); err != nil {
			return nil, err
		}
	}
	if int(m.imported)+len(m.bodies) != len(m.funcs) {
		return nil, &Error{Kind: ErrMalformed, Offset: m.offset[secCode], Detail: "functions and bodies differ in number"}
	}
	return m, nil
}

// split finds the sections: known ones, each once, in order.
func (m *module) split(wasm []byte) error {
	r := &reader{data: wasm}
	m.version = r.bytes(8)
	if string(m.version) != "\x00asm\x01\x00\x00\x00" {
		return &Error{Kind: ErrMalformed, Detail: "not a core WebAssembly module of version 1"}
	}
	for last := 0; r.more(); {
		id := r.byte()
		s := r.sub(r.u32())
		switch place := rank(id); {
		case id == secCustom:
			r.err = m.custom(s)
		case place == 0:
			r.fail(ErrUnsupported, "section %d", id)
		case place <= last:
			r.fail(ErrMalformed, "%s twice or out of order", sectionName(id))
		case r.err == nil:
			m.raw[id], m.offset[id], last = s.data, s.base, place
		}
	}
	return r.fault()
}

// read reads one section. The order of sections makes all counts known that it
// refers to, but for data segments, which the data count section announces.
func (m *module) read(id byte, r *reader) {
	switch id {
	case secType:
		m.readTypes(r)
	case secImport:
		m.readImports(r)
	case secFunction:
		m.readFunctions(r)
	case secTable:
		m.readTables(r)
	case secMemory:
		m.readMemories(r)
	case secGlobal:
		m.readGlobals(r)
	case secExport:
		m.readExports(r)
	case secStart:
		r.index("function", uint32(len(m.funcs)))
	case secElement:
		m.readElements(r)
	case secDataCount:
		m.datas = r.u32()
	case secCode:
		m.readBodies(r)
	case secData:
		m.readDatas(r)
	}
}

// sectionName returns the name of a known section.
func sectionName(id byte) string {
	names := [sections]string{"custom", "type", "import", "function", "table", "memory",
		"global", "export", "start", "element", "code", "data", "data count"}
	return names[id] + " section"
}

// encode returns the module from its sections.
func (m *module) encode() []byte {
	out := append([]byte(nil), m.version...)
	for _, id := range order() {
		if m.raw[id] != nil {
			out = appendSized(append(out, id), m.raw[id])
		}
	}
	if m.names == nil {
		return out
	}
	return appendSized(append(out, secCustom), append(appendName(nil, "name"), m.names...))
}
