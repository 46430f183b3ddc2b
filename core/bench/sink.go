// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// arrival is what the next hop has seen since the last reset. Damaged counts
// messages without a mark or whose body differs from what was sent.
type arrival struct {
	Messages    int // different ones, undamaged
	Duplicates  int
	Damaged     int
	Connections int
	Last        int64 // Unix nanoseconds of the last message
}

// sink is the next hop: an SMTP server that checks and counts and keeps nothing.
type sink struct {
	mu      sync.Mutex
	seen    map[int]bool
	arrival arrival
	changed chan struct{} // closed and renewed at each message while someone waits
}

func newSink() *sink { return &sink{seen: map[int]bool{}, changed: make(chan struct{})} }

// sinkProcess writes its address to out and then answers lines from in until in
// ends: "reset" with {}, "wait N NANOSECONDS" with an arrival in JSON, once N
// messages are there or none has come for that long.
func sinkProcess(ctx context.Context, _ []string, in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := newSink()
	served := make(chan error, 1)
	go func() { served <- s.serve(l) }()
	defer func() { l.Close(); <-served }() //nolint:errcheck // it ended because the listener was closed
	fmt.Fprintln(out, l.Addr())
	for lines := bufio.NewScanner(in); lines.Scan() && ctx.Err() == nil; {
		if err := json.NewEncoder(out).Encode(s.command(ctx, lines.Text())); err != nil {
			return err
		}
	}
	return nil
}

func (s *sink) command(ctx context.Context, line string) arrival {
	var n int
	var stall time.Duration
	if _, err := fmt.Sscanf(line, "wait %d %d", &n, &stall); err == nil {
		return s.wait(ctx, n, stall)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.seen)
	s.arrival = arrival{}
	return s.arrival
}

// wait returns when n messages are there, or none has come for stall.
func (s *sink) wait(ctx context.Context, n int, stall time.Duration) arrival {
	for {
		s.mu.Lock()
		now, changed := s.arrival, s.changed
		s.mu.Unlock()
		if now.Messages >= n || ctx.Err() != nil {
			return now
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-time.After(stall):
			return now
		}
	}
}

// serve answers connections until the listener is closed; it does not wait for
// those that are open, for the process ends with it.
func (s *sink) serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go newSession(s, c).run()
	}
}

func (s *sink) connected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrival.Connections++
}

// add counts a message.
func (s *sink) add(n int, intact bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !intact:
		s.arrival.Damaged++
	case s.seen[n]:
		s.arrival.Duplicates++
	default:
		s.seen[n] = true
		s.arrival.Messages++
		s.arrival.Last = time.Now().UnixNano()
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
