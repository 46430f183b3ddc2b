// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
)

// Inline is the size in octets up to which a body is kept in memory while it is
// received, and in the queue's batch when it is queued. A bigger one is a file.
const Inline = 64 << 10

// Spool holds message bodies. A body is written under tmp/, and moved to its
// message's id when it is queued.
type Spool struct {
	fs    vfs.FS
	dir   string
	floor *floor
	log   hclog.Logger
	next  atomic.Uint64 // names below tmp/
	bufs  sync.Pool     // *[]byte of Inline octets
}

func newSpool(fs vfs.FS, dir string, floor *floor, log hclog.Logger) *Spool {
	s := &Spool{fs: fs, dir: dir, floor: floor, log: log}
	s.bufs.New = func() any { b := make([]byte, 0, Inline); return &b }
	return s
}

// openSpool removes what an earlier process left unfinished.
func openSpool(fs vfs.FS, dir string, floor *floor, log hclog.Logger) (*Spool, error) {
	s := newSpool(fs, dir, floor, log)
	names, err := fs.List(s.tmp())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 64); err != nil {
			continue // not ours: create names them by number
		}
		if err := fs.Remove(filepath.Join(s.tmp(), name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Spool) tmp() string           { return filepath.Join(s.dir, "tmp") }
func (s *Spool) path(id string) string { return filepath.Join(s.dir, id) }

// NewBody returns a writer for one body. The caller ends it with Finish or Abort.
func (s *Spool) NewBody() *BodyWriter {
	return &BodyWriter{spool: s, buf: s.bufs.Get().(*[]byte)}
}

// Keep makes a body that is a file durable under id: it syncs the file, names
// it and syncs the folder. One body can be kept under several ids. The file
// then stays until Remove, whatever becomes of b.
func (s *Spool) Keep(b *Body, id string) error {
	if err := b.keep(s.path(id)); err != nil {
		return fmt.Errorf("spool: keep %s: %w", id, err)
	}
	if err := syncFolder(s.fs, s.dir); err != nil {
		_ = s.fs.Remove(s.path(id))
		return fmt.Errorf("spool: keep %s: %w", id, err)
	}
	return nil
}

// Open opens the kept body id for reading. The caller releases it.
func (s *Spool) Open(id string) (*Body, error) {
	file, err := s.fs.Open(s.path(id))
	if err != nil {
		return nil, fmt.Errorf("spool: open %s: %w", id, err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("spool: open %s: %w", id, err)
	}
	return &Body{spool: s, file: file, size: info.Size(), kept: s.path(id)}, nil
}

// Remove removes the kept body id. One that is not there is not an error.
func (s *Spool) Remove(id string) error {
	if err := s.fs.Remove(s.path(id)); err != nil && !missing(err) {
		return fmt.Errorf("spool: remove %s: %w", id, err)
	}
	return nil
}

// Size returns the octets of the kept body id, and whether it is there.
func (s *Spool) Size(id string) (int64, bool) {
	info, err := s.fs.Stat(s.path(id))
	if err != nil || info.IsDir() {
		return 0, false
	}
	return info.Size(), true
}

// List returns the names of all that is in the spool, in no order: the ids of
// kept bodies, and whatever a stranger has put there.
func (s *Spool) List() ([]string, error) {
	names, err := s.fs.List(s.dir)
	if err != nil {
		return nil, fmt.Errorf("spool: list: %w", err)
	}
	ids := names[:0]
	for _, name := range names {
		if name != "tmp" {
			ids = append(ids, name)
		}
	}
	return ids, nil
}

// create opens a new file below tmp/.
func (s *Spool) create() (vfs.File, string, error) {
	path := filepath.Join(s.tmp(), strconv.FormatUint(s.next.Add(1), 10))
	file, err := s.fs.Create(path, vfs.WriteCategoryUnspecified)
	return file, path, err
}

func (s *Spool) putBuffer(b *[]byte) {
	*b = (*b)[:0]
	s.bufs.Put(b)
}
