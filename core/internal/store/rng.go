// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// Range is the part of the database whose keys begin with a prefix. Its users
// see keys without it, and nothing of Pebble. Its writes are atomic one by one
// and not synced: each becomes durable with the next durable Commit (in a busy
// relay within milliseconds) and a crash before that loses it, never half of it.
type Range struct {
	store  *Store
	prefix string
}

// Range returns the part of the database under prefix, which must not be a
// prefix of another room's.
func (s *Store) Range(prefix string) *Range { return &Range{store: s, prefix: prefix} }

// Get hands the value of key to f and reports whether there is one. The value
// is f's only during the call.
func (r *Range) Get(key []byte, f func(value []byte)) (bool, error) {
	return r.store.Get(r.key(key), func(v []byte) error { f(v); return nil })
}

// Set writes one value.
func (r *Range) Set(key, value []byte) error {
	return r.write(func(b *pebble.Batch) error { return b.Set(r.key(key), value, nil) })
}

// Delete removes one value. One that is not there is not an error.
func (r *Range) Delete(key []byte) error {
	return r.write(func(b *pebble.Batch) error { return b.Delete(r.key(key), nil) })
}

// Batch applies what f sets and removes as one write.
func (r *Range) Batch(f func(set func(key, value []byte), remove func(key []byte))) error {
	return r.write(func(b *pebble.Batch) error {
		var errs []error
		f(func(key, value []byte) { errs = append(errs, b.Set(r.key(key), value, nil)) },
			func(key []byte) { errs = append(errs, b.Delete(r.key(key), nil)) })
		return errors.Join(errs...)
	})
}

// Scan hands keys and values to f in the order of the keys, from the first key
// that is not less than from, until f returns false. Both are f's only during
// the call.
func (r *Range) Scan(from []byte, f func(key, value []byte) bool) error {
	return r.store.Scan(r.key(from), after(r.prefix), func(k, v []byte) bool {
		return f(k[len(r.prefix):], v)
	})
}

func (r *Range) key(k []byte) []byte { return append([]byte(r.prefix), k...) }

func (r *Range) write(fill func(*pebble.Batch) error) error {
	b := r.store.NewBatch()
	defer b.Close()
	if err := fill(b); err != nil {
		return err
	}
	return r.store.Commit(b, false)
}

// after returns the first key behind all that begin with prefix; nil when
// there is none.
func after(prefix string) []byte {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
