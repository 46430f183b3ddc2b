// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// script is a connection whose peer has sent everything already, in segments,
// and then closed. It makes segment boundaries exact, which TCP does not.
type script struct {
	segments [][]byte
	mu       sync.Mutex
	out      bytes.Buffer
}

func (s *script) Read(p []byte) (int, error) {
	for len(s.segments) > 0 && len(s.segments[0]) == 0 {
		s.segments = s.segments[1:]
	}
	if len(s.segments) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.segments[0])
	s.segments[0] = s.segments[0][n:]
	return n, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (s *script) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// single is a listener with one connection.
type single struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newSingle(c net.Conn) *single {
	l := &single{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conns <- c
	return l
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	default:
	}
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *single) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *single) Addr() net.Addr { return &net.TCPAddr{} }

// run plays segments against a server and returns all that it said.
func run(t testing.TB, o Options, segments ...string) string {
	t.Helper()
	c := &script{}
	for _, s := range segments {
		c.segments = append(c.segments, []byte(s))
	}
	o.Hostname = "mx.example.org"
	s := NewServer(o)
	p := newSession(s, c)
	if bad := s.enter(p); bad != nil {
		t.Fatal(bad)
	}
	l := newSingle(p)
	done := make(chan error, 1)
	go func() { done <- s.smtp.Serve(l) }()
	s.running.Wait()
	_ = l.Close()
	<-done
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c.out.String()
}
