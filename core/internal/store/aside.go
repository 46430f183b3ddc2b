// SPDX-License-Identifier: Apache-2.0

package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Aside is a folder below damaged/ into which a repair moves what is in the
// way. It looks like this:
//
//	records.jsonl   records of the database, a line of JSON each: {"why": text, "key": base64, "value": base64}
//	spool/NAME      body files, under the names that they had
//	db/             the whole database, when it had to be built anew
//
// Nothing in damaged/ is ever read again by Postroad, or removed.
type Aside struct {
	s     *Store
	dir   string
	lines vfs.File // records.jsonl; nil: none yet
}

// AsidePath is the folder of that name below damaged/ in a data directory.
func AsidePath(dir, name string) string { return filepath.Join(dir, "damaged", name) }

// NewAside returns the folder of that name. It is made when something is put
// there. The caller closes it.
func (s *Store) NewAside(name string) *Aside { return &Aside{s: s, dir: AsidePath(s.dir, name)} }

// Path is the folder; empty when nothing was put there.
func (a *Aside) Path() string {
	if !a.s.exists(a.dir) {
		return ""
	}
	return a.dir
}

// Record notes a record; it is durable after Sync. The caller removes it then.
func (a *Aside) Record(key, value []byte, why string) error {
	if err := a.open(); err != nil {
		return err
	}
	line, err := json.Marshal(struct {
		Why   string `json:"why"`
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}{why, key, value})
	if err != nil {
		return err
	}
	_, err = a.lines.Write(append(line, '\n'))
	return err
}

// File moves a file of the spool; one that is not there is no error.
func (a *Aside) File(name string) error {
	to := filepath.Join(a.dir, "spool")
	if err := makeAll(a.s.fs, to); err != nil {
		return err
	}
	err := a.s.fs.Rename(a.s.spool.path(name), filepath.Join(to, name))
	if err != nil && !missing(err) {
		return err
	}
	return errors.Join(syncFolder(a.s.fs, to), syncFolder(a.s.fs, a.s.spool.dir))
}

func (a *Aside) open() (err error) {
	if a.lines != nil {
		return nil
	}
	if err := makeAll(a.s.fs, a.dir); err != nil {
		return err
	}
	path := filepath.Join(a.dir, "records.jsonl")
	if _, err := a.s.fs.Stat(path); err == nil {
		return &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	a.lines, err = a.s.fs.Create(path, vfs.WriteCategoryUnspecified)
	return err
}

// Sync returns when the records are durable.
func (a *Aside) Sync() error {
	if a.lines == nil {
		return nil
	}
	if err := a.lines.Sync(); err != nil {
		return err
	}
	return syncFolder(a.s.fs, a.dir)
}

// Close closes the file of records.
func (a *Aside) Close() error {
	if a.lines == nil {
		return nil
	}
	return a.lines.Close()
}

// makeAll makes a folder with those above it, and makes them durable up to the
// first that was there before.
func makeAll(fsys vfs.FS, dir string) error {
	if _, err := fsys.Stat(dir); err == nil {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := makeAll(fsys, above); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncFolder(fsys, above)
}
