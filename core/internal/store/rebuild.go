// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A database that cannot be opened, or not be read to its end, is built anew
// from whatever its files still hold (salvage.go):
//
//  1. Every table and log is read by itself; what can be read goes into a
//     database db.salvage, under its key and the number of the write.
//  2. Of each key the last write goes into the database db.repaired, unless it
//     was a removal. It is flushed and closed.
//  3. db moves to damaged/, and db.repaired takes its place.
//
// An end in between leaves db as it was, or no db and a whole db.repaired: Open
// refuses the latter, and the next Rebuild finishes it. Without the manifest
// nobody knows which files are out of date, so that removals can be forgotten: a
// message that has been delivered may come back. One that waited does not go
// unless its own octets are damaged.

// Rebuilt is what Rebuild has done.
type Rebuilt struct {
	Records int      // of the new database
	Lost    []string // what could not be read, a sentence each
}

const (
	repaired = "db.repaired"
	salvage  = "db.salvage"
)

// Rebuild builds the database of a data directory anew and moves the old one to
// damaged/name/db. It returns when that is durable. No other process may use
// the directory.
func Rebuild(o Options, name string) (*Rebuilt, error) {
	o.MinFree, o.Ballast = -1, -1
	o = o.withDefaults()
	s := newStore(o)
	r, err := s.rebuild(o, name)
	s.abandon()
	if err != nil {
		return nil, explain(o.Dir, fmt.Errorf("rebuild: %w", err))
	}
	return r, nil
}

func (s *Store) rebuild(o Options, name string) (*Rebuilt, error) {
	if s.repairEnded() != nil {
		return &Rebuilt{}, s.finishRepair()
	}
	var err error
	if s.lock, err = pebble.LockDirectory(s.path("db"), s.fs); err != nil {
		return nil, &lockError{err}
	}
	for _, left := range []string{salvage, repaired} {
		if err := s.fs.RemoveAll(s.path(left)); err != nil {
			return nil, err
		}
	}
	r := &Rebuilt{}
	if err := s.salvage(o, r); err != nil {
		return nil, err
	}
	if err := s.fs.RemoveAll(s.path(salvage)); err != nil {
		return nil, err
	}
	return r, errors.Join(s.setAside(name), s.finishRepair())
}

// setAside moves the old database away. The lock goes with it.
func (s *Store) setAside(name string) error {
	to := AsidePath(s.dir, name)
	if err := makeAll(s.fs, to); err != nil {
		return err
	}
	if err := s.fs.Rename(s.path("db"), filepath.Join(to, "db")); err != nil {
		return err
	}
	return errors.Join(syncFolder(s.fs, to), syncFolder(s.fs, s.dir))
}

// repairEnded returns an error when a repair was interrupted after its second
// step.
func (s *Store) repairEnded() error {
	if s.exists(s.path(repaired)) && !s.exists(s.path("db")) {
		return errRepair
	}
	return nil
}

func (s *Store) finishRepair() error {
	if err := s.fs.Rename(s.path(repaired), s.path("db")); err != nil {
		return err
	}
	return syncFolder(s.fs, s.dir)
}

// salvage makes db.repaired.
func (s *Store) salvage(o Options, r *Rebuilt) error {
	all, err := s.scratch(o, salvage)
	if err != nil {
		return err
	}
	defer all.Close()
	g := &gatherer{opts: s.pebbleOptions(o), fs: s.fs, dir: s.path("db"), into: all, lost: &r.Lost}
	g.opts.EnsureDefaults()
	if err := g.gather(); err != nil {
		return err
	}
	last, err := s.scratch(o, repaired)
	if err != nil {
		return err
	}
	err = lastWrites(all, last, r)
	return errors.Join(err, last.Flush(), last.Close(), syncFolder(s.fs, s.dir))
}

// scratch makes a new database beside the old one.
func (s *Store) scratch(o Options, name string) (*pebble.DB, error) {
	if err := makeAll(s.fs, s.path(name)); err != nil {
		return nil, err
	}
	p := s.pebbleOptions(o)
	p.Lock, p.ErrorIfExists = nil, true
	return pebble.Open(s.path(name), p)
}

// A salvaged write has the key
//
//	length of the key (4 octets), key, what the number of the write lacks to the greatest (8 octets)
//
// so that the last write of a key comes first, and as its value 's' and the
// value, or 'd' for a removal.
const (
	wasSet     = 's'
	wasRemoved = 'd'
)

func salvagedKey(key []byte, seq uint64) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 12+len(key)), uint32(len(key)))
	return binary.BigEndian.AppendUint64(append(b, key...), ^seq)
}

// lastWrites copies the last write of each key, in batches.
func lastWrites(from, to *pebble.DB, r *Rebuilt) error {
	it, err := from.NewIter(nil)
	if err != nil {
		return err
	}
	var key []byte
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		k, v := it.Key(), it.Value()
		same := key != nil && slices.Equal(k[:len(k)-8], key)
		key = append(key[:0], k[:len(k)-8]...)
		if !same && v[0] == wasSet {
			r.Records++
			err = to.Set(key[4:], v[1:], pebble.NoSync)
		}
	}
	return errors.Join(err, it.Close())
}

// gatherer reads the files of a database one by one.
type gatherer struct {
	opts *pebble.Options
	fs   vfs.FS
	dir  string
	into *pebble.DB
	lost *[]string
}

func (g *gatherer) gather() error {
	names, err := g.fs.List(g.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		switch filepath.Ext(name) {
		case ".sst":
			err = g.table(name)
		case ".log":
			err = g.log(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// miss notes what could not be read.
func (g *gatherer) miss(name string, err error) {
	*g.lost = append(*g.lost, fmt.Sprintf("%s: %v", name, err))
}

func (g *gatherer) keep(key []byte, seq uint64, value []byte, removed bool) error {
	v := []byte{wasRemoved}
	if !removed {
		v = append([]byte{wasSet}, value...)
	}
	return g.into.Set(salvagedKey(key, seq), v, pebble.NoSync)
}

// Interrupted reports whether err says that a repair was interrupted.
func Interrupted(err error) bool { return errors.Is(err, errRepair) }
