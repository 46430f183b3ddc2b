// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"
)

// ErrFault is in the chain of every error after the disk has failed.
var ErrFault = errors.New("the disk has failed")

// pause slows down background work of Pebble that fails on a full disk and is
// tried again at once: it has no back-off of its own.
const pause = 100 * time.Millisecond

// disk is the state that all files of a Store share: the first fault, and the
// number of syncs.
type disk struct {
	log      hclog.Logger
	syncs    atomic.Int64
	cause    atomic.Pointer[fault]
	failed   chan struct{}
	stopped  chan struct{}
	stopOnce sync.Once
	makeRoom func() bool // gives space back on a full disk; reports whether it did
	stalls   *stalls
}

func newDisk(log hclog.Logger, stalls *stalls) *disk {
	return &disk{
		log:      log,
		stalls:   stalls,
		failed:   make(chan struct{}),
		stopped:  make(chan struct{}),
		makeRoom: func() bool { return false },
	}
}

// fault is the first failure of the disk. It is ErrFault to errors.Is.
type fault struct {
	op  string
	err error
}

func (f *fault) Error() string {
	return "store: " + ErrFault.Error() + ": " + f.op + ": " + f.err.Error()
}
func (f *fault) Unwrap() error        { return f.err }
func (f *fault) Is(target error) bool { return target == ErrFault }

// fault returns the first fault, or nil.
func (d *disk) fault() error {
	if f := d.cause.Load(); f != nil {
		return f
	}
	return nil
}

// fail notes the first fault; later ones are only its consequences.
func (d *disk) fail(op string, err error) {
	if d.cause.CompareAndSwap(nil, &fault{op, err}) {
		close(d.failed)
		d.log.Error("the disk has failed: nothing more is accepted until the store is opened again", "op", op, "error", err)
	}
}

// stop ends the pauses; Close calls it first.
func (d *disk) stop() { d.stopOnce.Do(func() { close(d.stopped) }) }

func (d *disk) wait() {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-d.stopped:
	}
}

// class says how a failure on a path is handled.
type class uint8

const (
	state  class = iota // Pebble's log, manifest, markers and folder: freeze
	table               // Pebble's tables: freeze, unless the disk is full
	folder              // the spool: freeze, and tell the caller
	body                // a file of a message, or of a backup: the failure is its alone
)

// faultFS is the layer between Pebble, the spool and the disk.
type faultFS struct {
	vfs.FS // the disk
	disk   *disk
	db     string // Pebble's folder
	spool  string // that of the bodies
}

// Unwrap implements vfs.FS.
func (f *faultFS) Unwrap() vfs.FS { return f.FS }

func (f *faultFS) class(path string) class {
	switch ext := filepath.Ext(path); {
	case filepath.Dir(path) != f.db:
		return body
	case ext == ".sst" || ext == ".blob":
		return table
	}
	return state
}

// do runs op, which changes something at path. A full disk gets a second try
// after the ballast is gone, if again is set: a failed sync never does.
func (f *faultFS) do(c class, name, path string, again bool, op func() error) error {
	if c != body || strings.HasPrefix(path, f.spool) {
		defer f.disk.stalls.end(f.disk.stalls.begin(name, path))
	}
	if c == body {
		return op()
	}
	if err := f.disk.fault(); err != nil {
		return frozen(c, err)
	}
	err := op()
	if err != nil && again && full(err) && f.disk.makeRoom() {
		err = op()
	}
	switch {
	case err == nil:
		return nil
	case c == table && full(err):
		f.disk.wait()
		return err
	}
	f.disk.fail(name+" "+path, err)
	return frozen(c, err)
}

// frozen is what a caller hears from the first fault on. Pebble hears nothing:
// it would panic, end the process, or try for ever. What it writes from then
// on goes nowhere, and what it reads is what was written before.
func frozen(c class, err error) error {
	if c == folder {
		return err
	}
	return nil
}

// open runs an operation that yields a file for writing.
func (f *faultFS) open(name, path string, op func() (vfs.File, error)) (vfs.File, error) {
	c := f.class(path)
	var file vfs.File
	err := f.do(c, name, path, true, func() (err error) {
		file, err = op()
		return err
	})
	if err != nil {
		return nil, err
	}
	if file == nil {
		file = vfs.NewMemFile(nil) // nowhere: nobody reads it
	}
	return &faultFile{File: file, fs: f, path: path, class: c}, nil
}

// Create implements vfs.FS. Pebble creates a manifest and a marker that names it
// and then syncs the folder once. On a disk that may keep the second entry
// without the first, that is a database which cannot be opened; so the folder is
// synced before a marker is created, too.
func (f *faultFS) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	if filepath.Dir(name) == f.db && strings.HasPrefix(filepath.Base(name), "marker.") {
		if err := syncFolder(f, f.db); err != nil {
			return nil, err
		}
	}
	return f.open("create", name, func() (vfs.File, error) { return checked(f.FS.Create(name, cat)) })
}

// OpenReadWrite implements vfs.FS.
func (f *faultFS) OpenReadWrite(name string, cat vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open("open", name, func() (vfs.File, error) { return checked(f.FS.OpenReadWrite(name, cat, opts...)) })
}

// ReuseForWrite implements vfs.FS.
func (f *faultFS) ReuseForWrite(old, name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("reuse", name, func() (vfs.File, error) { return checked(f.FS.ReuseForWrite(old, name, cat)) })
}

// OpenDir implements vfs.FS. A folder whose sync failed is as bad as a log:
// entries of others may be gone without their sync saying so.
func (f *faultFS) OpenDir(name string) (vfs.File, error) {
	dir, err := checked(f.FS.OpenDir(name))
	if err != nil {
		return nil, err
	}
	c := body
	switch name {
	case f.db:
		c = state
	case f.spool:
		c = folder
	}
	return &faultFile{File: dir, fs: f, path: name, class: c}, nil
}

// Rename implements vfs.FS.
func (f *faultFS) Rename(old, name string) error {
	return f.do(f.class(name), "rename", name, true, func() error { return f.FS.Rename(old, name) })
}

// Link implements vfs.FS.
func (f *faultFS) Link(old, name string) error {
	return f.do(f.class(name), "link", name, true, func() error { return f.FS.Link(old, name) })
}

// Remove implements vfs.FS. A file that cannot be removed is no fault, but
// after one nothing is removed.
func (f *faultFS) Remove(name string) error {
	if err := f.disk.fault(); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// checked makes a failed open yield no file at all: some filesystems return a
// non-nil interface around nil.
func checked(file vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return file, nil
}

// faultFile is a file or folder opened through faultFS.
type faultFile struct {
	vfs.File
	fs    *faultFS
	path  string
	class class
}

// Write implements vfs.File. What a full disk took is not written twice.
func (f *faultFile) Write(p []byte) (int, error) {
	done := 0
	err := f.fs.do(f.class, "write", f.path, true, func() error {
		n, err := f.File.Write(p[done:])
		done += n
		return err
	})
	if err != nil {
		return done, err
	}
	return len(p), nil
}

// WriteAt implements vfs.File.
func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	done := 0
	err := f.fs.do(f.class, "write", f.path, true, func() error {
		n, err := f.File.WriteAt(p[done:], off+int64(done))
		done += n
		return err
	})
	if err != nil {
		return done, err
	}
	return len(p), nil
}

// Sync implements vfs.File.
func (f *faultFile) Sync() error { return f.sync(f.File.Sync) }

// SyncData implements vfs.File.
func (f *faultFile) SyncData() error { return f.sync(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *faultFile) SyncTo(n int64) (whole bool, err error) {
	err = f.fs.do(f.class, "sync", f.path, false, func() error {
		whole, err = f.File.SyncTo(n)
		return err
	})
	return whole, err
}

func (f *faultFile) sync(op func() error) error {
	f.fs.disk.syncs.Add(1)
	return f.fs.do(f.class, "sync", f.path, false, op)
}

// Close implements vfs.File.
func (f *faultFile) Close() error {
	err := f.File.Close()
	if err == nil || errors.Is(err, os.ErrClosed) || f.class == body {
		return err
	}
	return f.fs.do(f.class, "close", f.path, false, func() error { return err })
}

// syncFolder makes the entries of a folder durable.
func syncFolder(fsys vfs.FS, dir string) error {
	f, err := fsys.OpenDir(dir)
	if err != nil {
		return err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// missing reports whether err says that there is no such file.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
