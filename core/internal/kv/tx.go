// SPDX-License-Identifier: Apache-2.0

package kv

import (
	"bytes"
	"hash/maphash"
	"slices"
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Write is one write of a transaction.
type Write struct {
	Kind            Kind
	Key, Old, Value []byte        // Old: what Swap compares with
	TTL             time.Duration // 0: the store's own
}

// Kind is what a Write does.
type Kind uint8

// The kinds of writes.
const (
	Set         Kind = iota
	SetIfAbsent      // a conflict when the key exists
	Remove           // a key that is not there is no error
	Swap             // a conflict when the key's value is not Old
)

// Tx is a transaction on one store: its keys are locked, its conditions hold,
// and its room is taken. Nothing is written before Commit. Whoever has several
// begins them in the order of the stores' names, or two wait for each other for
// ever.
type Tx struct {
	s            *Store
	locks        []int
	keys, octets int64 // room that is taken
	changes      map[string]*change
}

// change is what a transaction makes of one key.
type change struct {
	was, is item
	rec     []byte // nil: the key goes
}

// Begin checks the writes, each on what those before it leave, and takes locks
// and room for all. abi.ErrConflict means that a condition does not hold,
// abi.ErrLimit that there is no room; then nothing is held. Else Commit or Abort
// ends the transaction.
func (s *Store) Begin(writes []Write) (*Tx, error) {
	t := &Tx{s: s, changes: map[string]*change{}}
	for _, w := range writes {
		if err := checkKey(w.Key); err != nil {
			return nil, err
		}
		t.locks = append(t.locks, s.stripe(w.Key))
	}
	slices.Sort(t.locks)
	t.locks = slices.Compact(t.locks)
	for _, n := range t.locks {
		s.locks[n].Lock()
	}
	if err := t.check(writes); err != nil {
		t.unlock()
		return nil, err
	}
	return t, nil
}

func (t *Tx) check(writes []Write) error {
	for n := range writes {
		if err := t.apply(&writes[n]); err != nil {
			return err
		}
	}
	for key, c := range t.changes {
		keys, octets := growth(len(key), &c.was, c.rec)
		t.keys, t.octets = t.keys+keys, t.octets+octets
	}
	if !t.s.reserve(t.keys, t.octets) {
		return abi.ErrLimit
	}
	return nil
}

// apply does a write on what the transaction has seen of its key.
func (t *Tx) apply(w *Write) error {
	c := t.changes[string(w.Key)]
	if c == nil {
		it, err := t.s.read(w.Key)
		if err != nil {
			return err
		}
		c = &change{was: it, is: it}
		t.changes[string(w.Key)] = c
	}
	switch {
	case len(w.Value) > MaxValue:
		return abi.ErrLimit
	case w.Kind == SetIfAbsent && c.is.live, w.Kind == Swap && !(c.is.live && bytes.Equal(c.is.value, w.Old)):
		return abi.ErrConflict
	case w.Kind == Remove:
		c.is, c.rec = item{}, nil
		return nil
	}
	c.is = item{there: true, live: true, value: w.Value}
	c.rec = encode(t.s.expiry(w.TTL), w.Value)
	return nil
}

// growth returns what a new record of a key adds to a store; nil: none is left.
func growth(key int, was *item, rec []byte) (keys, octets int64) {
	if was.there {
		keys, octets = -1, -int64(key+was.size)
	}
	if rec != nil {
		keys, octets = keys+1, octets+int64(key+len(rec))
	}
	return keys, octets
}

// Commit writes everything or, with an error, nothing, and ends the transaction.
func (t *Tx) Commit() error {
	err := t.s.engine.Batch(func(set func(key, value []byte), remove func(key []byte)) {
		for key, c := range t.changes {
			switch {
			case c.rec != nil:
				set([]byte(key), c.rec)
			case c.was.there:
				remove([]byte(key))
			}
		}
	})
	if err != nil {
		t.s.count(-t.keys, -t.octets)
	}
	t.unlock()
	return err
}

// Abort ends the transaction and leaves the store as it was.
func (t *Tx) Abort() {
	t.s.count(-t.keys, -t.octets)
	t.unlock()
}

func (t *Tx) unlock() {
	for _, n := range t.locks {
		t.s.locks[n].Unlock()
	}
}

// Growth returns what a value of n octets under key would add to the store now;
// n < 0 stands for its removal.
func (s *Store) Growth(key []byte, n int) (keys, octets int64, err error) {
	defer s.lock(key)()
	it, err := s.read(key)
	var rec []byte
	if n >= 0 {
		rec = encode(0, make([]byte, n))
	}
	keys, octets = growth(len(key), &it, rec)
	return keys, octets, err
}

// Room returns abi.ErrLimit when the store has no room for that much more.
func (s *Store) Room(keys, octets int64) error {
	if s.over(keys, s.keys.Load()+keys, octets, s.octets.Load()+octets) {
		return abi.ErrLimit
	}
	return nil
}

// stripe returns which of the locks is the key's.
func (s *Store) stripe(key []byte) int {
	return int(maphash.Bytes(s.seed, key) % uint64(len(s.locks)))
}
