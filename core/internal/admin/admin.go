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

// Alarm says what an operator should look at although mail is taken and
// delivered; empty when there is nothing.
type Alarm func() string

// NewServer returns a server of metrics and health. It does not listen yet.
func NewServer(m *Metrics, health Health, alarm Alarm, logger hclog.Logger) *httpd.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { serveHealth(w, health(), alarm()) })
	return httpd.New(&http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: logger.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	})
}

func serveHealth(w http.ResponseWriter, err error, alarm string) {
	w.Header().Set("Content-Type", "application/json")
	state := map[string]string{"status": "ok"}
	if alarm != "" {
		state["alarm"] = alarm
	}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		state["status"], state["reason"] = "failing", err.Error()
	}
	json.NewEncoder(w).Encode(state) //nolint:errcheck // the client is gone
}
