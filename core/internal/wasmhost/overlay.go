// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// overlay holds the writes to stores of one hook until it is committed. Reads of
// the same hook see them.
type overlay struct {
	writes []write
	newest map[slot]int // index in writes of a key's newest write
	grown  map[int]size // by store, what its writes add
	each   map[slot]size
}

type slot struct {
	store int
	key   string
}

// size is an amount of room in a store.
type size struct{ keys, octets int64 }

// write is one buffered write. Store is the instance's handle.
type write struct {
	store int
	StoreWrite
}

// put adds a write if the store has room for it.
func (o *overlay) put(st Store, w write) error {
	if t, ok := st.(Transactional); ok {
		if err := o.grow(t, &w); err != nil {
			return err
		}
	}
	o.add(w)
	return nil
}

// grow counts what w, in place of what the hook wrote to the key before, adds.
func (o *overlay) grow(t Transactional, w *write) error {
	n := len(w.Value)
	if w.Kind == StoreRemove {
		n = -1
	}
	keys, octets, err := t.Growth(w.Key, n)
	if err != nil {
		return err
	}
	at := slot{w.store, string(w.Key)}
	all, was := o.grown[w.store], o.each[at]
	all.keys, all.octets = all.keys+keys-was.keys, all.octets+octets-was.octets
	if n >= 0 {
		err = t.Room(all.keys, all.octets)
	}
	if err != nil {
		return err
	}
	if o.grown == nil {
		o.grown, o.each = make(map[int]size), make(map[slot]size)
	}
	o.grown[w.store], o.each[at] = all, size{keys, octets}
	return nil
}

func (o *overlay) add(w write) {
	if o.newest == nil {
		o.newest = make(map[slot]int)
	}
	o.newest[slot{w.store, string(w.Key)}] = len(o.writes)
	o.writes = append(o.writes, w)
}

// has reports whether the hook itself has written the key.
func (o *overlay) has(store int, key []byte) bool {
	n, ok := o.newest[slot{store, string(key)}]
	return ok && o.writes[n].Kind != counted
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
	o.add(write{store, StoreWrite{Kind: counted, Key: key, Value: binary.LittleEndian.AppendUint64(nil, uint64(sum))}})
	return sum, nil
}

// get returns the value that this hook sees.
func (o *overlay) get(st Store, store int, key []byte) ([]byte, bool, error) {
	if n, ok := o.newest[slot{store, string(key)}]; ok {
		w := &o.writes[n]
		return w.Value, w.Kind != StoreRemove, nil
	}
	return st.Get(key)
}

// take returns the function that applies the writes to their stores and empties
// the overlay; nil when there is nothing to write.
func (o *overlay) take(stores []Store, names []string) func() error {
	if len(o.writes) == 0 {
		return nil
	}
	parts := map[string]*part{}
	for _, w := range o.writes {
		p := parts[names[w.store]]
		if p == nil {
			p = &part{store: stores[w.store]}
			parts[names[w.store]] = p
		}
		p.writes = append(p.writes, w.StoreWrite)
	}
	*o = overlay{}
	return func() error { return apply(parts) }
}

// part is what a hook writes to one store.
type part struct {
	store  Store
	writes []StoreWrite
}

// apply begins a transaction on every store, in the order of their names so that
// two hooks never wait for each other, and commits them when all have begun: a
// lost race, or no room, on any of them leaves all as they were. Only a disk that
// fails between two commits lets one store have its writes and another not.
func apply(parts map[string]*part) error {
	var txs []StoreTx
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		tx, err := parts[name].begin()
		if err != nil {
			for _, tx := range txs {
				tx.Abort()
			}
			return fmt.Errorf("store %s: %w", name, err)
		}
		txs = append(txs, tx)
	}
	for n, tx := range txs {
		if err := tx.Commit(); err != nil {
			for _, tx := range txs[n+1:] {
				tx.Abort()
			}
			return err
		}
	}
	return nil
}

func (p *part) begin() (StoreTx, error) {
	t, ok := p.store.(Transactional)
	if !ok {
		return oneByOne{p}, nil
	}
	tx, err := t.Begin(p.writes)
	if errors.Is(err, abi.ErrConflict) {
		err = errChanged
	}
	return tx, err
}

var errChanged = fmt.Errorf("another call changed the key meanwhile: %w", abi.ErrConflict)

// oneByOne is the transaction of a store that has none.
type oneByOne struct{ p *part }

// Commit implements StoreTx.
func (o oneByOne) Commit() error {
	for n := range o.p.writes {
		if err := o.p.writes[n].apply(o.p.store); err != nil {
			return err
		}
	}
	return nil
}

// Abort implements StoreTx.
func (oneByOne) Abort() {}

func (w *StoreWrite) apply(st Store) error {
	ok, err := true, error(nil)
	switch w.Kind {
	case StoreSet, StoreSetIfAbsent:
		ok, err = st.Put(w.Key, w.Value, w.TTL, w.Kind == StoreSetIfAbsent)
	case StoreRemove:
		err = st.Delete(w.Key)
	case StoreSwap:
		ok, err = st.CompareAndSwap(w.Key, w.Old, w.Value, w.TTL)
	}
	if err == nil && !ok {
		return errChanged
	}
	return err
}
