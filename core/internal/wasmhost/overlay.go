// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// overlay holds the writes to stores of one hook until it is committed. Reads of
// the same hook see them.
type overlay struct {
	writes []write
	newest map[slot]int // index in writes of a key's newest write
}

type slot struct {
	store int
	key   string
}

type writeKind uint8

const (
	putAlways writeKind = iota
	putIfAbsent
	remove
	swap
	counted // by a dry hook; never applied
)

// write is one buffered write. Store is the instance's handle.
type write struct {
	store           int
	kind            writeKind
	key, old, value []byte
	ttl             time.Duration
}

func (o *overlay) add(w write) {
	if o.newest == nil {
		o.newest = make(map[slot]int)
	}
	o.newest[slot{w.store, string(w.key)}] = len(o.writes)
	o.writes = append(o.writes, w)
}

// has reports whether the hook itself has written the key.
func (o *overlay) has(store int, key []byte) bool {
	n, ok := o.newest[slot{store, string(key)}]
	return ok && o.writes[n].kind != counted
}

// count is Add of a Store, but for this hook alone. A value that is no counter,
// or a sum out of range, is abi.ErrConflict as there.
func (o *overlay) count(st Store, store int, key []byte, delta int64) (int64, error) {
	v, ok, err := o.get(st, store, key)
	if err != nil {
		return 0, err
	}
	was := int64(0)
	if ok {
		if len(v) != 8 {
			return 0, abi.ErrConflict
		}
		was = int64(binary.LittleEndian.Uint64(v))
	}
	sum := was + delta
	if (sum > was) != (delta > 0) && delta != 0 {
		return 0, abi.ErrConflict
	}
	o.add(write{store: store, kind: counted, key: key, value: binary.LittleEndian.AppendUint64(nil, uint64(sum))})
	return sum, nil
}

// get returns the value that this hook sees.
func (o *overlay) get(st Store, store int, key []byte) ([]byte, bool, error) {
	if n, ok := o.newest[slot{store, string(key)}]; ok {
		w := &o.writes[n]
		return w.value, w.kind != remove, nil
	}
	return st.Get(key)
}

// take returns the function that applies the writes to their stores and empties
// the overlay; nil when there is nothing to write.
func (o *overlay) take(stores []Store) func() error {
	if len(o.writes) == 0 {
		return nil
	}
	writes := o.writes
	used := append([]Store(nil), stores...)
	*o = overlay{}
	return func() error { return apply(writes, used) }
}

// apply writes in order, but what may fail on a conflict first: so a hook that
// lost a race leaves nothing behind, unless it raced on several keys at once.
func apply(writes []write, stores []Store) error {
	first := conditional(writes)
	for _, w := range first {
		if err := w.apply(stores[w.store]); err != nil {
			return err
		}
	}
	for n := range writes {
		if w := &writes[n]; first[slot{w.store, string(w.key)}] != w {
			if err := w.apply(stores[w.store]); err != nil {
				return err
			}
		}
	}
	return nil
}

// conditional returns the writes that depend on what the store holds: for each
// key its first write of the hook, if that is a conditional one. Later ones
// build on it.
func conditional(writes []write) map[slot]*write {
	seen := make(map[slot]bool)
	first := make(map[slot]*write)
	for n := range writes {
		w := &writes[n]
		s := slot{w.store, string(w.key)}
		if !seen[s] && (w.kind == putIfAbsent || w.kind == swap) {
			first[s] = w
		}
		seen[s] = true
	}
	return first
}

func (w *write) apply(st Store) error {
	ok, err := true, error(nil)
	switch w.kind {
	case putAlways, putIfAbsent:
		ok, err = st.Put(w.key, w.value, w.ttl, w.kind == putIfAbsent)
	case remove:
		err = st.Delete(w.key)
	case swap:
		ok, err = st.CompareAndSwap(w.key, w.old, w.value, w.ttl)
	}
	if err == nil && !ok {
		return fmt.Errorf("another call changed the key meanwhile: %w", abi.ErrConflict)
	}
	return err
}
