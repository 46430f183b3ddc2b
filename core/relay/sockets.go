// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
)

// socket is one open place where a listener takes connections. A reload that
// keeps the address keeps the socket, whichever listener has it then.
type socket struct {
	acceptor
	at   string // the address as pipeline.hcl has it
	path string // file of a unix socket that this process made; else empty
}

// acceptor is a listener whose Accept can be made to return.
type acceptor interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// open returns the sockets of a listener: those that are open already, and new
// ones for the rest. After an error nothing new is open.
func (r *Relay) open(c *config.Listener) (all []*socket, err error) {
	var fresh []*socket
	defer func() {
		if err != nil {
			closeAll(fresh)
		}
	}()
	for _, at := range c.Addresses {
		have := r.socketsAt(c, at, all)
		if len(have) == 0 {
			have, err = r.listenAt(c, at)
			fresh = append(fresh, have...)
		}
		for _, s := range have {
			err = errors.Join(err, s.setRights(c))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, have...)
	}
	return all, nil
}

// socketsAt returns the open sockets of an address, which another listener may
// have had, but for those that are used already. Port 0 is whatever port was free,
// and stays with its listener.
func (r *Relay) socketsAt(c *config.Listener, at string, used []*socket) []*socket {
	for _, d := range r.doors {
		if strings.HasSuffix(at, ":0") && d.conf.Name != c.Name {
			continue
		}
		have := slices.DeleteFunc(slices.Clone(d.sockets), func(s *socket) bool { return s.at != at || slices.Contains(used, s) })
		if len(have) > 0 && strings.HasPrefix(at, config.SystemdPrefix) {
			return have
		}
		if len(have) > 0 {
			return have[:1]
		}
	}
	return nil
}

// listenAt opens the sockets of one address.
func (r *Relay) listenAt(c *config.Listener, at string) ([]*socket, error) {
	if name, ok := strings.CutPrefix(at, config.SystemdPrefix); ok {
		return r.inherited(c, at, name)
	}
	if path, ok := strings.CutPrefix(at, config.UnixPrefix); ok {
		l, err := listenUnix(path, listenerName(c))
		return []*socket{{l, at, path}}[:opened(err)], err
	}
	l, err := listen(at, listenerName(c))
	if mine := r.onPort(at); err != nil && mine != "" {
		err = fmt.Errorf("%w; this relay listens on %s now: a restart can change from one to the other, a reload cannot", err, mine)
	}
	return []*socket{{l, at, ""}}[:opened(err)], err
}

// onPort returns an address of this relay that is open on the same port; empty if
// none is.
func (r *Relay) onPort(at string) string {
	_, port, _ := net.SplitHostPort(at)
	for s := range socketsOf(r.doors) {
		if _, p, err := net.SplitHostPort(s.at); err == nil && p == port && port != "0" {
			return s.at
		}
	}
	return ""
}

// opened is how many sockets there are.
func opened(err error) int {
	if err != nil {
		return 0
	}
	return 1
}

// listen opens a TCP socket. What stands there is what is listened to: an IPv4
// address takes no IPv6, "[::]" no IPv4, and no host at all takes both.
func listen(address, what string) (*net.TCPListener, error) {
	l, err := net.Listen(networkOf(address), address)
	if err == nil {
		return l.(*net.TCPListener), nil
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: address %s is in use by another program; stop that, or change the address", what, address)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: address %s needs the right to bind ports below 1024 (CAP_NET_BIND_SERVICE), or choose a higher port", what, address)
	}
	return nil, fmt.Errorf("%s: cannot listen on %s: %w", what, address, err)
}

func networkOf(address string) string {
	host, _, _ := net.SplitHostPort(address)
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return "tcp"
	case ip.Unmap().Is4():
		return "tcp4"
	}
	return "tcp6"
}

// listenUnix makes the socket file. One that is left over from a process that was
// killed is removed: nobody answers on it.
func listenUnix(path, what string) (*net.UnixListener, error) {
	l, err := bindUnix(path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if bad := removeStale(path, what); bad != nil {
			return nil, bad
		}
		l, err = bindUnix(path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: cannot listen on the socket %s: %w; its folder must exist, and this process must be able to write there", what, path, err)
	}
	return l, nil
}

func removeStale(path, what string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s: %s is there and is no socket; remove it, or choose another path", what, path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: the socket %s is in use by another program; stop that, or choose another path", what, path)
	}
	return os.Remove(path)
}

// setRights gives the socket's file the rights that the listener says.
func (s *socket) setRights(c *config.Listener) error {
	if s.path == "" {
		return nil
	}
	gid, err := groupID(c.SocketGroup)
	if err == nil {
		err = os.Lchown(s.path, -1, gid)
	}
	if err == nil {
		err = os.Chmod(s.path, c.SocketMode)
	}
	if err != nil {
		return fmt.Errorf("%s: rights of the socket %s: %w; check socket_group and that this process is in that group", listenerName(c), s.path, err)
	}
	return nil
}

// groupID returns the number of a group; -1 leaves it as it is.
func groupID(group string) (int, error) {
	if group == "" {
		return -1, nil
	}
	if n, err := strconv.Atoi(group); err == nil {
		return n, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

// inherited returns listeners on the sockets of a name that the process was
// started with. They are copies: closing them leaves the sockets open, so that a
// reload can come back to them.
func (r *Relay) inherited(c *config.Listener, at, name string) (all []*socket, err error) {
	files := r.o.Sockets[name]
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: this process was started with no socket named %q; the names that it got: %s", listenerName(c), name, socketNames(r.o.Sockets))
	}
	for _, f := range files {
		l, err := net.FileListener(f)
		if err == nil {
			err = takesConnections(l)
		}
		if err != nil {
			closeAll(all)
			return nil, fmt.Errorf("%s: socket %q is not one to listen on: %w; a .socket unit needs ListenStream= and Accept=no", listenerName(c), name, err)
		}
		all = append(all, &socket{acceptor: l.(acceptor), at: at})
	}
	return all, nil
}

// takesConnections closes a listener that is of another type of socket.
func takesConnections(l net.Listener) error {
	if n := l.Addr().Network(); n != "tcp" && n != "unix" {
		l.Close()
		return fmt.Errorf("it is a socket for %s", n)
	}
	err := checkListens(l.(syscall.Conn))
	if err != nil {
		l.Close()
	}
	return err
}

func socketNames(sockets map[string][]*os.File) string {
	if len(sockets) == 0 {
		return "none, so it was not started by a .socket unit of systemd"
	}
	return strings.Join(sortedNames(sockets), ", ")
}

func closeAll(sockets []*socket) {
	for _, s := range sockets {
		s.Close()
	}
}

// shown is the address for people and for programs on this machine.
func (s *socket) shown() string {
	if s.Addr().Network() == "unix" {
		return config.UnixPrefix + s.Addr().String()
	}
	if strings.HasPrefix(s.at, "[::]:") {
		_, port, _ := net.SplitHostPort(s.Addr().String())
		return net.JoinHostPort("::1", port)
	}
	return dialable(s.Addr())
}

// shown is all addresses, for the log.
func (d *listening) shown() string {
	var all []string
	for _, s := range d.sockets {
		all = append(all, s.shown())
	}
	return strings.Join(all, ", ")
}
