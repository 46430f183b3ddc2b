// SPDX-License-Identifier: Apache-2.0

// Package admin is the relay's window for operators and monitors: figures for
// Prometheus at /metrics and the state of health at /healthz.
package admin

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postroad-mail/postroad/core/internal/httpd"
)

// Health says what is wrong; nil means that mail is taken and delivered.
type Health func() error

// NewServer returns a server of metrics and health. It does not listen yet.
func NewServer(m *Metrics, health Health, logger hclog.Logger) *httpd.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { serveHealth(w, health()) })
	return httpd.New(&http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	})
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
