// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

type fixedClock struct{ at time.Time }

func (c fixedClock) Now() time.Time { return c.at }

func TestWASI(t *testing.T) {
	logger, sink := newLog(hclog.Info)
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	s := newTestStage(t, load(t, newHost(t, Options{Logger: logger, Clock: fixedClock{at}}), "guests/wasi.wasm"), StageOptions{Logger: logger})
	run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
	names := []string{"args_sizes_get", "environ_sizes_get", "clock_time_get", "random_get", "fd_write(1)", "fd_write(3)",
		"fd_fdstat_get", "fd_prestat_get", "poll_oneoff", "path_open", "sock_accept", "sched_yield"}
	for n, want := range []uint32{0, 0, 0, 0, 0, wasiBadF, 0, wasiBadF, 0, wasiNoSys, wasiNoSys, 0} {
		if got := binary.LittleEndian.Uint32(peek(t, s, 1024+4*n, 4)); got != want {
			t.Errorf("%s gave %d, want %d", names[n], got, want)
		}
	}
	if ns := binary.LittleEndian.Uint64(peek(t, s, 216, 8)); int64(ns) != at.UnixNano() {
		t.Errorf("clock shows %d", ns)
	}
	if r := peek(t, s, 224, 16); string(r) == strings.Repeat("\x00", 16) {
		t.Error("random octets are zero")
	}
	if event := peek(t, s, 128, 8); string(event) != "mark-8mk" {
		t.Errorf("event has the mark %q", event)
	}
	if !strings.Contains(sink.String(), `text="panic: at the disco"`) {
		t.Errorf("standard output is not in the log: %q", sink.String())
	}
}

func TestExitAndItsLastWords(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/wasi.wasm"), StageOptions{})
	wantFault(t, s, newHook(mail.PhaseMail, 0, testEnvelope()), CauseExit, "proc_exit(3)")
	wantFault(t, s, newHook(mail.PhaseMail, 0, testEnvelope()), CauseExit, "panic: at the disco")
}

func TestSleepEndsAtTheDeadline(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/wasi.wasm"), StageOptions{Limits: Limits{Deadline: 10 * time.Millisecond}})
	wantFault(t, s, newHook(mail.PhaseRcpt, 0, testEnvelope()), CauseDeadline, "poll_oneoff")
}

func TestSleepUntilATimeOfDayReturnedAtOnce(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	i := &instance{stage: &Stage{clock: fixedClock{now}}, born: time.Now()}
	for _, c := range []struct {
		name        string
		clock       uint32
		timeout     uint64
		flags       byte
		least, most time.Duration
	}{
		{"time of day to come", clockRealtime, uint64(now.Add(time.Minute).UnixNano()), flagAbsolute, time.Minute, time.Minute},
		{"time of day that has passed", clockRealtime, uint64(now.Add(-time.Minute).UnixNano()), flagAbsolute, 0, 0},
		{"end of time", clockRealtime, 1<<64 - 1, flagAbsolute, maxTTL, maxTTL},
		{"monotonic", clockMonotonic, uint64(time.Hour), flagAbsolute, 59 * time.Minute, time.Hour},
		{"monotonic that has passed", clockMonotonic, 0, flagAbsolute, 0, 0},
		{"for a while", clockRealtime, uint64(time.Hour), 0, time.Hour, time.Hour},
		{"for ever", clockRealtime, 1<<64 - 1, 0, maxTTL, maxTTL},
	} {
		sub := make([]byte, subscriptionSize)
		binary.LittleEndian.PutUint32(sub[16:], c.clock)
		binary.LittleEndian.PutUint64(sub[24:], c.timeout)
		sub[40] = c.flags
		if d := i.sleepOf(sub); d < c.least || d > c.most {
			t.Errorf("%s: sleeps for %v", c.name, d)
		}
	}
}

// The spec lists what works.
func TestSpecNamesTheFunctionsOfWASI(t *testing.T) {
	spec, err := os.ReadFile("../../../sdk/abi/spec.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range wasiFunctions() {
		if listed := strings.Contains(string(spec), "`"+name+"`"); listed != (f.run != nil) {
			t.Errorf("%s works: %v, and is listed: %v", name, f.run != nil, listed)
		}
	}
}
