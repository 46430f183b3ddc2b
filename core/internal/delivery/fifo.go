// SPDX-License-Identifier: Apache-2.0

package delivery

// fifo is a first-in, first-out list. The zero value is empty.
type fifo[T any] struct {
	items []T
	head  int
}

func (f *fifo[T]) len() int { return len(f.items) - f.head }

func (f *fifo[T]) push(v T) { f.items = append(f.items, v) }

// unshift puts v in front.
func (f *fifo[T]) unshift(v T) {
	if f.head > 0 {
		f.head--
		f.items[f.head] = v
		return
	}
	f.items = append([]T{v}, f.items...)
}

// pop takes the first one out; there must be one.
func (f *fifo[T]) pop() T {
	var zero T
	v := f.items[f.head]
	f.items[f.head] = zero
	f.head++
	if f.head == len(f.items) {
		f.items, f.head = f.items[:0], 0
	}
	if f.head > 64 && f.head > len(f.items)/2 {
		n := copy(f.items, f.items[f.head:])
		clear(f.items[n:])
		f.items, f.head = f.items[:n], 0
	}
	return v
}

// all takes everything out.
func (f *fifo[T]) all() []T {
	vs := f.items[f.head:]
	f.items, f.head = nil, 0
	return vs
}

// turns hands out next hops that wait for a free connection, message by
// message in turn: one of a message with thousands of next hops, then one of
// the next message. The zero value is ready.
type turns struct {
	flows map[string]*fifo[*hop] // by message id
	ring  fifo[string]
}

func (t *turns) add(id string, h *hop) {
	if t.flows == nil {
		t.flows = map[string]*fifo[*hop]{}
	}
	f := t.flows[id]
	if f == nil {
		f = &fifo[*hop]{}
		t.flows[id] = f
		t.ring.push(id)
	}
	f.push(h)
}

// next returns the next hop in turn, nil when none waits.
func (t *turns) next() *hop {
	if t.ring.len() == 0 {
		return nil
	}
	id := t.ring.pop()
	f := t.flows[id]
	h := f.pop()
	if f.len() > 0 {
		t.ring.push(id)
	} else {
		delete(t.flows, id)
	}
	return h
}

func (t *turns) waiting() bool { return t.ring.len() > 0 }
