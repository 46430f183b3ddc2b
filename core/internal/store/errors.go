// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked is in the chain of Open's error when another process has the data
// directory open.
var ErrLocked = errors.New("locked by another process")

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
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("store: data directory %s is not writable: make it so for the user who runs postroad, or choose another data_dir: %w", dir, err)
	case errors.As(err, &locked):
		return fmt.Errorf("store: data directory %s is %w: stop that postroad, or choose another data_dir (%w)", dir, ErrLocked, err)
	case full(err):
		return fmt.Errorf("store: data directory %s is on a full disk: free some space, or choose another data_dir: %w", dir, err)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("store: data directory %s cannot be made because a part of its path is a file: choose another data_dir: %w", dir, err)
	}
	return fmt.Errorf("store: data directory %s cannot be opened: %w", dir, err)
}

// full reports whether err says that the disk, or the quota, is used up.
func full(err error) bool {
	return vfs.IsNoSpaceError(err) || errors.Is(err, syscall.EDQUOT)
}
