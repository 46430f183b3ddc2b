// SPDX-License-Identifier: Apache-2.0

// Package admin is the relay's window for operators and monitors: figures for
// Prometheus at /metrics and the state of health at /healthz.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server serves the admin listener.
type Server struct {
	http *http.Server
	done chan error
}

// Health says what is wrong; nil means that mail is taken and delivered.
type Health func() error

// NewServer returns a server of metrics and health. It does not listen yet.
func NewServer(m *Metrics, health Health, logger hclog.Logger) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { serveHealth(w, health()) })
	return &Server{
		http: &http.Server{
			Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			ErrorLog: logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
		},
		done: make(chan error, 1),
	}
}

func serveHealth(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	state := map[string]string{"status": "ok"}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		state = map[string]string{"status": "failing", "reason": err.Error()}
	}
	json.NewEncoder(w).Encode(state) //nolint:errcheck // the client is gone
}

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

// Shutdown ends the server that Serve started and waits for it.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
	}
	return errors.Join(err, <-s.done)
}
