// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked is in the chain of Open's error when another process has the data
// directory open.
var ErrLocked = errors.New("locked by another process")

// ErrDamaged is in the chain of Open's error when the database cannot be opened
// although the disk does what it is told.
var ErrDamaged = errors.New("the database is damaged")

// ErrNewer is in the chain of Open's error when a newer program has written the
// database.
var ErrNewer = errors.New("written by a newer postroad")

// errRepair is the state between two steps of a repair.
var errRepair = errors.New("a repair was interrupted")

// lockError is a failure to take the lock, for whatever reason.
type lockError struct{ err error }

func (e *lockError) Error() string { return e.err.Error() }
func (e *lockError) Unwrap() error { return e.err }

// explain makes one sentence of an error of Open: the thing and the remedy.
func explain(dir string, err error) error {
	var locked *lockError
	var cause *fault
	if errors.As(err, &cause) {
		err = cause.err
	}
	switch {
	case errors.Is(err, errRestore):
		return fmt.Errorf("store: data directory %s: %w: run postroad queue restore again, or remove %s to do without it", dir, errRestore, filepath.Join(dir, restoring))
	case errors.Is(err, errRepair):
		return fmt.Errorf("store: data directory %s: %w: run postroad queue fsck --repair again", dir, err)
	case refused(err):
		return fmt.Errorf("store: data directory %s is not writable: make it so for the user who runs postroad, or choose another data_dir: %w", dir, err)
	case errors.As(err, &locked):
		return fmt.Errorf("store: data directory %s is %w: stop that postroad, or choose another data_dir (%w)", dir, ErrLocked, err)
	case full(err):
		return fmt.Errorf("store: data directory %s is on a full disk: free some space, or choose another data_dir: %w", dir, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("store: data directory %s cannot be made because a part of its path is a file: choose another data_dir: %w", dir, err)
	}
	return explainDamage(dir, err)
}

func explainDamage(dir string, err error) error {
	switch {
	case errors.Is(err, ErrNewer):
		return fmt.Errorf("store: data directory %s was %w: start that version, or choose another data_dir (%s)", dir, ErrNewer, oneLine(err))
	case errors.Is(err, ErrDamaged):
		return &damagedDir{dir, oneLine(err)}
	}
	return fmt.Errorf("store: data directory %s cannot be opened: %w", dir, err)
}

// damagedDir is ErrDamaged with the place and the remedy.
type damagedDir struct{ dir, what string }

// Error is for who starts a relay: the commands of the remedy say Damage.
func (d *damagedDir) Error() string {
	return fmt.Sprintf("store: data directory %s: %v: stop the relay and run postroad queue fsck to see more, and postroad queue fsck --repair to save what can be read (%s)",
		d.dir, ErrDamaged, d.what)
}

func (d *damagedDir) Unwrap() error { return ErrDamaged }

// Damage says what is damaged, without the remedy; any other error as it is.
func Damage(err error) string {
	if d := (*damagedDir)(nil); errors.As(err, &d) {
		return ErrDamaged.Error() + ": " + d.what
	}
	return err.Error()
}

// oneLine is the text of an error of Pebble, which may be a list.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// refused reports whether err says that the system does not let us write.
func refused(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
}

// full reports whether err says that the disk, or the quota, is used up.
func full(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT)
}
