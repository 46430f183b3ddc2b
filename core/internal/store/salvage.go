// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// table reads one table: from its start to the first block that is damaged,
// and then from its end back to the last one. What lies between two damaged
// blocks is lost.
func (g *gatherer) table(name string) error {
	f, err := g.fs.Open(filepath.Join(g.dir, name))
	if err != nil {
		return err
	}
	r, err := g.reader(f)
	if err != nil {
		g.miss(name, err)
		return nil
	}
	defer r.Close()
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		g.miss(name, err)
		return nil
	}
	defer it.Close()
	return g.entries(name, it)
}

func (g *gatherer) reader(f vfs.File) (*sstable.Reader, error) {
	readable, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r, err := sstable.NewReader(context.Background(), readable, g.opts.MakeReaderOptions())
	if err != nil {
		return nil, errors.Join(err, readable.Close())
	}
	return r, nil
}

func (g *gatherer) entries(name string, it sstable.Iterator) error {
	for kv := it.First(); kv != nil; kv = it.Next() {
		if err := g.entry(name, kv.K.UserKey, uint64(kv.SeqNum()), kv.Kind(), kv.Value); err != nil {
			return err
		}
	}
	bad := it.Error()
	if bad == nil {
		return nil
	}
	g.miss(name, bad)
	for kv := it.Last(); kv != nil; kv = it.Prev() {
		if err := g.entry(name, kv.K.UserKey, uint64(kv.SeqNum()), kv.Kind(), kv.Value); err != nil {
			return err
		}
	}
	return nil
}

// entry keeps one write of a table. Its value may lie in a block of its own.
func (g *gatherer) entry(name string, key []byte, seq uint64, kind pebble.InternalKeyKind, read func([]byte) ([]byte, bool, error)) error {
	switch kind {
	case pebble.InternalKeyKindSet, pebble.InternalKeyKindSetWithDelete:
		value, _, err := read(nil)
		if err != nil {
			g.miss(name, err)
			return nil
		}
		return g.keep(key, seq, value, false)
	case pebble.InternalKeyKindDelete, pebble.InternalKeyKindDeleteSized, pebble.InternalKeyKindSingleDelete:
		return g.keep(key, seq, nil, true)
	}
	g.miss(name, fmt.Errorf("a write of kind %d", kind))
	return nil
}

// log reads one log, also behind what is damaged. That its end is torn is usual
// after a crash, and no damage as long as none of it had been synced.
func (g *gatherer) log(name string) error {
	l, err := readLog(g.fs, g.dir, name)
	if err != nil || l == nil {
		return err
	}
	for rec, ok := l.next(); ok; rec, ok = l.next() {
		if err := g.batch(rec); err != nil {
			return err
		}
	}
	if l.gap >= 0 {
		g.miss(name, fmt.Errorf("from octet %d there is something that is no record", l.gap))
	}
	return nil
}

// batch keeps the writes of one batch.
func (g *gatherer) batch(octets []byte) error {
	h, ok := batchrepr.ReadHeader(octets)
	if !ok {
		return nil
	}
	seq := uint64(h.SeqNum)
	for r := batchrepr.Read(octets); ; {
		kind, key, value, ok, err := r.Next()
		if !ok || err != nil {
			return err
		}
		switch kind {
		case pebble.InternalKeyKindLogData:
			continue // has no number
		case pebble.InternalKeyKindSet:
			err = g.keep(key, seq, value, false)
		case pebble.InternalKeyKindDelete, pebble.InternalKeyKindDeleteSized:
			err = g.keep(key, seq, nil, true)
		}
		if err != nil {
			return err
		}
		seq++
	}
}

func readAll(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
