// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// rawHost is a host whose every octet the test decides.
type rawHost struct {
	t     *testing.T
	l     net.Listener
	c     net.Conn
	ended chan struct{} // for the goroutine that plays the host
	buf   []byte        // received, not yet looked at
}

func newRawHost(t *testing.T) *rawHost {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &rawHost{t: t, l: l, ended: make(chan struct{})}
	t.Cleanup(func() { l.Close() })
	return h
}

func (h *rawHost) dial(t *testing.T) *smtp.Conn {
	t.Helper()
	addr := h.l.Addr().(*net.TCPAddr).AddrPort()
	c, err := client(smtp.Timeouts{}).Dial(testContext(t), smtp.Target{Host: "raw.test.", Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (h *rawHost) greet(extensions ...string) {
	c, err := h.l.Accept()
	if err != nil {
		h.t.Error(err)
		return
	}
	h.c = c
	h.say("220 raw.test\r\n")
	h.until("\r\n")
	h.say("250-raw.test\r\n250-" + strings.Join(extensions, "\r\n250-") + "\r\n250 HELP\r\n")
}

func (h *rawHost) say(s string) {
	if _, err := h.c.Write([]byte(s)); err != nil {
		h.t.Error(err)
	}
}

func (h *rawHost) closeWrite() {
	if err := h.c.(*net.TCPConn).CloseWrite(); err != nil {
		h.t.Error(err)
	}
}

// until reads up to the first end and returns what came, end included.
func (h *rawHost) until(end string) string {
	for {
		if i := strings.Index(string(h.buf), end); i >= 0 {
			got := string(h.buf[:i+len(end)])
			h.buf = h.buf[i+len(end):]
			return got
		}
		p := make([]byte, 1<<16)
		n, err := h.c.Read(p)
		h.buf = append(h.buf, p[:n]...)
		if err != nil {
			h.t.Errorf("waiting for %q: %v, have %q", end, err, h.buf)
			return ""
		}
	}
}

// The host answers nothing until a whole group is there: a client that waits
// for a reply in between would hang.
func TestNextEnvelopeFollowsRightBehindTheDot(t *testing.T) {
	h := newRawHost(t)
	var got []string
	go func() {
		defer close(h.ended)
		h.greet("PIPELINING")
		got = append(got, h.until("DATA\r\n"))
		h.say("250 a\r\n250 b\r\n354 c\r\n")
		got = append(got, h.until("DATA\r\n"))
		h.say("250 2.0.0 first\r\n250 a\r\n550 5.1.1 no\r\n250 b\r\n354 c\r\n")
		got = append(got, h.until("DATA\r\n"))
		h.say("250 2.0.0 second\r\n250 a\r\n550 5.1.1 no\r\n503 5.5.1 no\r\n")
		got = append(got, h.until("DATA\r\n"))
		h.say("250 reset\r\n250 a\r\n250 b\r\n354 c\r\n")
		got = append(got, h.until("\r\n.\r\n"))
		h.say("250 2.0.0 fourth\r\n")
		got = append(got, h.until("QUIT\r\n"))
		h.say("221 bye\r\n")
		h.c.Close()
	}()
	ses := &session{got: map[*smtp.Job][]mail.Outcome{}, jobs: []*smtp.Job{
		job("a@x.test"), job("b@x.test", "c@x.test"), job("d@x.test"), job("e@x.test"),
	}}
	ses.err = h.dial(t).Run(testContext(t), ses.hand, ses.done)
	<-h.ended
	const content = "Subject: x\r\n\r\nhello\r\n.\r\n"
	const from = "MAIL FROM:<from@example.com>\r\n"
	want := []string{
		from + "RCPT TO:<a@x.test>\r\nDATA\r\n",
		content + from + "RCPT TO:<b@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n",
		content + from + "RCPT TO:<d@x.test>\r\nDATA\r\n",
		"RSET\r\n" + from + "RCPT TO:<e@x.test>\r\nDATA\r\n",
		content,
		"QUIT\r\n",
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			t.Fatalf("group %d:\ngot  %q\nwant %q", i, got, want[i])
		}
	}
	for i, w := range []string{delivered, "0 failed 550 5.1.1 remote, 1 delivered 250 2.0.0 remote", "0 failed 550 5.1.1 remote", delivered} {
		if o := ses.outcomes(i); o != w {
			t.Errorf("job %d: %s, want %s", i, o, w)
		}
	}
	if text := ses.got[ses.jobs[1]][1].Reply.Text; text != "second" {
		t.Errorf("the reply to the second dot is %q", text)
	}
}

// alone reads up to end and checks that nothing came behind it.
func (h *rawHost) alone(end string) {
	if got := h.until(end); len(h.buf) > 0 {
		h.t.Errorf("%q follows %q before that is answered", h.buf, got)
		h.buf = nil
	}
}

// A host without PIPELINING gets one command at a time, one with it no more
// than a group.
func TestGroupsAreBounded(t *testing.T) {
	h := newRawHost(t)
	go func() {
		defer close(h.ended)
		h.greet("SIZE")
		for _, reply := range []string{"250 mail", "250 rcpt", "250 rcpt", "354 data"} {
			h.alone("\r\n")
			h.say(reply + "\r\n")
		}
		h.alone("\r\n.\r\n")
		h.say("250 2.0.0 taken\r\n")
		h.alone("QUIT\r\n")
		h.say("221 bye\r\n")
		h.c.Close()
		h.greet("PIPELINING")
		h.alone("RCPT TO:<r98@x.test>\r\n")
		h.say(strings.Repeat("250 x\r\n", 100))
		h.alone("DATA\r\n")
		h.say(strings.Repeat("250 x\r\n", 21) + "354 x\r\n")
		h.alone("\r\n.\r\n")
		h.say("250 2.0.0 taken\r\n")
		h.alone("QUIT\r\n")
		h.say("221 bye\r\n")
		h.c.Close()
	}()
	var many []mail.Address
	for i := range 120 {
		many = append(many, mail.Address(fmt.Sprintf("r%d@x.test", i)))
	}
	for _, j := range []*smtp.Job{job("a@x.test", "b@x.test"), job(many...)} {
		ses := &session{jobs: []*smtp.Job{j}, got: map[*smtp.Job][]mail.Outcome{}}
		ses.err = h.dial(t).Run(testContext(t), ses.hand, ses.done)
		if n := strings.Count(ses.outcomes(0), "delivered"); n != len(j.Recipients) || ses.err != nil {
			t.Errorf("%d delivered of %d, %v", n, len(j.Recipients), ses.err)
		}
	}
	<-h.ended
}

// A host that asks for content although it took no recipient gets none.
func TestLoneDot(t *testing.T) {
	h := newRawHost(t)
	go func() {
		defer close(h.ended)
		h.greet("PIPELINING")
		h.until("DATA\r\n")
		h.say("250 a\r\n550 5.1.1 no\r\n354 go on\r\n")
		if got := h.until("\r\n"); got != ".\r\n" {
			h.t.Errorf("got %q, want a lone dot", got)
		}
		h.say("250 2.0.0 taken, nobody knows for whom\r\n")
		h.until("QUIT\r\n")
		h.say("221 bye\r\n")
		h.c.Close()
	}()
	ses := &session{jobs: []*smtp.Job{job("a@x.test")}, got: map[*smtp.Job][]mail.Outcome{}}
	ses.err = h.dial(t).Run(testContext(t), ses.hand, ses.done)
	<-h.ended
	if got := ses.outcomes(0); got != "0 failed 550 5.1.1 remote" || ses.err != nil {
		t.Errorf("%s %v", got, ses.err)
	}
}

// A reply has to be there in time as a whole: a host cannot hold us with an
// octet now and then.
func TestSlowOctetsDoNotStretchTheTimeout(t *testing.T) {
	h := newRawHost(t)
	go func() {
		defer close(h.ended)
		h.greet("PIPELINING")
		h.until("DATA\r\n")
		h.say("250-")
		tick := time.NewTicker(3 * time.Millisecond)
		defer tick.Stop()
		for range tick.C {
			if _, err := h.c.Write([]byte("x")); err != nil {
				h.c.Close()
				return
			}
		}
	}()
	addr := h.l.Addr().(*net.TCPAddr).AddrPort()
	c, err := client(smtp.Timeouts{Mail: 100 * time.Millisecond}).Dial(testContext(t), smtp.Target{Host: "raw.test", Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	j := job("a@x.test")
	ses := &session{jobs: []*smtp.Job{j}, got: map[*smtp.Job][]mail.Outcome{}}
	ses.err = c.Run(testContext(t), ses.hand, ses.done)
	<-h.ended
	if o := ses.got[j]; len(o) != 1 || !strings.HasSuffix(o[0].Reply.Text, "i/o timeout") {
		t.Errorf("%+v", o)
	}
}
