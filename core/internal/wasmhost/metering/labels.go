// SPDX-License-Identifier: Apache-2.0

package metering

// labels keeps what the blocks that are added around loops do to the labels of
// the guest's branches: one that leaves such a loop has to count them too.
type labels struct {
	added []uint32 // for each open block of the guest: blocks added around it and around those outside of it
}

// push opens a block of the guest inside of so many added ones.
func (l *labels) push(around uint32) { l.added = append(l.added, l.all()+around) }

// pop closes the innermost block and those that were added around it, whose
// number it returns.
func (l *labels) pop() uint32 {
	all := l.all()
	l.added = l.added[:len(l.added)-1]
	return all - l.all()
}

// all returns the number of added blocks that are open.
func (l *labels) all() uint32 {
	if len(l.added) == 0 {
		return 0
	}
	return l.added[len(l.added)-1]
}

// moved returns the label for one of the guest's. The one behind those of all
// open blocks is that of the function.
func (l *labels) moved(label uint32) uint32 {
	if int(label) >= len(l.added) {
		return label + l.all()
	}
	return label + l.all() - l.added[len(l.added)-1-int(label)]
}

// table appends an encoded br_table with its labels moved.
func (l *labels) table(out, raw []byte) []byte {
	r := reader{data: raw[1:]}
	out = append(out, raw[0])
	n := r.u32()
	out = appendU32(out, n)
	for ; n > 0; n-- {
		out = appendU32(out, l.moved(r.u32()))
	}
	return appendU32(out, l.moved(r.u32()))
}
