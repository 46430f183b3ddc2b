// SPDX-License-Identifier: Apache-2.0

package metering

import "sort"

// A loop that never leaves native code keeps its values in registers, but for a
// call of the helper in it: what lives across a call is stored by the engine
// where it is made, in every iteration. So the helper is called outside of the
// loop, which is then entered again:
//
//	block T            ;; out
//	  loop T           ;; again
//	    block          ;; burnt
//	      loop T       ;; the guest's
//	        charge; if slice < 0, br burnt
//	        ...
//	      end
//	      br out
//	    end
//	    call helper; take the charge back, for it is made again
//	    copy what the loop assigns
//	    br again
//	  end
//	end
//
// A loop without parameters is in the same state at its header, whether it got
// there by a branch of its own or from outside, so that nothing else changes: the
// same units are charged at the same places.
//
// The copies give the engine other values to keep across the way around than
// those that the loop makes: local.get, an operation that changes nothing,
// local.set. They are for speed alone.
const (
	wrapBlocks = 3  // blocks added around a loop
	wrapBytes  = 48 // octets for them, at most
	copyBytes  = 20 // octets for a copy, at most
	maxCopies  = 16 // locals copied
	wrapShare  = 4  // octets for all wraps of a function, for each of its own
)

// wrapped is a loop that is inside the added blocks.
type wrapped struct {
	typ    []byte // of the loop, encoded
	header int64  // units charged and tested at its header
}

// wrapper decides which loops of a function are wrapped.
type wrapper struct {
	sig   signature
	body  body
	types []localRun // of the locals; nil until they are asked for
	spare int        // octets that may still be added
	sets  []uint32   // locals assigned in the outermost loop that does not leave native code
	until span       // that loop's assignments
}

// localRun is a stretch of locals of one type.
type localRun struct {
	end uint32 // first index behind it
	typ byte
}

func (w *wrapper) begin(b body, sig signature) {
	*w = wrapper{sig: sig, body: b, types: w.types[:0], spare: wrapShare * len(b.code), sets: w.sets[:0]}
}

// wraps reports whether a loop is to be wrapped, and pays for it.
func (w *wrapper) wraps(typ []byte, l loopInfo, m *module) bool {
	if l.leaves || !plainBlock(typ, m) {
		return false
	}
	size := wrapBytes + copyBytes*len(w.sets)
	if size > w.spare {
		return false
	}
	w.spare -= size
	return true
}

// plainBlock reports whether the encoded type of a block has no parameters.
func plainBlock(typ []byte, m *module) bool {
	r := reader{data: typ}
	n := r.signed(33)
	return n < 0 || len(m.types[n].params) == 0
}

// assigns notes what the outermost loops assign; those inside of one share it.
func (w *wrapper) assigns(l loopInfo, all []uint32) {
	if l.leaves || l.sets.to <= w.until.to {
		return
	}
	w.until, w.sets = l.sets, w.sets[:0]
	for _, local := range all[l.sets.from:l.sets.to] {
		if len(w.sets) == maxCopies {
			return
		}
		w.add(local)
	}
}

func (w *wrapper) add(local uint32) {
	for _, known := range w.sets {
		if known == local {
			return
		}
	}
	w.sets = append(w.sets, local)
}

// copies appends the copies.
func (w *wrapper) copies(s sequence) sequence {
	for _, local := range w.sets {
		s = copyLocal(s, local, w.typeOf(local))
	}
	return s
}

// copyLocal appends what gives a local the value that it has, every bit of it.
// References are left alone.
func copyLocal(s sequence, local uint32, typ byte) sequence {
	switch typ {
	case typeI32:
		s = s.with(opLocalGet, local).i32(0).op(opI32Add)
	case typeI64:
		s = s.with(opLocalGet, local).i64(0).op(opI64Add)
	case typeF32:
		s = s.with(opLocalGet, local).op(opI32ReinterpretF32, opF32ReinterpretI32)
	case typeF64:
		s = s.with(opLocalGet, local).op(opI64ReinterpretF64, opF64ReinterpretI64)
	case typeV128:
		s = s.with(opLocalGet, local).with(opLocalGet, local)
		s = append(s, byte(opV128And>>8), byte(opV128And&0xff))
	default:
		return s
	}
	return s.with(opLocalSet, local)
}

// typeOf returns the type of a local.
func (w *wrapper) typeOf(local uint32) byte {
	if int(local) < len(w.sig.params) {
		return w.sig.params[local]
	}
	if len(w.types) == 0 {
		w.readTypes()
	}
	i := sort.Search(len(w.types), func(i int) bool { return local < w.types[i].end })
	return w.types[i].typ
}

// readTypes reads the declaration of the locals, which was checked before.
func (w *wrapper) readTypes() {
	r := reader{data: w.body.decl}
	end := uint32(len(w.sig.params))
	for range w.body.groups {
		end += r.u32()
		w.types = append(w.types, localRun{end, r.byte()})
	}
}

// open appends the blocks around a loop.
func (l wrapped) open(s sequence) sequence {
	s = append(append(s, byte(opBlock)), l.typ...)
	s = append(append(s, byte(opLoop)), l.typ...)
	return append(s, byte(opBlock), blockEmpty)
}

// close appends what follows the loop.
func (l wrapped) close(s sequence, c counters, w *wrapper) sequence {
	const again, out = 0, 2
	s = s.with(opBr, out).op(opEnd)
	s = c.charge(s.with(opCall, c.helper), -l.header)
	s = w.copies(s).with(opBr, again)
	return s.op(opEnd, opEnd)
}
