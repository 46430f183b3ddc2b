// SPDX-License-Identifier: Apache-2.0

//go:build unix

package file

import (
	"io/fs"
	"syscall"
)

func stampOf(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = uint64(st.Ino) //nolint:unconvert // not on every system
	}
	return s
}
