// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/smtpin"
)

// listening is one listener of pipeline.hcl: its sockets, and the server that
// takes their connections. A reload that keeps an address keeps its socket, and
// a new server takes the connections from then on.
type listening struct {
	conf    config.Listener
	sockets []*socket // at least one
	server  *smtpin.Server
	lends   []*lent         // one for each socket, once it serves
	ended   []chan struct{} // each closed when server takes no more connections there; nil until it does
}

// addr returns the first address.
func (d *listening) addr() net.Addr { return d.sockets[0].Addr() }

// serves reports whether the server can go on for c as it is. What a transaction
// asks of its listener (pipeline, relay_from, on_mixed) is looked up at MAIL and
// does not count; a certificate may have changed behind its name.
func (d *listening) serves(c *config.Listener) bool {
	a := &d.conf
	return slices.Equal(a.Addresses, c.Addresses) && a.SocketMode == c.SocketMode && a.SocketGroup == c.SocketGroup && sameProxies(&a.Proxies, &c.Proxies) &&
		a.Kind == c.Kind && a.Limits == c.Limits && a.Clients.Equal(&c.Clients) && slices.Equal(a.RelayFrom, c.RelayFrom) && a.Extensions.Equal(&c.Extensions) && a.TLS == nil && c.TLS == nil
}

func listenerName(c *config.Listener) string {
	return fmt.Sprintf("%s: listener %q", c.Pos, c.Name)
}

// bind opens the sockets that c names and are not open yet.
func (r *Relay) bind(c *config.Config) error {
	for i := range c.Listeners {
		l := &c.Listeners[i]
		if len(l.Addresses) == 0 {
			continue
		}
		d, err := r.newDoor(l, c)
		if err != nil {
			return err
		}
		r.doors[l.Name] = d
	}
	return r.services.bind(r, c)
}

// newDoor makes the server of one of so many listeners, on open sockets and on
// new ones.
func (r *Relay) newDoor(c *config.Listener, conf *config.Config) (*listening, error) {
	tlsConf, err := r.loadTLS(c, conf)
	if err != nil {
		return nil, err
	}
	sockets, err := r.open(c)
	if err != nil {
		return nil, err
	}
	connections := affordable(c.Limits.Connections, len(conf.Listeners), openFiles())
	if connections < c.Limits.Connections {
		r.log.Warn("fewer connections are taken than limits.connections says, because this process may open few files; raise its limit (ulimit -n)",
			"listener", c.Name, "connections", connections, "wanted", c.Limits.Connections, "open_files", openFiles())
	}
	s := smtpin.NewServer(smtpin.Options{
		Name: c.Name, Hostname: conf.Server.Hostname, Backend: &door{r: r, listener: c.Name}, Logger: r.log.Named("smtp"), TLS: tlsConf, Implicit: c.TLS != nil && c.TLS.Implicit, Known: slices.Concat(c.RelayFrom, c.Clients.Trusted),
		Kind: kindOf(c), Proxies: c.Proxies.Protocol, XClient: c.Proxies.XClient, XClientLogin: c.Proxies.Login,
		Observer: smtpObserver{r, c.Name},
		Limits: smtpin.Limits{
			MessageSize: c.Limits.MessageSize, Recipients: c.Limits.Recipients, LineLength: c.Limits.LineLength,
			Connections: connections, ConnectionsPerClient: c.Limits.ConnectionsPerClient, IdleCommands: c.Limits.IdleCommands,
			CommandTimeout: c.Limits.CommandTimeout, DataTimeout: c.Limits.DataTimeout, DataRate: c.Limits.DataRate, TransactionTime: c.Limits.TransactionTime,
			GreetDelay: c.Clients.GreetDelay, Tarpit: c.Clients.Tarpit,
			Hold: c.Extensions.Hold, DeliverBy: c.Extensions.DeliverBy,
		},
		Withhold: withheld(c), Now: r.clock.Now,
	})
	return &listening{conf: *c, sockets: sockets, server: s}, nil
}

// affordable returns how many connections one of so many listeners may take
// when the process may open that many files (0: any number): all listeners
// together a third of them, for a session can have a body in a file too, and
// the rest is for the store and for delivery. A store that cannot open a file
// has failed; clients must not bring that about by connecting.
func affordable(wanted, listeners int, files uint64) int {
	if files == 0 || uint64(wanted) <= files/3/uint64(listeners) {
		return wanted
	}
	return max(1, int(files/3/uint64(listeners)))
}

// serve takes connections until stop.
func (d *listening) serve() {
	for _, s := range d.sockets {
		l, ended := lend(s), make(chan struct{})
		d.lends, d.ended = append(d.lends, l), append(d.ended, ended)
		s.SetDeadline(time.Time{}) //nolint:errcheck // Accept tells
		go func() {
			defer close(ended)
			d.server.Serve(l) //nolint:errcheck // it serves until it is told to stop
		}()
	}
}

// leave gives the sockets up for others to serve.
func (d *listening) leave() {
	for _, l := range d.lends {
		l.Close()
	}
	for _, l := range d.lends {
		<-l.left
	}
}

// stop ends the server within ctx: running transactions may end. The sockets
// stay open.
func (d *listening) stop(ctx context.Context) error {
	if d.ended == nil {
		return nil
	}
	for _, l := range d.lends {
		l.Close()
	}
	err := d.server.Shutdown(ctx)
	for _, ended := range d.ended {
		<-ended
	}
	return err
}

// lent is a socket that a server may close without the socket being closed.
type lent struct {
	acceptor
	shut, gone sync.Once
	left       chan struct{} // closed when Accept has given up
}

func lend(l acceptor) *lent { return &lent{acceptor: l, left: make(chan struct{})} }

// Close makes Accept return net.ErrClosed. Only the first call does anything:
// the next server has the socket then.
func (l *lent) Close() error {
	l.shut.Do(func() { l.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // a closed socket has no waiter
	return nil
}

// Accept implements net.Listener.
func (l *lent) Accept() (net.Conn, error) {
	c, err := l.acceptor.Accept()
	if err == nil {
		return c, nil
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		err = net.ErrClosed
	}
	if errors.Is(err, net.ErrClosed) {
		l.gone.Do(func() { close(l.left) })
	}
	return nil, err
}
