// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// syncCalls are the system calls that make something durable.
const syncCalls = "fsync,fdatasync,syncfs,sync,msync"

// straceMissing says why system calls cannot be counted here; nil = they can.
func straceMissing() error {
	if _, err := exec.LookPath("strace"); err != nil {
		return errors.New("strace is not installed")
	}
	return nil
}

// trace counts the system calls that the server makes for the messages. It slows
// the server down, so nothing else is measured meanwhile.
func (g *rig) trace(ctx context.Context, s *sample) error {
	warm := g.c.warmUp()
	if _, _, err := g.through(ctx, 0, warm); err != nil {
		return fmt.Errorf("warm-up: %w", err)
	}
	g.pause(ctx)
	calls := filepath.Join(g.dir, "calls")
	t, err := attach(ctx, calls, g.dir, g.server.pids()...)
	if err != nil {
		return err
	}
	defer t.stop()
	if err := g.hop.reset(); err != nil {
		return err
	}
	if _, _, err := g.through(ctx, warm, g.c.messages); err != nil {
		return err
	}
	g.pause(ctx)
	t.stop()
	text, err := os.ReadFile(calls)
	s.values[syncs] = float64(countCalls(text)) / float64(g.c.messages)
	return err
}

// attach starts strace on the processes and what descends from them, and returns
// when it watches all of those.
func attach(ctx context.Context, out, dir string, roots ...int) (*process, error) {
	argv := []string{"strace", "-f", "-qq", "-e", "trace=" + syncCalls, "-e", "signal=none", "-o", out}
	found := tree(roots...)
	for _, s := range found {
		argv = append(argv, "-p", strconv.Itoa(s.pid))
	}
	t, err := startServer("strace", filepath.Join(dir, "strace.log"), nil, argv...)
	if err != nil {
		return nil, err
	}
	if err := t.await(ctx, "cannot watch the server; leave the case out with -cases", func() bool { return watched(found) }); err != nil {
		t.stop()
		return nil, err
	}
	return t, nil
}

// watched reports whether every process that still lives has a tracer.
func watched(all []stat) bool {
	for _, s := range all {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(s.pid) + "/status")
		if err == nil && bytes.Contains(text, []byte("\nTracerPid:\t0\n")) {
			return false
		}
	}
	return true
}

// countCalls counts the lines of strace that begin a call: "PID fsync(3) = 0",
// "PID fsync(3 <unfinished ...>".
func countCalls(text []byte) (n int) {
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 2 {
			continue
		}
		name, _, ok := strings.Cut(f[1], "(")
		if ok && slices.Contains(strings.Split(syncCalls, ","), name) {
			n++
		}
	}
	return n
}
