// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
)

// Inspect opens a data directory to look at it, or to copy it: the lock is
// taken, and nothing else is written, removed or repaired. Commit must not be
// called. The caller closes the Store.
func Inspect(o Options) (*Store, error) {
	o.MinFree, o.Ballast = -1, -1
	o = o.withDefaults()
	s := newStore(o)
	if err := s.inspect(o); err != nil {
		s.abandon()
		return nil, explain(o.Dir, err)
	}
	return s, nil
}

func (s *Store) inspect(o Options) error {
	if err := errors.Join(s.restoreEnded(), s.repairEnded()); err != nil {
		return err
	}
	if !s.exists(s.path("db")) {
		return fmt.Errorf("no relay has run on it: %w", fs.ErrNotExist)
	}
	var err error
	if s.lock, err = pebble.LockDirectory(s.path("db"), s.fs); err != nil {
		return &lockError{err}
	}
	s.floor = newFloor(o.FS, o.Dir, o.MinFree, o.Ballast, s.log)
	s.spool = newSpool(s.fs, s.path("spool"), s.floor, s.log)
	if err := s.verify(); err != nil {
		return err
	}
	p := s.pebbleOptions(o)
	p.ReadOnly = true
	if s.db, err = pebble.Open(s.path("db"), p); err != nil {
		return &damage{err}
	}
	return s.disk.fault()
}

// damage is a failure of Pebble to open what is there.
type damage struct{ err error }

func (d *damage) Error() string { return d.err.Error() }
func (d *damage) Unwrap() error { return d.err }

// Is makes a damage ErrDamaged or ErrNewer to errors.Is. What the system
// refused (a permission, a full disk) is neither.
func (d *damage) Is(target error) bool {
	switch target {
	case ErrNewer:
		return d.newer()
	case ErrDamaged:
		return !d.newer() && !d.system()
	}
	return false
}

// system reports whether the system refused something; that a file is missing is
// damage.
func (d *damage) system() bool {
	var errno syscall.Errno
	return errors.Is(d.err, fs.ErrPermission) || errors.As(d.err, &errno) && errno != syscall.ENOENT
}

// newer looks at the text, for Pebble has no error value for it.
func (d *damage) newer() bool { return strings.Contains(d.err.Error(), "unknown format major version") }
