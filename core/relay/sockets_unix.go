// SPDX-License-Identifier: Apache-2.0

//go:build unix

package relay

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// bindUnix makes a socket file that is the owner's alone where the system lets
// the rights of a socket be set before it has a name, as Linux does; setRights
// opens it to others then.
func bindUnix(path string) (*net.UnixListener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// checkListens returns an error when a socket does not listen: a connection, for one.
func checkListens(s syscall.Conn) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var accepts int
	ctl := raw.Control(func(fd uintptr) {
		accepts, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	})
	if err == nil && ctl == nil && accepts == 0 {
		err = errors.New("it does not listen")
	}
	return errors.Join(ctl, err)
}
