// SPDX-License-Identifier: Apache-2.0

package kv

import (
	"maps"
	"slices"
	"sync"
)

// memory is the engine "memory": a map, and the keys that it held when the last
// scan from the start began, in order.
type memory struct {
	mu     sync.RWMutex
	values map[string][]byte

	scan sync.Mutex // guards keys
	keys []string
}

func newMemory() *memory { return &memory{values: make(map[string][]byte)} }

// Get implements Engine.
func (m *memory) Get(key []byte, f func([]byte)) (bool, error) {
	m.mu.RLock()
	v, ok := m.values[string(key)]
	m.mu.RUnlock()
	if ok {
		f(v) // values are replaced, never changed
	}
	return ok, nil
}

// Set implements Engine. It keeps value.
func (m *memory) Set(key, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[string(key)] = value
	return nil
}

// Delete implements Engine.
func (m *memory) Delete(key []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, string(key))
	return nil
}

// Batch implements Engine. It keeps the values.
func (m *memory) Batch(f func(set func(key, value []byte), remove func(key []byte))) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(func(key, value []byte) { m.values[string(key)] = value }, func(key []byte) { delete(m.values, string(key)) })
	return nil
}

// Scan implements Engine. A scan from the start sorts the keys that are there;
// one from a later key goes on among those.
func (m *memory) Scan(from []byte, f func(key, value []byte) bool) error {
	for _, key := range m.sorted(from) {
		m.mu.RLock()
		v, ok := m.values[key]
		m.mu.RUnlock()
		if ok && !f([]byte(key), v) {
			return nil
		}
	}
	return nil
}

func (m *memory) sorted(from []byte) []string {
	m.scan.Lock()
	defer m.scan.Unlock()
	if len(from) == 0 {
		m.keys = m.all()
		slices.Sort(m.keys)
	}
	i, _ := slices.BinarySearch(m.keys, string(from))
	return m.keys[i:]
}

func (m *memory) all() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Keys(m.values))
}
