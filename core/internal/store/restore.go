// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// restoring is the folder in a data directory in which a restore gathers its
// copy. As long as it is there the data directory is not opened.
const restoring = "restore.unfinished"

// errRestore is the state between the begin of a restore and its end.
var errRestore = errors.New("a restore was interrupted")

// Restore puts a copy of what Backup made into a data directory that has no
// database and no spool; what else is there stays. check is given the copy, which
// it can open as a data directory, before it gets its place. It returns when all
// is durable.
//
//  1. restore.unfinished/ is made: no relay starts from here on
//  2. db/ and spool/ are copied into it, synced and checked; a mark says so
//  3. spool/ and then db/ are moved out of it
//  4. it is removed
//
// One that was interrupted in step 2 begins anew; behind that it comes to its
// end, and earlier is true. Files are copied and never linked: a log that
// the relay goes on writing must not change the backup.
func Restore(ctx context.Context, o Options, backup string, check func(dir string) error) (earlier bool, err error) {
	o = o.withDefaults()
	r := &restore{ctx: ctx, fs: o.FS, dir: o.Dir, from: filepath.Clean(backup), part: filepath.Join(o.Dir, restoring)}
	if err := r.source(); err != nil {
		return false, fmt.Errorf("store: restore of %s: %w", r.from, err)
	}
	earlier, err = r.run(check)
	if err != nil {
		return false, fmt.Errorf("store: restore into %s: %w", o.Dir, err)
	}
	return earlier, nil
}

// restore is one run of Restore.
type restore struct {
	ctx             context.Context
	fs              vfs.FS
	dir, from, part string // the data directory, the backup, restoring
	blind           error  // the first answer of the disk that says neither yes nor no
}

// exists reports whether there is such a file. Who acts on it looks at blind
// first.
func (r *restore) exists(path ...string) bool {
	_, err := r.fs.Stat(filepath.Join(path...))
	if err != nil && !missing(err) && r.blind == nil {
		r.blind = err
	}
	return err == nil
}

// source refuses what is no backup, or is in use.
func (r *restore) source() error {
	folders, opened := r.exists(r.from, "db") && r.exists(r.from, "spool"), r.exists(r.from, "db", "LOCK")
	switch {
	case r.blind != nil:
		return r.blind
	case r.from == r.dir:
		return errors.New("it is the data directory itself")
	case filepath.Ext(r.from) == Unfinished:
		return errors.New("it was interrupted while it was made, and is not whole; choose another backup")
	case !folders:
		return errors.New("it is no backup, for it has no folders db and spool; name a folder that postroad queue backup has made")
	case !opened:
		return nil // nobody ever opened it
	}
	lock, err := pebble.LockDirectory(filepath.Join(r.from, "db"), r.fs)
	if err != nil {
		return fmt.Errorf("a postroad is running on it; stop that, or make a backup of it (%w)", err)
	}
	return lock.Close()
}

func (r *restore) run(check func(dir string) error) (earlier bool, err error) {
	occupied := r.occupied() && !r.exists(r.part)
	switch {
	case r.blind != nil:
		return false, r.blind
	case occupied:
		return false, errOccupied
	}
	if err := makeAll(r.fs, r.part); err != nil {
		return false, err
	}
	lock, err := r.fs.Lock(filepath.Join(r.part, "LOCK"))
	if err != nil {
		return false, fmt.Errorf("another restore is under way (%w)", err)
	}
	if earlier, err = r.copied(); err == nil && !earlier {
		err = r.gather(check)
	}
	if err != nil {
		return false, errors.Join(err, lock.Close())
	}
	if err := r.place(); err != nil {
		return false, errors.Join(err, lock.Close())
	}
	return earlier, r.end(lock)
}

// occupied reports whether there is a queue, or a part of one.
func (r *restore) occupied() bool { return r.exists(r.dir, "db") || r.exists(r.dir, "spool") }

var errOccupied = errors.New("it has a queue; move its folders db and spool away, or choose another data_dir")

// copied reports whether an interrupted restore had come to step 3. What it
// copied is thrown away if not.
func (r *restore) copied() (bool, error) {
	db := r.exists(r.dir, "db")
	complete := r.exists(r.part, whole) || db && !r.exists(r.part, "db") // the latter: in step 4
	occupied := r.occupied()
	switch {
	case r.blind != nil:
		return false, r.blind
	case complete:
		return true, nil
	case occupied:
		return false, errOccupied
	}
	return false, r.forget()
}

// whole is the file in restoring that says that step 2 is complete.
const whole = "whole"

func (r *restore) forget() error {
	return errors.Join(r.fs.RemoveAll(filepath.Join(r.part, "db")), r.fs.RemoveAll(filepath.Join(r.part, "spool")))
}

// gather is step 2. Where it fails it leaves nothing.
func (r *restore) gather(check func(dir string) error) error {
	err := r.copyAll()
	if err == nil {
		err = check(r.part)
	}
	if err == nil {
		err = r.mark()
	}
	if err != nil {
		return errors.Join(err, r.fs.RemoveAll(r.part), syncFolder(r.fs, r.dir))
	}
	return nil
}

// mark says that the copy is whole.
func (r *restore) mark() error {
	f, err := r.fs.Create(filepath.Join(r.part, whole), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), syncFolder(r.fs, r.part))
}

// place is step 3. What is in its place already is left there.
func (r *restore) place() error {
	for _, name := range []string{"spool", "db"} {
		placed := !r.exists(r.part, name) || r.exists(r.dir, name)
		if r.blind != nil {
			return r.blind
		}
		if placed {
			continue
		}
		if err := r.move(name); err != nil {
			return err
		}
	}
	return nil
}

// move gives a folder its place. That it is there is durable before that it is
// gone from where it was.
func (r *restore) move(name string) error {
	if err := r.fs.Rename(filepath.Join(r.part, name), filepath.Join(r.dir, name)); err != nil {
		return err
	}
	if err := syncFolder(r.fs, r.dir); err != nil {
		return err
	}
	return syncFolder(r.fs, r.part)
}

// end is step 4.
func (r *restore) end(lock io.Closer) error {
	return errors.Join(lock.Close(), r.fs.RemoveAll(r.part), syncFolder(r.fs, r.dir))
}

func (r *restore) copyAll() error {
	if err := makeAll(r.fs, filepath.Join(r.part, "spool", "tmp")); err != nil {
		return err
	}
	for _, name := range []string{"spool", "db"} {
		if err := r.copyFolder(name); err != nil {
			return err
		}
	}
	return syncFolder(r.fs, r.part)
}

// copyFolder copies the files of a folder; each is synced by vfs.Copy.
func (r *restore) copyFolder(name string) error {
	from, to := filepath.Join(r.from, name), filepath.Join(r.part, name)
	names, err := r.fs.List(from)
	if err != nil {
		return err
	}
	if err := makeAll(r.fs, to); err != nil {
		return err
	}
	for _, n := range names {
		if err := r.copyFile(filepath.Join(from, n), filepath.Join(to, n)); err != nil {
			return err
		}
	}
	return syncFolder(r.fs, to)
}

func (r *restore) copyFile(from, to string) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	info, err := r.fs.Stat(from)
	if err != nil || info.IsDir() || filepath.Base(from) == "LOCK" {
		return err
	}
	return vfs.Copy(r.fs, from, to)
}

// restoreEnded returns an error while a restore is not over.
func (s *Store) restoreEnded() error {
	if s.exists(s.path(restoring)) {
		return errRestore
	}
	return nil
}
