// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

const zone = `
example.org.   MX 10 mx1.example.org.
example.org.   MX 20 mx2.example.org.
mx1.example.org. A 127.0.0.1
mx2.example.org. A 127.0.0.2
implicit.example. A 127.0.0.2
example.net.   MX 10 back.example.net.
back.example.net. A 127.0.0.3
null.example.  MX 0 .
loop.example.  MX 10 relay.example.net.
`

func lan(port uint16) *delivery.Route {
	return &delivery.Route{Name: "internet", Kind: delivery.ViaMX, Port: port, AllowPrivate: true,
		Schedule: delivery.Schedule{Retry: []time.Duration{time.Minute, 10 * time.Minute}, Expire: time.Hour}}
}

func TestMailArrivesByMX(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{}, testkit.SinkOptions{})
	r := newRig(t, zone, lan(port))
	body := "one\r\n.dot\r\n..\r\nlast"
	r.send("s@example.net", body, "x@example.org", "y@example.org", "z@implicit.example")
	r.idle()
	if n := r.queued(); n != 0 {
		t.Errorf("%d messages are still queued", n)
	}
	got := hosts[0].Messages()
	if len(got) != 1 || len(got[0].To) != 2 || got[0].From != "<s@example.net>" {
		t.Fatalf("mx1 got %+v", got)
	}
	if want := "From: <s@example.net>\r\nSubject: number 1\r\n\r\n" + body + "\r\n"; string(got[0].Content) != want {
		t.Errorf("content %q, want %q", got[0].Content, want)
	}
	if got := hosts[1].Messages(); len(got) != 1 || got[0].To[0] != "<z@implicit.example>" {
		t.Errorf("implicit got %+v", got)
	}
}

// Many messages for one next hop share a few connections.
func TestConnectionsAreKept(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{})
	r := newRig(t, zone, lan(port))
	for range 200 {
		r.send("s@example.net", "hello\r\n", "x@example.org")
	}
	r.idle()
	if n, c := hosts[0].Count(), hosts[0].Connections(); n != 200 || c > delivery.DefaultConnections {
		t.Errorf("%d messages over %d connections", n, c)
	}
}

// The better host is down, then away in the middle of things.
func TestFallBackToTheNextHost(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{}, testkit.SinkOptions{})
	hosts[0].Close()
	r := newRig(t, zone, lan(port))
	r.send("s@example.net", "hello\r\n", "x@example.org")
	r.idle()
	if n := hosts[1].Count(); n != 1 {
		t.Errorf("mx2 has %d messages", n)
	}
}

// A host that hangs up on a kept connection costs no attempt.
func TestKeptConnectionIsGone(t *testing.T) {
	script := testkit.OnConn(1, testkit.OnMail(2, testkit.Drop("MAIL")))
	hosts, port := sinks(t, testkit.SinkOptions{Script: script})
	r := newRig(t, zone, lan(port))
	for range 3 {
		r.send("s@example.net", "hello\r\n", "x@example.org")
		r.idle()
	}
	if n := hosts[0].Count(); n != 3 || r.queued() != 0 {
		t.Errorf("%d messages arrived, %d are queued", n, r.queued())
	}
}

// Not now, for ever: the message is tried by its schedule, also by another
// process, and bounces once.
func TestRetryRestartAndBounce(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{Script: testkit.RefuseRcpt("", "451 4.2.0 not now")}, testkit.SinkOptions{}, testkit.SinkOptions{})
	r := newRig(t, zone, lan(port))
	id := r.send("s@example.net", "hello\r\n", "x@example.org")
	r.idle()
	for _, step := range []time.Duration{time.Minute, 10 * time.Minute} {
		r.clock.Advance(step)
		r.idle()
	}
	if m, err := r.queue.Show(t.Context(), id); err != nil || m.States[0].Attempts != 3 || m.States[0].Last.Reply.Code != 451 {
		t.Fatalf("%+v, %v", m, err)
	}
	r.stop()
	r.start()
	r.idle()
	r.clock.Advance(time.Hour)
	r.idle()
	if n := r.queued(); n != 0 {
		t.Errorf("%d messages are still queued", n)
	}
	got := hosts[2].Messages()
	if len(got) != 1 || got[0].From != "<>" || got[0].To[0] != "<s@example.net>" {
		t.Fatalf("the sender got %+v", got)
	}
	for _, part := range []string{"multipart/report", "x@example.org", "5.4.7", "451 4.2.0 not now", "Subject: number 1"} {
		if !bytes.Contains(got[0].Content, []byte(part)) {
			t.Errorf("no %q in the bounce:\n%s", part, got[0].Content)
		}
	}
}

// Of several recipients each has its own outcome, and those that failed
// together are in one bounce.
func TestEachRecipientHasItsOutcome(t *testing.T) {
	script := testkit.Scripts(testkit.RefuseRcpt("bad", "550 5.1.1 no such user"), testkit.RefuseRcpt("full", "452 4.2.2 full"))
	hosts, port := sinks(t, testkit.SinkOptions{Script: script}, testkit.SinkOptions{}, testkit.SinkOptions{})
	r := newRig(t, zone, lan(port))
	id := r.send("s@example.net", "hello\r\n", "ok@example.org", "bad1@example.org", "bad2@example.org", "full@example.org")
	r.idle()
	m, err := r.queue.Show(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []mail.Status{mail.Delivered, mail.Failed, mail.Failed, mail.Deferred} {
		if m.States[i].Status != want {
			t.Errorf("recipient %d is %v, want %v", i, m.States[i].Status, want)
		}
	}
	got := hosts[2].Messages()
	if len(got) != 1 || !bytes.Contains(got[0].Content, []byte("bad1@")) || !bytes.Contains(got[0].Content, []byte("bad2@")) {
		t.Errorf("bounces: %+v", got)
	}
	hosts[0].SetScript(nil)
	r.clock.Advance(time.Minute)
	r.idle()
	if n, q := hosts[0].Count(), r.queued(); n != 2 || q != 0 {
		t.Errorf("%d messages arrived, %d are queued", n, q)
	}
}

// Neither a bounce of a bounce nor one for a message from the null sender.
func TestNoBounceOfABounce(t *testing.T) {
	_, port := sinks(t, testkit.SinkOptions{Script: testkit.Refuse("MAIL", "550 5.7.1 no")},
		testkit.SinkOptions{}, testkit.SinkOptions{Script: testkit.Refuse("MAIL", "550 5.7.1 no bounces")})
	r := newRig(t, zone, lan(port))
	r.send("s@example.net", "hello\r\n", "x@example.org")
	r.send("", "hello\r\n", "x@example.org")
	r.idle()
	if n := r.queued(); n != 0 {
		t.Errorf("%d messages are still queued", n)
	}
}

// Loopback is no place for mail unless the route says so.
func TestPrivateAddressesAreRefused(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{})
	route := lan(port)
	route.AllowPrivate = false
	r := newRig(t, zone, route)
	id := r.send("", "hello\r\n", "x@example.org", "x@null.example", "x@loop.example", "x@nowhere.example")
	r.idle()
	if n := hosts[0].Connections(); n != 0 {
		t.Errorf("%d connections to 127.0.0.1", n)
	}
	if _, err := r.queue.Show(t.Context(), id); err == nil {
		t.Error("the message is still queued")
	}
}

// A host that takes its time over every message does not keep another waiting.
func TestSlowHostHoldsUpNobody(t *testing.T) {
	gate := make(chan struct{})
	hosts, port := sinks(t, testkit.SinkOptions{Script: testkit.Hold(testkit.VerbDot, gate)}, testkit.SinkOptions{})
	r := newRig(t, zone, lan(port))
	for range 50 {
		r.send("s@example.net", strings.Repeat("slow\r\n", 100), "x@example.org")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range 20 {
		r.send("s@example.net", "fast\r\n", "x@implicit.example")
		if _, err := hosts[1].Wait(ctx, i+1); err != nil {
			t.Fatal(err)
		}
	}
	if n := hosts[0].Count(); n != 0 {
		t.Errorf("the slow host has answered %d times", n)
	}
	close(gate)
	r.idle()
	if n := hosts[0].Count(); n != 50 {
		t.Errorf("the slow host has %d of 50 messages", n)
	}
}

// BenchmarkQueueToHost is a message's way out: from the queue on a disk in
// memory, over a socket, to a host that counts.
func BenchmarkQueueToHost(b *testing.B) {
	hosts, port := sinks(b, testkit.SinkOptions{Forget: true})
	r := newRig(b, zone, lan(port))
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 70)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		r.send("s@example.net", body, "x@example.org")
	}
	r.idle()
	b.StopTimer()
	if n := hosts[0].Count(); n != b.N {
		b.Errorf("%d of %d arrived", n, b.N)
	}
}

// A bounce is mail like any other: when its host has no time it is tried again.
func TestBounceIsRetried(t *testing.T) {
	hosts, port := sinks(t, testkit.SinkOptions{Script: testkit.RefuseRcpt("", "550 5.1.1 no such user")},
		testkit.SinkOptions{}, testkit.SinkOptions{Script: testkit.Refuse("MAIL", "451 4.7.1 greylisted")})
	r := newRig(t, zone, lan(port))
	r.send("s@example.net", "hello\r\n", "x@example.org")
	r.idle()
	if n := r.queued(); n != 1 {
		t.Fatalf("%d messages are queued, not the bounce", n)
	}
	hosts[2].SetScript(nil)
	r.clock.Advance(time.Minute)
	r.idle()
	if got := hosts[2].Messages(); len(got) != 1 || got[0].From != "<>" || r.queued() != 0 {
		t.Errorf("the sender got %+v; %d are queued", got, r.queued())
	}
}
