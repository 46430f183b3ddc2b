// SPDX-License-Identifier: Apache-2.0

package wasmhost

import "github.com/tetratelabs/wazero/experimental"

// cappedMemory is the linear memory of one instance, with a cap of its own: the
// runtime's limit is the same for all instances of a module, the stage's is not.
// It implements wazero's MemoryAllocator and LinearMemory, and is used by the
// goroutine that holds the instance.
type cappedMemory struct {
	buf     []byte
	cap     uint64 // octets it may grow to
	refused bool   // growth was refused since the last look
}

// Allocate implements experimental.MemoryAllocator. A module has one memory.
func (m *cappedMemory) Allocate(_, _ uint64) experimental.LinearMemory { return m }

// Reallocate implements experimental.LinearMemory: it returns nil, which the
// guest sees as -1 from memory.grow, beyond the cap. Growth doubles what is
// allocated, so that a guest that grows page by page does not copy each time.
func (m *cappedMemory) Reallocate(size uint64) []byte {
	if size > m.cap {
		m.refused = true
		return nil
	}
	if size > uint64(cap(m.buf)) {
		room := size
		if len(m.buf) > 0 {
			room = min(m.cap, max(size, 2*uint64(len(m.buf))))
		}
		grown := make([]byte, size, room)
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	return m.buf
}

// Free implements experimental.LinearMemory.
func (m *cappedMemory) Free() { m.buf = nil }
