// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// View is the database as it was at one moment, for who reads it for long while
// others write. The caller closes it, after its cursors and before the Store.
type View struct {
	store *Store
	snap  *pebble.Snapshot
}

// View returns the database as it is now.
func (s *Store) View() (*View, error) {
	s.life.RLock()
	defer s.life.RUnlock()
	if s.closed {
		return nil, ErrClosed
	}
	return &View{s, s.db.NewSnapshot()}, nil
}

// Close gives the view up.
func (v *View) Close() error { return v.snap.Close() }

// Cursor goes through the keys of a View in order. It is for one goroutine, which
// closes it.
type Cursor struct {
	store *Store
	it    *pebble.Iterator
}

// Cursor returns a cursor on the first of the keys from (inclusive) to
// (exclusive).
func (v *View) Cursor(from, to []byte) (*Cursor, error) {
	it, err := v.snap.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return nil, fmt.Errorf("store: scan: %w", err)
	}
	it.First()
	return &Cursor{v.store, it}, nil
}

// Valid reports whether the cursor is on a key. Behind the last one it is not,
// nor after an error.
func (c *Cursor) Valid() bool { return c.it.Valid() }

// Next goes to the key behind.
func (c *Cursor) Next() { c.it.Next() }

// Key returns the key; it is the caller's until Next.
func (c *Cursor) Key() []byte { return c.it.Key() }

// Value returns the value; it is the caller's until Next.
func (c *Cursor) Value() []byte { return c.it.Value() }

// Err returns why the cursor could not go on; nil at the end of the keys.
func (c *Cursor) Err() error { return c.store.readFault(c.it.Error()) }

// Close gives the cursor up.
func (c *Cursor) Close() error { return c.store.readFault(c.it.Close()) }
