// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/relay"
)

const message = "From: me@home.test\r\nTo: you@far.test\r\nSubject: hi\r\n\r\nIt works.\r\n"

// start runs the program's relay in memory, on a port of its own, with a clock
// that the test moves and a next hop that is never there.
func start(t *testing.T) (*relay.Relay, *relay.FakeClock, string) {
	t.Helper()
	dir := t.TempDir()
	clock := relay.NewFakeClock(time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC))
	o := options()
	o.InMemory, o.DataDir, o.Clock = true, dir, clock
	o.Env = func(name string) (string, bool) { return "127.0.0.1:0", name == "POSTROAD_LISTEN" }
	o.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r, clock, r.DataDir()
}

func idle(t *testing.T, r *relay.Relay) {
	t.Helper()
	if err := r.Idle(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestAMessageIsRetriedThenBounced(t *testing.T) {
	r, clock, dir := start(t)
	if err := smtp.SendMail(r.Addr("inbound").String(), nil, "me@home.test", []string{"you@far.test"}, []byte(message)); err != nil {
		t.Fatal(err)
	}
	idle(t, r)
	queued, err := r.Queue(context.Background(), 0)
	if err != nil || len(queued) != 1 || queued[0].Recipients[0].Attempts != 1 {
		t.Fatalf("after the first attempt the queue is %+v, %v", queued, err)
	}

	clock.Advance(time.Hour) // the retry
	idle(t, r)
	queued, err = r.Queue(context.Background(), 0)
	if err != nil || len(queued) != 1 || queued[0].Recipients[0].Attempts != 2 {
		t.Fatalf("after the retry the queue is %+v, %v", queued, err)
	}

	clock.Advance(23 * time.Hour) // a day in all: the message has expired
	idle(t, r)
	if queued, err = r.Queue(context.Background(), 0); err != nil || len(queued) != 0 {
		t.Fatalf("after a day the queue is %+v, %v", queued, err)
	}
	bounce := mailbox(t, dir, "me")
	for _, want := range []string{"Return-Path: <>", "report-type=delivery-status", "Final-Recipient: rfc822;you@far.test", "Action: failed", "X-Greeting: hello from Go", "Subject: [embed] hi"} {
		if !strings.Contains(strings.ReplaceAll(bounce, "rfc822; ", "rfc822;"), want) {
			t.Errorf("the bounce has no %q:\n%s", want, bounce)
		}
	}
}

func TestTheGoStageRefuses(t *testing.T) {
	r, _, _ := start(t)
	err := smtp.SendMail(r.Addr("inbound").String(), nil, "me@home.test", []string{"you@far.test"}, []byte("From: me@home.test\r\n\r\nx\r\n"))
	if err == nil || !strings.Contains(err.Error(), "a subject, please") {
		t.Errorf("got %v", err)
	}
}

// mailbox returns the only message of a mailbox of home.test.
func mailbox(t *testing.T, dir, local string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "mail", "home.test", local, "new", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("mailbox of %s holds %q, %v", local, files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
