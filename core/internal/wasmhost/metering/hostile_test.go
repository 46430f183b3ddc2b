// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

const hostileFuel = 20_000_000

// TestHostile runs the hostile guests that need no WASI. Each says in its comment
// when it misbehaves and what stops it.
func TestHostile(t *testing.T) {
	files, err := filepath.Glob("../testdata/hostile/*.wat")
	if err != nil || len(files) == 0 {
		t.Fatalf("no hostile guests: %v", err)
	}
	for _, file := range files {
		about := read(t, file)
		if bytes.Contains(about, []byte("wasi_snapshot_preview1")) {
			continue // needs the whole host, whose tests run all of them
		}
		when, cause := field(t, about, "when"), field(t, about, "cause")
		wasm := rewrite(t, read(t, file[:len(file)-1]+"sm"))
		t.Run(filepath.Base(file), func(t *testing.T) { runHostile(t, wasm, when, cause) })
	}
}

func field(t *testing.T, about []byte, name string) string {
	found := regexp.MustCompile(`;; ` + name + `: (\w+)`).FindSubmatch(about)
	if found == nil {
		t.Fatalf("no line ;; %s: in %s", name, about)
	}
	return string(found[1])
}

func runHostile(t *testing.T, wasm []byte, when, cause string) {
	g, err := start(t, engines()["compiler"], wasm)
	if when == "start" {
		if err == nil {
			t.Error("the start section came to an end")
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	out, s, err := g.misbehave(when, cause)
	switch cause {
	case "fuel":
		mustCause(t, s, err, metering.CauseFuel)
		if s.Left() < -100_000 {
			t.Errorf("overdrawn by %d units", -s.Left())
		}
	case "depth":
		mustCause(t, s, err, metering.CauseDepth)
	case "deadline":
		mustCause(t, s, err, metering.CauseKill)
		if s.Total == 0 {
			t.Error("ran to the end of its fuel before it could be killed")
		}
	case "trap", "memory":
		mustCause(t, s, err, metering.CauseGuest)
	case "error", "verdict":
		if err != nil || int32(out[0]) >= 0 && int32(out[0]) < 7 {
			t.Errorf("returned %v: %v", out, err)
		}
	default:
		t.Errorf("unknown cause %s", cause)
	}
}

// misbehave calls pr_init and, if that is not where it happens, pr_on.
func (g *guest) misbehave(when, cause string) ([]uint64, metering.State, error) {
	fresh := metering.NewState(hostileFuel, 4096)
	out, s, err := g.call(fresh, "pr_init")
	if when == "init" || err != nil {
		return out, s, err
	}
	if cause == "deadline" {
		return g.killed()
	}
	return g.call(fresh, "pr_on", 9, 0)
}

// killed calls pr_on with fuel for many seconds, and kills it once the garbage collector
// has run beside it, which it cannot if the guest does not give way.
func (g *guest) killed() ([]uint64, metering.State, error) {
	setState(g, metering.NewState(1<<33, 4096))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			runtime.GC()
		}
		mutable(g, metering.NameKill).Set(1)
	}()
	out, err := g.ExportedFunction("pr_on").Call(g.ctx, 9, 0)
	<-done
	return out, readState(g), err
}

func mustCause(t *testing.T, s metering.State, err error, want metering.Cause) {
	t.Helper()
	if err == nil || s.Cause() != want {
		t.Errorf("cause %v, want %v: %+v: %v", s.Cause(), want, s, err)
	}
}
