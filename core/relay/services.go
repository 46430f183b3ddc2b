// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sort"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/httpd"
)

// services are the doors for operators: the admin listener and the control
// socket.
type services struct {
	admin         *httpd.Server
	adminSocket   net.Listener
	control       *httpd.Server
	controlSocket net.Listener
}

func (s *services) bind(r *Relay, c *config.Config) (err error) {
	if c.Admin.Address != "" {
		if s.adminSocket, err = listen(c.Admin.Address, "admin listener"); err != nil {
			return err
		}
		s.admin = admin.NewServer(r.metrics, admin.Health{Fault: func() error { return r.room(0) }, Alarm: r.watchdog.alarm, Queue: r.readingState}, r.log.Named("admin"))
	}
	if r.o.InMemory {
		return nil
	}
	if s.controlSocket, err = control.Listen(control.SocketPath(c.Server.DataDir)); err != nil {
		return err
	}
	s.control = control.NewServer(operator{r})
	return nil
}

func (s *services) start() {
	if s.admin != nil {
		s.admin.Serve(s.adminSocket)
	}
	if s.control != nil {
		s.control.Serve(s.controlSocket)
	}
}

func (s *services) stop(ctx context.Context) error {
	var errs []error
	if s.admin != nil {
		errs = append(errs, s.admin.Shutdown(ctx))
	}
	if s.control != nil {
		errs = append(errs, s.control.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// close closes sockets that were never served.
func (s *services) close() {
	for _, l := range []net.Listener{s.adminSocket, s.controlSocket} {
		if l != nil {
			l.Close()
		}
	}
}

// Info tells what the relay listens on, for people.
type Info struct {
	ConfigFile string
	DataDir    string
	Listeners  []ListenerInfo // in the order of pipeline.hcl, one for each socket
	Admin      string         // host:port; empty if switched off
	Mailbox    string         // an address that this relay takes mail for
	LogFormat  string         // "text" or "json"
	Maildir    string         // folder in which Mailbox's mail arrives, if it does
}

// ListenerInfo is one open socket of a listener: host:port, or "unix:PATH".
type ListenerInfo struct{ Kind, Name, Address string }

// Info returns what the relay listens on.
func (r *Relay) Info() Info {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	c := r.gen.Load().config
	i := Info{ConfigFile: c.File, LogFormat: c.Server.LogFormat, DataDir: shortPath(c.Server.DataDir)}
	for k := range c.Listeners {
		l := &c.Listeners[k]
		if d := r.doors[l.Name]; d != nil {
			for _, s := range d.sockets {
				i.Listeners = append(i.Listeners, ListenerInfo{l.Kind, l.Name, s.shown()})
			}
		}
	}
	if s := r.services.adminSocket; s != nil {
		i.Admin = dialable(s.Addr())
	}
	i.Mailbox, i.Maildir = sample(c)
	return i
}

// dialable replaces "any address" by one that a client on this machine can use.
func dialable(a net.Addr) string {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil || !ap.Addr().IsUnspecified() {
		return a.String()
	}
	return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), ap.Port()).String()
}

// sample returns an address for a first message, and the folder of its mailbox.
func sample(c *config.Config) (address, folder string) {
	for _, rule := range c.Rules {
		for _, route := range c.Routes {
			if route.Name == rule.Route && route.Kind == "maildir" && len(rule.Domains) > 0 {
				if len(route.Maildir.Mailboxes) > 0 {
					return route.Maildir.Mailboxes[0], shortPath(route.Maildir.Root)
				}
				return "you@" + rule.Domains[0], shortPath(route.Maildir.Root)
			}
		}
	}
	for _, rule := range c.Rules {
		if rule.Accept && len(rule.Domains) > 0 {
			return "you@" + strings.TrimPrefix(rule.Domains[0], "."), ""
		}
	}
	return "you@example.test", ""
}

// shortPath is path relative to the working directory where that is shorter.
func shortPath(path string) string {
	wd, err := os.Getwd()
	if err != nil || len(path) <= len(wd)+1 || path[:len(wd)+1] != wd+"/" {
		return path
	}
	return "./" + path[len(wd)+1:]
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
