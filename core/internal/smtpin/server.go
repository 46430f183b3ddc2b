// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// ErrServerClosed is returned by Serve after Shutdown has begun.
var ErrServerClosed = errors.New("smtpin: server closed")

// abortGrace is how long Shutdown waits for sessions whose connection it closed
// under them: as long as a Backend takes to notice that its context has ended.
const abortGrace = 5 * time.Second

// Server serves the sessions of one listener.
type Server struct {
	opts   Options
	smtp   *smtp.Server
	banner string
	plain  *offer    // on a plain connection
	secure *offer    // above TLS
	pool   sync.Pool // of *[]byte, read buffers for content

	ctx      context.Context // of all Backend calls; ends with abort
	cancel   context.CancelFunc
	draining atomic.Bool
	down     chan struct{}  // closed with draining
	running  sync.WaitGroup // sessions

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	perClient map[netip.Addr]int
}

// NewServer returns a server that serves nothing yet. It panics without a
// Backend.
func NewServer(o Options) *Server {
	if o.Backend == nil {
		panic("smtpin: Options.Backend is nil")
	}
	o = o.withDefaults()
	s := &Server{
		opts:      o,
		banner:    "220 " + o.Hostname + " " + o.Kind.banner() + " Postroad\r\n",
		plain:     offered(&o, false),
		secure:    offered(&o, true),
		listeners: make(map[net.Listener]struct{}),
		sessions:  make(map[*session]struct{}),
		down:      make(chan struct{}),
		perClient: make(map[netip.Addr]int),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pool.New = func() any { b := make([]byte, bigBuffer); return &b }
	s.smtp = goSMTP(o)
	return s
}

// goSMTP returns the library's server with all of its own limits and
// extensions off: the session enforces them before a command gets there.
func goSMTP(o Options) *smtp.Server {
	g := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return c.Conn().(*session), nil
	}))
	g.Domain = o.Hostname
	g.MaxLineLength = 0
	g.ErrorLog = errorLog{o.Logger}
	return g
}

// Serve accepts connections on l until Shutdown, and owns l. It returns
// ErrServerClosed after Shutdown, else the listener's error. It does not wait
// for the sessions; Shutdown does.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		_ = l.Close()
		return ErrServerClosed
	}
	err := s.smtp.Serve(gate{l, s})
	if s.draining.Load() {
		return ErrServerClosed
	}
	return err
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

// Shutdown stops accepting, sends 421 to the clients that are outside a
// transaction, and waits for the transactions that are under way. When ctx ends
// first, it ends the context of the Backend calls, closes all connections and
// returns ctx's error. A second call waits like the first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	done := make(chan struct{})
	go func() { // ends with the last session
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		s.cancel()
		return nil
	case <-ctx.Done():
	}
	s.abort()
	select {
	case <-done:
	case <-time.After(abortGrace):
	}
	return ctx.Err()
}

// drain closes the listeners and wakes the sessions that wait for a command.
func (s *Server) drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining.Swap(true) {
		close(s.down)
	}
	for l := range s.listeners {
		_ = l.Close() // it may be closed already
	}
	for p := range s.sessions {
		p.wake()
	}
}

// Nudge makes every session follow its Backend that waits for a command, and the
// others as soon as they are outside a transaction. It does not wait for them.
func (s *Server) Nudge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.sessions {
		p.nudge()
	}
}

func (s *Server) abort() {
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.sessions {
		p.abort()
	}
}

// gate is a listener that admits connections as sessions.
type gate struct {
	net.Listener
	server *Server
}

// Accept returns the next session that is within the limits.
func (g gate) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p := newSession(g.server, c)
		bad := g.server.enter(p)
		if bad == nil {
			return p, nil
		}
		turnAway(p, bad)
	}
}

// enter registers a session, or says why it may not begin. Who its client is may
// not be known yet: admit asks about that.
func (s *Server) enter(p *session) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining.Load():
		return goingDown()
	case len(s.sessions) >= s.opts.Limits.Connections:
		return refuse(ReasonConnections, 421, 7, 0, "too many connections, try again later")
	}
	s.sessions[p] = struct{}{}
	s.running.Add(1)
	s.opts.Observer.Connected()
	if s.opts.Logger.IsDebug() {
		p.logger().Debug("connected")
	}
	return nil
}

// admit counts a session in for its client, once that is known, or says why it
// may not go on. It runs on the session's goroutine, before the Backend is asked.
func (s *Server) admit(p *session) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	ip := mail.ClientNetwork(p.countsAs())
	if !ip.IsValid() {
		return nil
	}
	if s.perClient[ip] >= s.opts.Limits.ConnectionsPerClient {
		return refuse(ReasonConnections, 421, 7, 0, "too many connections from you, try again later")
	}
	s.perClient[ip]++
	p.admitted = ip
	return nil
}

// leave is called once by each session that entered, as its last act.
func (s *Server) leave(p *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, p)
	s.uncount(p)
	s.opts.Observer.Disconnected()
	if s.opts.Logger.IsDebug() {
		p.logger().Debug("disconnected")
	}
	s.running.Done()
}

// discharge takes a session out of the count of its client, who is to be another.
func (s *Server) discharge(p *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uncount(p)
}

// uncount takes a session out of the count of its client. The caller holds mu.
func (s *Server) uncount(p *session) {
	if s.perClient[p.admitted]--; s.perClient[p.admitted] <= 0 {
		delete(s.perClient, p.admitted) // also of a session that was not admitted
	}
	p.admitted = netip.Addr{}
}

// turnAway sends bad instead of the banner. It runs in the accept loop and must
// not wait for the client: the reply fits into an empty socket buffer.
func turnAway(p *session, bad *refusal) {
	p.note(bad)
	_ = p.raw.SetDeadline(time.Now().Add(time.Second))
	_, _ = io.WriteString(p.raw, wireText(bad.reply))
	_ = p.raw.Close()
}

// errorLog is what go-smtp logs to: accept errors and panics.
type errorLog struct{ logger hclog.Logger }

func (l errorLog) Printf(format string, v ...any) {
	l.logger.Error("go-smtp", "error", fmt.Sprintf(format, v...))
}
func (l errorLog) Println(v ...any) { l.logger.Error("go-smtp", "error", fmt.Sprintln(v...)) }
