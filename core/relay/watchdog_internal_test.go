// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// watched is a relay whose watchdog runs and whose delivery does not, with one
// message.
func watched(t *testing.T) (*Relay, *FakeClock, *logged) {
	t.Helper()
	clock, log := NewFakeClock(time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)), &logged{}
	r, err := Open(context.Background(), Options{
		Config: []byte(`
server { watchdog = "10m" }
admin { address = "" }
listener "smtp" "in" { address = "" }
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`), ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: log, Clock: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.watchdog.end(); r.Close() })
	r.watchdog.start()
	if code := submitCode(r, "Subject: x\n\nx\n"); code != 250 {
		t.Fatal(code)
	}
	return r, clock, log
}

func minutes(c *FakeClock, n int) {
	for range n {
		c.Advance(time.Minute)
	}
}

const (
	alarmLine = "mail is due and nothing decides about it"
	clearLine = "all that is due is decided about again"
)

// Mail that is due and that nobody takes up is told of once, and so is its end.
func TestWatchdogFindsMailThatNobodyTakesUp(t *testing.T) {
	r, clock, log := watched(t)
	minutes(clock, 9)
	if s := r.watchdog.alarm(); s != "" || log.count(alarmLine) != 0 {
		t.Errorf("after nine minutes: %s", s)
	}
	minutes(clock, 5)
	if s := r.watchdog.alarm(); !strings.Contains(s, "nobody has taken it up") || log.count(alarmLine) != 1 {
		t.Errorf("after fourteen minutes: %q, %d lines", s, log.count(alarmLine))
	}
	if !strings.Contains(figures(t, r), "postroad_queue_stuck_messages 1\n") {
		t.Error("it is not in the figures")
	}
	r.engine.Load().start(context.Background())
	if err := r.Idle(context.Background()); err != nil {
		t.Fatal(err)
	}
	minutes(clock, 1)
	if s := r.watchdog.alarm(); s != "" || log.count(clearLine) != 1 || !strings.Contains(figures(t, r), "postroad_queue_stuck_messages 0\n") {
		t.Errorf("after it has gone: %q", s)
	}
}

// A lease that delivery knows nothing of is found, whoever lost it.
func TestWatchdogFindsAForgottenLease(t *testing.T) {
	r, clock, log := watched(t)
	e := r.engine.Load()
	if l := e.queue.Due(clock.Now(), 10); len(l) != 1 {
		t.Fatalf("%v", l)
	}
	e.start(context.Background())
	minutes(clock, 12)
	if s := r.watchdog.alarm(); !strings.Contains(s, "nobody knows of it") || log.count(alarmLine) != 1 {
		t.Errorf("%q, %d lines", s, log.count(alarmLine))
	}
}

// A clock that is set, or a machine that slept, is no alarm.
func TestWatchdogForgivesAClockThatJumps(t *testing.T) {
	r, clock, _ := watched(t)
	r.watchdog.stop() // nobody looks while the machine sleeps
	clock.Advance(24 * time.Hour)
	r.watchdog.look()
	minutes(clock, 8)
	if s := r.watchdog.alarm(); s != "" {
		t.Errorf("after a jump: %q", s)
	}
	minutes(clock, 3)
	if s := r.watchdog.alarm(); s == "" {
		t.Error("the jump is forgiven for ever")
	}
}
