// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// postfixTools are Postfix's own test tools smtp-source and smtp-sink, which
// nobody can say were made to suit us. smtp-sink only counts, so damage and
// duplicates go unseen, and all bodies are the same compressible text.
type postfixTools struct{ source, sink string }

func newPostfixTools() (postfixTools, error) {
	source, err1 := postfixProgram("smtp-source")
	sink, err2 := postfixProgram("smtp-sink")
	return postfixTools{source, sink}, errors.Join(err1, err2)
}

func (postfixTools) describe() string {
	return "Postfix's smtp-source and smtp-sink (HELO, no pipelining; arrivals counted, not compared)"
}

func (t postfixTools) startSink(dir string) (nextHop, error) {
	addr, err := freeAddress()
	if err != nil {
		return nil, err
	}
	args := []string{t.sink, "-c", "-m", "2000"}
	if os.Geteuid() == 0 {
		args = append(args, "-u", "nobody")
	}
	p, err := startServer("smtp-sink", filepath.Join(dir, "sink.count"), nil, append(args, addr, "2048")...)
	if err != nil {
		return nil, err
	}
	s := &countingSink{process: p, addr: addr}
	if err := waitGreeting(context.Background(), p, addr); err != nil {
		p.stop()
		return nil, err
	}
	return s, nil
}

// load counts what smtp-source sent: it ends with an error at the first
// refusal. It does not tell how long each reply took.
func (t postfixTools) load(ctx context.Context, j job) (loaded, error) {
	args := []string{"-s", strconv.Itoa(j.Sessions), "-m", strconv.Itoa(j.Messages), "-l", strconv.Itoa(j.Size), "-C", "5",
		"-M", "client.example", "-f", sender, "-t", recipient}
	if j.Keep {
		args = append(args, "-d")
	}
	cmd := exec.CommandContext(ctx, t.source, append(args, j.Addr)...)
	r := loaded{Start: time.Now().UnixNano()}
	out, err := cmd.CombinedOutput()
	r.End = time.Now().UnixNano()
	if cmd.ProcessState == nil {
		return r, err
	}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if err != nil {
		r.Fault = fmt.Sprintf("smtp-source: %v: %s", err, strings.TrimSpace(string(out)))
		return r, nil
	}
	r.Accepted = j.Messages
	return r, nil
}

// countingSink reads the line that smtp-sink writes again and again:
// "sess=1 quit=0 mesg=5".
type countingSink struct {
	*process
	addr string
	base arrival // what was counted at the last reset
}

func (s *countingSink) address() string { return s.addr }

func (s *countingSink) reset() (err error) {
	s.base = arrival{}
	s.base, err = s.count()
	return err
}

// pollTime is how exactly the time of the last message is known.
const pollTime = 5 * time.Millisecond

func (s *countingSink) wait(n int, stall time.Duration) (arrival, error) {
	last, since := arrival{}, time.Now()
	for {
		a, err := s.count()
		if err != nil || a.Messages >= n || s.ended() {
			return a, err
		}
		if a.Messages > last.Messages {
			last, since = a, time.Now()
		}
		if time.Since(since) > stall {
			return last, nil
		}
		time.Sleep(pollTime)
	}
}

func (s *countingSink) count() (arrival, error) {
	f, err := os.Open(s.log)
	if err != nil {
		return arrival{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return arrival{}, err
	}
	tail := make([]byte, min(info.Size(), 200))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return arrival{}, err
	}
	a := parseCount(string(tail))
	return arrival{Messages: a.Messages - s.base.Messages, Connections: a.Connections - s.base.Connections,
		Last: time.Now().UnixNano()}, nil
}

// parseCount reads the last whole line of text; lines end in CR.
func parseCount(text string) (a arrival) {
	text = text[:strings.LastIndexByte(text, '\r')+1]
	lines := strings.Split(strings.TrimRight(text, "\r"), "\r")
	for _, field := range strings.Fields(lines[len(lines)-1]) {
		name, value, _ := strings.Cut(field, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "sess":
			a.Connections = n
		case "mesg":
			a.Messages = n
		}
	}
	return a
}
