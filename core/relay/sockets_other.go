// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package relay

import (
	"net"
	"syscall"
)

// bindUnix makes a socket file.
func bindUnix(path string) (*net.UnixListener, error) {
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// checkListens cannot tell here; Accept will.
func checkListens(syscall.Conn) error { return nil }
