// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io/fs"
	"syscall"
)

// blocks returns what a file takes on the disk, which differs from its size
// when it was allocated ahead or has holes.
func blocks(info fs.FileInfo) int64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Blocks * 512
	}
	return info.Size()
}
