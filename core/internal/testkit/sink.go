// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// SinkOptions say what a Sink is like. The zero value is a good server without
// STARTTLS.
type SinkOptions struct {
	Extensions []string    // lines of the EHLO reply behind the first; nil: DefaultExtensions. STARTTLS is added when TLS is set
	NoEHLO     bool        // answer 502 to EHLO, so that the client has to say HELO
	TLS        *tls.Config // offer STARTTLS
	BadTLS     bool        // offer STARTTLS, and answer the handshake with garbage
	Listen     string      // address to listen on; empty: 127.0.0.1 and a free port
	Forget     bool        // count messages and do not keep them (benchmarks)
	Script     Script      // nil: be a good server
}

// DefaultExtensions are what a Sink offers when it is not told otherwise.
func DefaultExtensions() []string {
	return []string{"PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"}
}

// Received is one message that a Sink has answered 250 to.
type Received struct {
	Conn       int
	Client     string   // address that the connection came from, without the port
	From       string   // reverse-path with angle brackets, as it came
	FromParams []string // parameters of MAIL
	To         []string // accepted forward-paths with angle brackets
	Content    []byte   // exact octets between DATA and the dot, dots unstuffed
	Helo       string
	TLS        bool
	Chunked    bool // Content came by BDAT
}

// Sink is an SMTP server on a loopback port (RFC 5321), which records what it
// gets and follows a script. It is strict about line ends: only CRLF ends a
// command and only CRLF.CRLF the content. BDAT it takes where its Extensions have
// CHUNKING.
type Sink struct {
	t  T
	o  SinkOptions
	l  net.Listener
	wg sync.WaitGroup

	stop chan struct{}

	mu       sync.Mutex
	conns    map[net.Conn]bool
	commands [][]string // per connection
	messages []Received
	count    int
	bare     int           // octets CR or LF that were not part of CRLF
	changed  chan struct{} // closed and renewed at each change
}

// NewSink starts a Sink, which ends with the test.
func NewSink(t T, o SinkOptions) *Sink {
	t.Helper()
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatalf("testkit: sink: %v", err)
	}
	s := &Sink{t: t, o: o, l: l, stop: make(chan struct{}), conns: map[net.Conn]bool{}, changed: make(chan struct{})}
	s.wg.Add(1)
	go s.accept()
	t.Cleanup(s.Close)
	return s
}

// Addr returns the address that the sink listens on.
func (s *Sink) Addr() netip.AddrPort { return s.l.Addr().(*net.TCPAddr).AddrPort() }

// Close stops the sink, drops its connections and waits for their goroutines.
// A second Close does nothing.
func (s *Sink) Close() {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.l.Close()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// SetScript changes what the sink does from the next event on.
func (s *Sink) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.Script = script
}

// Messages returns what the sink has answered 250 to, in that order.
func (s *Sink) Messages() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count returns the number of messages answered with 250.
func (s *Sink) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Wait waits until n messages are there and returns all.
func (s *Sink) Wait(ctx context.Context, n int) ([]Received, error) {
	err := s.await(ctx, func() bool { return s.count >= n })
	return s.Messages(), err
}

// WaitCommand waits until some connection has sent a command that is line.
func (s *Sink) WaitCommand(ctx context.Context, line string) error {
	return s.await(ctx, func() bool {
		return slices.ContainsFunc(s.commands, func(c []string) bool { return slices.Contains(c, line) })
	})
}

// Commands returns the command lines of each connection, in order.
func (s *Sink) Commands() [][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([][]string, len(s.commands))
	for i := range s.commands {
		all[i] = slices.Clone(s.commands[i])
	}
	return all
}

// Connections returns the number of connections accepted so far.
func (s *Sink) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.commands)
}

// Bare returns how many CR and LF octets came that were not part of a CRLF.
func (s *Sink) Bare() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bare
}

func (s *Sink) await(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Sink) accept() {
	defer s.wg.Done()
	for {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		n, ok := s.admit(c)
		if !ok {
			c.Close()
			return
		}
		go func() {
			defer s.wg.Done()
			newSinkConn(s, c, n).serve()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		}()
	}
}

// admit notes a connection and gives it its number; false when the sink is
// closed.
func (s *Sink) admit(c net.Conn) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.stop:
		return 0, false
	default:
	}
	s.conns[c] = true
	s.commands = append(s.commands, nil)
	s.wg.Add(1)
	return len(s.commands), true
}

// change runs f under the lock and wakes those who wait.
func (s *Sink) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Sink) script() Script {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.Script
}
