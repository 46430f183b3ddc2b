// SPDX-License-Identifier: Apache-2.0

//go:build unix

package relay

import "syscall"

// openFiles returns how many files this process may have open, 0 when that is
// not known.
func openFiles() uint64 {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return uint64(l.Cur) //nolint:unconvert // it is signed on some systems
}
