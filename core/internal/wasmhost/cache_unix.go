// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wasmhost

import (
	"io/fs"
	"os"
	"syscall"
)

// privateMode reports whether nobody but the owner has a right to the folder.
func privateMode(info fs.FileInfo) bool { return info.Mode().Perm() == 0o700 }

// ownedByUs reports whether the folder belongs to the user that runs us.
func ownedByUs(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}
