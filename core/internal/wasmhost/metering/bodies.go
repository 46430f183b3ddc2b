// SPDX-License-Identifier: Apache-2.0

package metering

func (m *module) readBodies(r *reader) {
	if r.left() > maxCode {
		r.fail(ErrLimit, "%d octets of code, at most %d are allowed", r.left(), maxCode)
	}
	for n := r.count("bodies", maxFunctions); n > 0 && r.err == nil; n-- {
		size := r.u32()
		if size > maxBody {
			r.fail(ErrLimit, "function body of %d octets, at most %d are allowed", size, maxBody)
		}
		s := r.sub(size)
		m.bodies = append(m.bodies, m.readBody(s))
		r.err = s.err
	}
}

// readBody reads the declaration of locals. Their sum over the module is
// limited, too, for an engine may keep an entry for each.
func (m *module) readBody(r *reader) body {
	b := body{groups: r.count("groups of locals", maxLocals)}
	start := r.pos
	for n := b.groups; n > 0 && r.err == nil; n-- {
		b.locals = addLocals(r, b.locals)
	}
	if m.locals += b.locals; m.locals > maxModuleLocals {
		r.fail(ErrLimit, "more than %d locals in all functions", maxModuleLocals)
	}
	if r.err != nil {
		return body{}
	}
	b.decl, b.code, b.offset = r.data[start:r.pos], r.data[r.pos:], r.base+r.pos
	return b
}

// addLocals reads a run of locals and adds it to the sum.
func addLocals(r *reader, sum uint32) uint32 {
	n := r.u32()
	checkValueType(r, r.byte())
	if n > maxLocals || sum+n > maxLocals {
		r.fail(ErrLimit, "more than %d locals", maxLocals)
		return 0
	}
	return sum + n
}
