// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"slices"
	"strings"
)

// order is the messages sorted by id, in leaves of bounded size: who goes
// through the queue takes a page, lets go of the lock, and finds the place
// again by the id. An id that is greater than all others, as those of new mail
// are, costs no search.
type order struct{ leaves []*leaf }

// leaf is a run of neighbours. It is never empty.
type leaf struct {
	from    string // no greater than its first id, greater than the last one of the leaf before
	entries []*entry
}

// leafSize is how many messages a leaf has at most.
const leafSize = 512

// put adds a message, whose id is new.
func (o *order) put(e *entry) {
	last := len(o.leaves) - 1
	if last < 0 || len(o.leaves[last].entries) == leafSize && o.leaves[last].greatest() < e.id {
		o.leaves = append(o.leaves, newLeaf(e))
		return
	}
	if o.leaves[last].greatest() < e.id {
		o.leaves[last].entries = append(o.leaves[last].entries, e)
		return
	}
	o.insert(e)
}

func newLeaf(es ...*entry) *leaf {
	return &leaf{es[0].id, append(make([]*entry, 0, leafSize), es...)}
}

func (l *leaf) greatest() string { return l.entries[len(l.entries)-1].id }

// insert puts a message between others.
func (o *order) insert(e *entry) {
	n := o.leafOf(e.id)
	l := o.leaves[n]
	at, _ := l.find(e.id)
	switch {
	case len(l.entries) < leafSize:
		l.entries = slices.Insert(l.entries, at, e)
		l.from = min(l.from, e.id)
	case at == leafSize:
		o.leaves = slices.Insert(o.leaves, n+1, newLeaf(e))
	default:
		o.split(n, max(at, leafSize/2))
		o.insert(e)
	}
}

// split makes two leaves of one. Messages that come in order between others, as at
// the start, leave full leaves behind.
func (o *order) split(n, at int) {
	l := o.leaves[n]
	upper := newLeaf(l.entries[at:]...)
	clear(l.entries[at:])
	l.entries = l.entries[:at]
	o.leaves = slices.Insert(o.leaves, n+1, upper)
}

// leafOf returns the number of the leaf where an id belongs.
func (o *order) leafOf(id string) int {
	n, found := slices.BinarySearchFunc(o.leaves, id, func(l *leaf, id string) int { return strings.Compare(l.from, id) })
	if !found {
		n--
	}
	return max(n, 0)
}

func (l *leaf) find(id string) (int, bool) {
	return slices.BinarySearchFunc(l.entries, id, func(e *entry, id string) int { return strings.Compare(e.id, id) })
}

// drop removes a message. A leaf that has become small joins its neighbour, so
// that a few old messages among much mail do not keep a leaf each.
func (o *order) drop(e *entry) {
	if len(o.leaves) == 0 {
		return
	}
	n := o.leafOf(e.id)
	l := o.leaves[n]
	at, found := l.find(e.id)
	if !found {
		return
	}
	l.entries = slices.Delete(l.entries, at, at+1)
	switch {
	case len(l.entries) == 0:
		o.leaves = slices.Delete(o.leaves, n, n+1)
	case len(l.entries) < leafSize/4:
		o.join(n)
	}
}

// join moves the messages of the leaf behind leaf n into it, if both are small.
func (o *order) join(n int) {
	if n+1 == len(o.leaves) {
		n--
	}
	if n < 0 || len(o.leaves[n].entries)+len(o.leaves[n+1].entries) > leafSize/2 {
		return
	}
	o.leaves[n].entries = append(o.leaves[n].entries, o.leaves[n+1].entries...)
	o.leaves = slices.Delete(o.leaves, n+1, n+2)
}

// page calls f with up to n messages behind an id, in order, as long as f
// wants more. It returns the last id and whether there may be more.
func (o *order) page(after string, n int, f func(*entry) bool) (last string, more bool) {
	if len(o.leaves) == 0 {
		return after, false
	}
	from := o.leafOf(after)
	at, found := o.leaves[from].find(after)
	if found {
		at++
	}
	for ; from < len(o.leaves); from, at = from+1, 0 {
		for _, e := range o.leaves[from].entries[at:] {
			if n == 0 || !f(e) {
				return after, true
			}
			after, n = e.id, n-1
		}
	}
	return after, false
}
