// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestTimeouts(t *testing.T) {
	const short = 30 * time.Millisecond
	for name, c := range map[string]struct {
		limits Limits
		send   string // behind the envelope, if any
		expect string // before the 421
	}{
		"silence":            {Limits{CommandTimeout: short}, "", ""},
		"half a line":        {Limits{CommandTimeout: short}, "NOO", ""},
		"half a line end":    {Limits{CommandTimeout: short}, "NOOP\r", ""},
		"no content":         {Limits{DataTimeout: short}, "DATA\r\n", "354"},
		"half the content":   {Limits{DataTimeout: short}, "DATA\r\nx\r\n.\r", "354"},
		"half a chunk":       {Limits{DataTimeout: short}, "BDAT 5 LAST\r\nx", ""},
		"no next chunk":      {Limits{CommandTimeout: short}, "BDAT 1\r\nx", "250"},
		"refused content":    {Limits{DataTimeout: short}, "DATA\r\n\n", "354"},
		"refused chunk":      {Limits{DataTimeout: short}, "BDAT 5 LAST\r\n\n", ""},
		"transaction time":   {Limits{TransactionTime: short}, "NOOP\r\n", "250"},
		"transaction's data": {Limits{TransactionTime: short}, "DATA\r\n", "354"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newObserver()
			b := &backend{}
			_, addr := serve(t, Options{Backend: b, Observer: o, Limits: c.limits})
			d := dial(t, addr).hello().envelope()
			d.send(c.send)
			if c.expect != "" {
				d.expect(c.expect)
			}
			d.expect("421 4.4.2")
			d.closed()
			equal(t, "reason", o.count(o.refused, "421 timeout"), 1)
			equal(t, "messages", b.bodies(), []string(nil))
			equal(t, "closes", b.closes, 1)
		})
	}
}

// A client that goes away in the middle leaves nothing behind.
func TestLostConnection(t *testing.T) {
	for _, cut := range []string{"", "NO", "DATA\r\n", "DATA\r\nx\r\n.", "DATA\r\nx\r\n.\r", "BDAT 5 LAST\r\nx", "BDAT 1\r\nx", "BDAT 5\r\n"} {
		b := &backend{}
		run(t, Options{Backend: b}, open+cut)
		equal(t, cut, b.bodies(), []string(nil))
		equal(t, cut+" closes", b.closes, 1)
	}
}

// A client that does not read its replies is dropped when a write takes too long.
func TestClientThatDoesNotRead(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	s := NewServer(Options{Backend: &backend{}, Limits: Limits{CommandTimeout: 20 * time.Millisecond}})
	done := make(chan error, 1)
	go func() { done <- s.Serve(newSingle(far)) }()
	one := make([]byte, 1)
	if _, err := io.ReadFull(near, one); err != nil { // the banner's first octet, and no more
		t.Fatal(err)
	}
	s.running.Wait()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-done; err != ErrServerClosed {
		t.Error(err)
	}
}

func TestConnectionLimits(t *testing.T) {
	for name, l := range map[string]Limits{"all": {Connections: 2}, "per client": {ConnectionsPerClient: 2}} {
		t.Run(name, func(t *testing.T) {
			o := newObserver()
			_, addr := serve(t, Options{Backend: &backend{}, Limits: l, Observer: o})
			first := dial(t, addr).hello()
			dial(t, addr).hello()
			third := dial(t, addr)
			third.expect("421 4.7.0 too many connections")
			third.closed()
			equal(t, "reason", o.count(o.refused, "421 connections"), 1)
			first.cmd("QUIT", "221")
			first.closed()
			for { // the place is free as soon as the server has noticed
				c := dial(t, addr)
				if got, _ := c.reply(); strings.HasPrefix(got, "220") {
					return
				}
			}
		})
	}
}

func TestShutdownOfIdleSessions(t *testing.T) {
	o := newObserver()
	s, addr := serve(t, Options{Backend: &backend{}, Observer: o})
	idle, fresh := dial(t, addr).hello(), dial(t, addr)
	fresh.expect("220")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{idle, fresh} {
		c.expect("421 4.3.2")
		c.closed()
	}
	equal(t, "open", o.open, 0)
	if err := s.Serve(newSingle(nil)); err != ErrServerClosed {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// A transaction under way is finished, and is the last one.
func TestShutdownWaitsForTransactions(t *testing.T) {
	b := &backend{}
	s, addr := serve(t, Options{Backend: b})
	c := dial(t, addr).hello().envelope()
	chunked := dial(t, addr).hello().envelope()
	chunked.send("BDAT 1\r\nx")
	chunked.expect("250")
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	for { // until nobody listens any more
		extra, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		extra.Close()
	}
	c.cmd("RCPT TO:<c@example.org>", "250")
	c.cmd("DATA", "354")
	c.send("x\r\n.\r\nMAIL FROM:<>\r\n")
	c.expect("250 2.0.0 queued")
	c.expect("421 4.3.2")
	c.closed()
	chunked.send("BDAT 1 LAST\r\ny")
	chunked.expect("250 2.0.0 queued")
	chunked.expect("421 4.3.2")
	if err := <-down; err != nil {
		t.Fatal(err)
	}
	equal(t, "messages", len(b.bodies()), 2)
}

// When the time is up the Backend's context ends and connections are closed.
func TestShutdownRunsOutOfTime(t *testing.T) {
	b := &backend{entered: make(chan struct{}), release: make(chan struct{})}
	s, addr := serve(t, Options{Backend: b})
	c := dial(t, addr).hello().envelope()
	c.cmd("DATA", "354")
	waiting := dial(t, addr).hello().envelope()
	<-b.entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, d := range []*client{c, waiting} {
		if got, err := d.reply(); err == nil {
			t.Errorf("got %q", got)
		}
	}
	equal(t, "closes", b.closes, 2)
	equal(t, "messages", b.bodies(), []string(nil))
}

// A panic costs its own session alone.
func TestPanicCostsOneSession(t *testing.T) {
	for _, how := range []string{"MAIL FROM:<panic@example.com>", "MAIL FROM:<datapanic@example.com>"} {
		b, o := &backend{}, newObserver()
		_, addr := serve(t, Options{Backend: b, Observer: o})
		other := dial(t, addr).hello().envelope()
		c := dial(t, addr).hello()
		c.send(how + "\r\nRCPT TO:<b@example.org>\r\nDATA\r\nx\r\n.\r\n")
		for got := ""; !strings.HasPrefix(got, "421 4.3.0"); {
			var err error
			if got, err = c.reply(); err != nil {
				t.Fatal(err)
			}
		}
		c.closed()
		other.cmd("DATA", "354")
		other.cmd("x\r\n.", "250")
		equal(t, "panics", o.panics, 1)
		equal(t, "messages", len(b.bodies()), 1)
	}
}

func TestThousandConnections(t *testing.T) {
	const n = 1000
	b, o := &backend{}, newObserver()
	s, addr := serve(t, Options{Backend: b, Observer: o, Limits: Limits{ConnectionsPerClient: n}})
	clients := make([]*client, n)
	for i := range clients {
		clients[i] = dial(t, addr).hello()
	}
	equal(t, "open", o.open, n)
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			oneMessage(t, c, fmt.Sprintf("message %d\r\n", i))
		}()
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, m := range b.bodies() {
		seen[m] = true
	}
	equal(t, "messages", len(seen), n)
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	equal(t, "open", o.open, 0)
	equal(t, "closes", b.closes, n)
}

// oneMessage may be called from any goroutine.
func oneMessage(t *testing.T, c *client, body string) {
	_, err := io.WriteString(c.c, "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"+body+".\r\n")
	for _, want := range []string{"250", "250", "354", "250"} {
		got, rerr := c.reply()
		if err != nil || rerr != nil || !strings.HasPrefix(got, want) {
			t.Errorf("want %s, got %q, %v, %v", want, got, err, rerr)
			return
		}
	}
}

// Large messages: content is never held whole, and arrives as it was sent.
func TestLargeMessage(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, Limits: Limits{MessageSize: 8 << 20}})
	c := dial(t, addr).hello().envelope()
	body := string(lines(70_000, 78)) + strings.Repeat("z", 1<<20) + "\r\n"
	c.cmd("DATA", "354")
	c.cmd(body+".", "250")
	c.envelope()
	c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
	c.expect("250")
	for i, got := range b.bodies() {
		if got != body {
			t.Errorf("content %d differs", i)
		}
	}
	equal(t, "messages", len(b.bodies()), 2)
}

// Refused content is read for the sake of a proper reply, but not without end.
func TestRefusedContentWithoutEnd(t *testing.T) {
	s := over([]byte("\n"), 1, Limits{})
	mib := lines(1<<13, 128)
	for range 70 {
		s.raw.(*script).segments = append(s.raw.(*script).segments, mib)
	}
	m := s.message()
	if _, err := io.Copy(io.Discard, m); err == nil {
		t.Fatal("bare LF accepted")
	}
	s.skipped(m.framer.skip(), refuse(ReasonBareNewline, 554, 6, 0, "x"))
	if left := len(s.raw.(*script).segments); !s.ended || left < 4 || left > 7 {
		t.Errorf("ended %v, %d MiB left unread", s.ended, left)
	}
}

// Replies to a long pipeline are not hoarded until its end.
func TestLongPipeline(t *testing.T) {
	const n = 5000
	out := run(t, Options{Backend: &backend{}, Limits: Limits{IdleCommands: n}}, strings.Repeat("NOOP\r\n", n)+"QUIT\r\n")
	equal(t, "replies", strings.Count(out, "250 2.0.0 ok\r\n"), n)
	s := over(nil, 1, Limits{})
	for range n {
		s.say(replyOK)
	}
	if len(s.out) > 2*flushAbove {
		t.Errorf("%d octets of replies kept back", len(s.out))
	}
}

func TestMetrics(t *testing.T) {
	o := newObserver()
	_, addr := serve(t, Options{Backend: &backend{}, Observer: o, Withhold: []string{"chunking", "SMTPUTF8"}})
	c := dial(t, addr)
	c.expect("220")
	if list := c.cmd("EHLO x", "250-"); strings.Contains(list, "CHUNKING") || strings.Contains(list, "SMTPUTF8") || strings.Contains(list, "STARTTLS") {
		t.Errorf("offered: %q", list)
	}
	c.cmd("STARTTLS", "502")
	c.cmd("MAIL FROM:<> SMTPUTF8", "555")
	c.cmd("secret@example.com", "500")
	c.cmd("BDAT 1 LAST", "502")
	c.closed()
	for verb, n := range map[string]int{"EHLO": 1, "STARTTLS": 1, "MAIL": 1, "BDAT": 1, "other": 1} {
		equal(t, verb, o.count(o.commands, verb), n)
	}
	for reason, n := range map[string]int{"502 unknown_command": 2, "555 syntax": 1, "500 unknown_command": 1} {
		equal(t, reason, o.count(o.refused, reason), n)
	}
}

// follower is a Session that counts how often it was asked to follow.
type follower struct {
	Session
	followed chan struct{}
	reply    atomic.Pointer[mail.Reply]
}

func (f *follower) Follow(context.Context) *mail.Reply {
	f.followed <- struct{}{}
	return f.reply.Load()
}

// following is a Backend whose sessions are followers.
type following struct {
	*backend
	f *follower
}

func (b *following) Open(ctx context.Context, c *mail.Client) (Session, *mail.Reply) {
	s, r := b.backend.Open(ctx, c)
	b.f.Session = s
	return b.f, r
}

func (b *following) want(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-b.f.followed:
		case <-time.After(10 * time.Second):
			t.Fatal("the session does not follow")
		}
	}
	if len(b.f.followed) > 0 {
		t.Error("the session follows where it should not")
	}
}

// TestAClientThatWaitsKeepsNothing: one that said nothing, or NOOP for ever, held
// an old configuration. It is not cut off for it, nor is its transaction changed.
func TestAClientThatWaitsKeepsNothing(t *testing.T) {
	for _, secure := range []bool{false, true} {
		b := &following{&backend{}, &follower{followed: make(chan struct{}, 100)}}
		s, addr := serve(t, Options{Backend: b, TLS: serverTLS(t)})
		c := dial(t, addr).hello()
		b.want(t, 1)
		if secure {
			c.upgrade().cmd("EHLO again.example", "250-")
			b.want(t, 2)
		}
		s.Nudge() // while it waits, or before it does
		b.want(t, 1)
		c.send("NO")
		s.Nudge()
		b.want(t, 1)
		c.cmd("OP", "250")
		b.want(t, 1)
		c.envelope()
		b.want(t, 1) // MAIL
		s.Nudge()
		c.cmd("NOOP", "250")
		c.cmd("DATA", "354")
		s.Nudge()
		if len(b.f.followed) > 0 {
			t.Error("a transaction was changed")
		}
		c.cmd("x\r\n.", "250")
		b.want(t, 1)
		b.f.reply.Store(mail.NewReply(421, mail.Enhanced{4, 3, 2}, "gone"))
		s.Nudge()
		c.expect("421 4.3.2 gone")
		c.closed()
	}
}

// TestSlowRepliesDoNotHoldAShutdownUp: a stranger that makes faults waits for its
// replies; who is trusted does not, and a shutdown waits for neither.
func TestSlowRepliesDoNotHoldAShutdownUp(t *testing.T) {
	_, addr := serve(t, Options{Backend: &backend{}, Limits: Limits{Tarpit: time.Hour}, Known: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	dial(t, addr).hello().cmd("WHAT", "500")

	s, addr := serve(t, Options{Backend: &backend{}, Limits: Limits{Tarpit: time.Hour}})
	c := dial(t, addr).hello()
	c.send("NOOP\r\nWHAT\r\n")
	c.expect("250") // what was said before the fault does not wait
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	c.expect("500")
	c.expect("421")
}
