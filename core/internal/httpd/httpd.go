// SPDX-License-Identifier: Apache-2.0

// Package httpd runs an HTTP server on an open socket and ends it in order. The
// admin listener and the control socket are such servers.
package httpd

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// Server is an HTTP server. It does not listen before Serve.
type Server struct {
	http *http.Server
	done chan error
}

// New returns a Server of s, which it then owns.
func New(s *http.Server) *Server { return &Server{http: s, done: make(chan error, 1)} }

// Serve answers on l until Shutdown; it returns at once.
func (s *Server) Serve(l net.Listener) {
	go func() {
		err := s.http.Serve(l)
		if errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
		s.done <- err
	}()
}

// Shutdown ends the server that Serve started and waits for it. A unix socket
// disappears.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return errors.Join(err, <-s.done)
}
