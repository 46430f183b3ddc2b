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

// first returns the first one; there must be one.
func (f *fifo[T]) first() T { return f.items[f.head] }

// list returns all, the first first. The slice is good until f changes.
func (f *fifo[T]) list() []T { return f.items[f.head:] }

// popLast takes the last one out; there must be one.
func (f *fifo[T]) popLast() T {
	var zero T
	last := len(f.items) - 1
	v := f.items[last]
	f.items[last] = zero
	f.items = f.items[:last]
	if f.head == last {
		f.items, f.head = f.items[:0], 0
	}
	return v
}

// all takes everything out.
func (f *fifo[T]) all() []T {
	vs := f.list()
	f.items, f.head = nil, 0
	return vs
}
