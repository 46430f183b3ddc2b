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

// Health is what /healthz says. All are called at each request.
type Health struct {
	Fault func() error  // what is wrong; nil means that mail is taken and delivered
	Alarm func() string // what an operator should look at although it is; empty: nothing
	Queue func() string // that the queue is still being read after the start; empty: it was
}

// NewServer returns a server of metrics and health. It does not listen yet.
func NewServer(m *Metrics, health Health, logger hclog.Logger) *httpd.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { health.serve(w) })
	return httpd.New(&http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	})
}

func (h Health) serve(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	state := map[string]string{"status": "ok"}
	if alarm := h.Alarm(); alarm != "" {
		state["alarm"] = alarm
	}
	if queue := h.Queue(); queue != "" {
		state["queue"] = queue
	}
	if err := h.Fault(); err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		state["status"], state["reason"] = "failing", err.Error()
	}
	json.NewEncoder(w).Encode(state) //nolint:errcheck // the client is gone
}
