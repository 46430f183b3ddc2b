// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Unfinished ends the name of a backup that is being made, or whose making was
// interrupted.
const Unfinished = ".unfinished"

// Backup copies the data directory to dir while it is in use: db/ and spool/,
// which Open takes for a data directory. It is made under another name and gets
// dir's when it is whole and synced, so that there is never half of one. All
// that was committed before the call is in it, synced or not. The caller sees
// to it that no body is removed meanwhile.
//
// Tables and bodies never change, and are linked where dir is on the same file
// system: such a backup takes little space, and does not save anyone from a disk
// that loses files.
func (s *Store) Backup(ctx context.Context, dir string) error {
	s.life.RLock()
	defer s.life.RUnlock()
	if err := s.usable(); err != nil {
		return err
	}
	dir = filepath.Clean(dir)
	if err := s.backupPlace(dir); err != nil {
		return err
	}
	part := dir + Unfinished
	if err := s.copyTo(ctx, part); err != nil {
		return errors.Join(fmt.Errorf("store: backup to %s: %w", dir, err), s.fs.RemoveAll(part))
	}
	if err := errors.Join(s.fs.Rename(part, dir), syncFolder(s.fs, filepath.Dir(dir))); err != nil {
		return fmt.Errorf("store: backup to %s: %w", dir, err)
	}
	return s.usable()
}

// backupPlace refuses to write over anything.
func (s *Store) backupPlace(dir string) error {
	switch {
	case dir == s.dir || strings.HasPrefix(dir, s.dir+string(filepath.Separator)):
		return fmt.Errorf("store: backup to %s: that is in the data directory; choose a folder elsewhere", dir)
	case s.exists(dir):
		return fmt.Errorf("store: backup to %s: it exists already; choose a new name", dir)
	case s.exists(dir + Unfinished):
		return fmt.Errorf("store: backup to %s: an interrupted backup is at %s; remove it, or choose a new name", dir, dir+Unfinished)
	}
	return nil
}

func (s *Store) copyTo(ctx context.Context, part string) error {
	if err := makeAll(s.fs, filepath.Join(part, "spool", "tmp")); err != nil {
		return err
	}
	if err := s.checkpoint(filepath.Join(part, "db")); err != nil {
		return err
	}
	if err := s.copyBodies(ctx, filepath.Join(part, "spool")); err != nil {
		return err
	}
	return errors.Join(syncFolder(s.fs, part), s.disk.fault())
}

// checkpoint has Pebble make its part. Where the folder of its copy cannot be
// synced Pebble panics, holding no lock: that is a failed backup, no bug of ours,
// and must not end the relay.
func (s *Store) checkpoint(to string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("pebble: %v", p)
		}
	}()
	return s.db.Checkpoint(to, pebble.WithFlushedWAL())
}

func (s *Store) copyBodies(ctx context.Context, to string) error {
	names, err := s.spool.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.going(ctx); err != nil {
			return err
		}
		if err := s.copyBody(name, to); err != nil && !missing(err) { // missing: its enqueue failed
			return err
		}
	}
	return syncFolder(s.fs, to)
}

func (s *Store) copyBody(name, to string) error {
	info, err := s.fs.Stat(s.spool.path(name))
	if err != nil || info.IsDir() { // tmp, or a stranger's
		return err
	}
	return vfs.LinkOrCopy(s.fs, s.spool.path(name), filepath.Join(to, name))
}

// going returns an error when a long work is to end.
func (s *Store) going(ctx context.Context) error {
	select {
	case <-s.disk.stopped:
		return ErrClosed
	default:
		return ctx.Err()
	}
}
