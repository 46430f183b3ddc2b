// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"errors"

	"github.com/tetratelabs/wazero/experimental"
)

var errBudget = errors.New("the instances of all plugins together have no memory left")

// cappedMemory is the linear memory of one instance, with a cap of its own: the
// runtime's limit is the same for all instances of a module, the stage's is not.
// What it has is paid for from the host's budget. It implements wazero's
// MemoryAllocator and LinearMemory, and is used by the goroutine that holds the
// instance.
type cappedMemory struct {
	buf     []byte
	cap     uint64 // octets it may grow to
	refused bool   // growth was refused since the last look

	budget *budget
	paid   uint64 // octets taken from the budget
	other  uint64 // of them for something else than buf
}

// Allocate implements experimental.MemoryAllocator. A module has one memory.
func (m *cappedMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory: it returns nil, which the
// guest sees as -1 from memory.grow, beyond the cap or what the host has left.
// Growth doubles what is allocated, so that a guest that grows page by page does
// not copy each time.
func (m *cappedMemory) Reallocate(size uint64) []byte {
	if size > m.cap {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.buf)) && !m.enlarge(size) {
		m.refused = true
		return nil
	}
	m.buf = m.buf[:size]
	return m.buf
}

// enlarge makes room for size octets, and for more when it grows.
func (m *cappedMemory) enlarge(size uint64) bool {
	room := size
	if len(m.buf) > 0 {
		room = min(m.cap, max(size, 2*uint64(len(m.buf))))
	}
	if !m.afford(room) {
		if room = size; !m.afford(room) {
			return false
		}
	}
	grown := make([]byte, size, room)
	copy(grown, m.buf)
	m.buf = grown
	return true
}

// afford pays for a buf of n octets.
func (m *cappedMemory) afford(n uint64) bool {
	n += m.other
	if n <= m.paid {
		return true
	}
	if !m.budget.take(n - m.paid) {
		return false
	}
	m.paid = n
	return true
}

// pay pays for n octets beside the memory itself.
func (m *cappedMemory) pay(n uint64) error {
	if !m.budget.take(n) {
		return errBudget
	}
	m.paid += n
	m.other += n
	return nil
}

// Free implements experimental.LinearMemory.
func (m *cappedMemory) Free() { m.buf = nil }

// release gives back what was paid.
func (m *cappedMemory) release() {
	m.buf = nil
	m.budget.give(m.paid)
	m.paid, m.other = 0, 0
}
