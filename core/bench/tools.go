// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
)

// tools are the load generator and the next hop.
type tools interface {
	// startSink starts a next hop that logs into dir.
	startSink(dir string) (nextHop, error)
	// load sends a job's messages and returns when the last session has ended.
	load(ctx context.Context, j job) (loaded, error)
	// describe says in a sentence what they are.
	describe() string
}

// nextHop is where messages are to arrive.
type nextHop interface {
	address() string
	pid() int
	reset() error
	// wait returns when n messages have arrived since the last reset, or none
	// has for stall.
	wait(n int, stall time.Duration) (arrival, error)
	stop()
}

// ownTools are this binary's load generator and sink.
type ownTools struct{ self string }

func (ownTools) describe() string {
	return "core/bench's own, in Go (EHLO, no pipelining; every message numbered, its body checked on arrival)"
}

func (t ownTools) startSink(dir string) (nextHop, error) {
	p, addr, err := startHelper(t.self, filepath.Join(dir, "sink.log"), "sink")
	if err != nil {
		return nil, err
	}
	return &ownSink{p, addr}, nil
}

func (t ownTools) load(ctx context.Context, j job) (loaded, error) {
	in, err := json.Marshal(j)
	if err != nil {
		return loaded{}, err
	}
	cmd := exec.CommandContext(ctx, t.self, "load")
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &errs
	out, err := cmd.Output()
	if err != nil {
		return loaded{}, fmt.Errorf("load generator: %w: %s", err, errs.Bytes())
	}
	var r loaded
	err = json.Unmarshal(out, &r)
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, err
}

// ownSink talks to a sink process over its standard input and output.
type ownSink struct {
	*process
	addr string
}

func (s *ownSink) address() string { return s.addr }

func (s *ownSink) reset() error {
	_, err := s.ask("reset")
	return err
}

func (s *ownSink) wait(n int, stall time.Duration) (arrival, error) {
	return s.ask(fmt.Sprintf("wait %d %d", n, stall))
}

func (s *ownSink) ask(line string) (a arrival, err error) {
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		return a, s.fault("has ended")
	}
	answer, err := s.out.ReadBytes('\n')
	if err != nil {
		return a, s.fault("has ended")
	}
	return a, json.Unmarshal(answer, &a)
}
