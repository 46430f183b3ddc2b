// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestFiguresAndHealth(t *testing.T) {
	m := NewMetrics()
	m.Accepted("in", time.Millisecond)
	m.Refused("in", "relay_denied")
	m.ConnectionOpened("in")
	m.ConnectionOpened("in")
	m.ConnectionClosed("in")
	m.StageDone("filter", mail.PhaseRcpt, mail.Reject, time.Microsecond, "")
	m.StageDone("filter", mail.PhaseMessage, mail.Continue, time.Microsecond, "fuel")
	m.Attempt("out")
	m.Outcome("out", "delivered")
	m.Fault("smtpin")
	m.WatchQueue(func() []QueueState { return []QueueState{{"deferred", 2, 3, 400}} }, func() (int, bool) { return 2, true }, func() uint64 { return 7 })

	var sick, late, reading atomic.Bool
	said := func(on *atomic.Bool, text string) func() string {
		return func() string {
			if on.Load() {
				return text
			}
			return ""
		}
	}
	s := NewServer(m, Health{Fault: func() error {
		if sick.Load() {
			return errors.New("the disk has failed")
		}
		return nil
	}, Alarm: said(&late, "message X is due"), Queue: said(&reading, "2 messages so far")}, hclog.NewNullLogger())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(l)
	url := "http://" + l.Addr().String()
	code, text := get(t, url+"/metrics")
	for _, want := range []string{
		`postroad_messages_accepted_total{listener="in"} 1`,
		`postroad_accept_seconds_count{listener="in"} 1`,
		`postroad_refused_total{listener="in",reason="relay_denied"} 1`,
		`postroad_connections_total{listener="in"} 2`,
		`postroad_connections_open{listener="in"} 1`,
		`postroad_stage_verdicts_total{phase="rcpt",stage="filter",verdict="reject"} 1`,
		`postroad_plugin_failures_total{cause="fuel",stage="filter"} 1`,
		`postroad_delivery_attempts_total{route="out"} 1`,
		`postroad_deliveries_total{route="out",status="delivered"} 1`,
		`postroad_faults_total{room="smtpin"} 1`,
		`postroad_queue_messages{state="deferred"} 2`,
		`postroad_queue_recipients{state="deferred"} 3`,
		`postroad_queue_bytes{state="deferred"} 400`,
		`postroad_wal_syncs_total 7`,
		`postroad_queue_reading 1`,
	} {
		if code != http.StatusOK || !strings.Contains(text, want+"\n") {
			t.Errorf("%d, no %s", code, want)
		}
	}
	if code, text := get(t, url+"/healthz"); code != http.StatusOK || !strings.Contains(text, `"ok"`) {
		t.Errorf("healthy: %d %s", code, text)
	}
	reading.Store(true)
	if code, text := get(t, url+"/healthz"); code != http.StatusOK || !strings.Contains(text, `"queue":"2 messages so far"`) {
		t.Errorf("while the queue is read: %d %s", code, text)
	}
	late.Store(true)
	if code, text := get(t, url+"/healthz"); code != http.StatusOK || !strings.Contains(text, `"alarm":"message X is due"`) {
		t.Errorf("with an alarm: %d %s", code, text)
	}
	sick.Store(true)
	if code, text := get(t, url+"/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "the disk has failed") {
		t.Errorf("failing: %d %s", code, text)
	}
	if code, _ := get(t, url+"/nothing"); code != http.StatusNotFound {
		t.Errorf("an unknown page: %d", code)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
}
