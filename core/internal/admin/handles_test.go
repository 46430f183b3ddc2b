// SPDX-License-Identifier: Apache-2.0

package admin

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/postroad-mail/postroad/core/mail"
)

// everyMessage counts what a message through one stage counts.
func everyMessage(m *Metrics, name string) {
	m.StageDone(name, mail.PhaseMessage, mail.Continue, time.Millisecond, "")
	m.PluginCall(name, 1000, 1<<16)
	m.Accepted(name, time.Millisecond)
	m.Attempt(name)
	m.Outcome(name, "delivered")
}

func TestFiguresOfAMessageAllocateNothing(t *testing.T) {
	m := NewMetrics()
	if n := testing.AllocsPerRun(100, func() { everyMessage(m, "a") }); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}

// TestHandlesHammer counts with names that appear while others count.
func TestHandlesHammer(t *testing.T) {
	m := NewMetrics()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 400 {
				everyMessage(m, fmt.Sprint("name", i%20))
			}
		})
	}
	wg.Wait()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for i := range 20 {
		for _, want := range []string{
			`postroad_messages_accepted_total{listener="name%d"} 160`,
			`postroad_accept_seconds_count{listener="name%d"} 160`,
			`postroad_stage_verdicts_total{phase="message",stage="name%d",verdict="continue"} 160`,
			`postroad_stage_seconds_count{phase="message",stage="name%d"} 160`,
			`postroad_plugin_fuel_total{stage="name%d"} 160000`,
			`postroad_deliveries_total{route="name%d",status="delivered"} 160`,
			`postroad_delivery_attempts_total{route="name%d"} 160`,
		} {
			if want := fmt.Sprintf(want, i); !strings.Contains(w.Body.String(), want+"\n") {
				t.Errorf("no line %s", want)
			}
		}
	}
}
