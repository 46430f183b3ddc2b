// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// One connection is one session of the backend, told of everything in order.
func TestASessionIsToldInOrder(t *testing.T) {
	b := &backend{}
	s, addr := serve(t, Options{Backend: b, TLS: serverTLS(t)})
	c := dial(t, addr).hello().envelope().upgrade()
	c.cmd("EHLO again.example", "250-")
	c.envelope().cmd("DATA", "354")
	c.cmd("x\r\n.", "250")
	c.cmd("HELO old.example", "250 ")
	c.envelope().cmd("RSET", "250")
	c.envelope()
	c.send("BDAT 1\r\nxBDAT 1 LAST\r\ny")
	c.expect("250")
	c.expect("250")
	c.envelope().cmd("QUIT", "221")
	c.closed()
	s.running.Wait()
	equal(t, "calls", b.told, []string{"open", "helo ESMTP client.example", "mail", "end", "tls TLS1.3",
		"helo ESMTPS again.example", "mail", "ready", "end", "helo SMTP old.example", "mail", "end", "mail", "ready", "end", "mail", "end", "close"})
	equal(t, "messages", b.bodies(), []string{"x\r\n", "xy"})
}

// However a connection ends, its session is closed once, and only if it began.
func TestASessionIsClosedOnce(t *testing.T) {
	refusal := func(*mail.Client) *mail.Reply { return mail.NewReply(421, mail.Enhanced{4, 7, 0}, "no") }
	panicking := func(*mail.Client) *mail.Reply { panic("test: asked to") }
	for name, c := range map[string]struct {
		send   string
		onOpen func(*mail.Client) *mail.Reply
		opens  int
		says   string
	}{
		"nothing said":     {"", nil, 1, "220 "},
		"half a line":      {"EH", nil, 1, "220 "},
		"in a transaction": {open, nil, 1, "220 "},
		"in content":       {open + "DATA\r\nx", nil, 1, "220 "},
		"quit":             {"QUIT\r\n", nil, 1, "220 "},
		"panic":            {"EHLO panic.example\r\n", nil, 1, "220 "},
		"refused":          {"EHLO x\r\n", refusal, 0, "421 4.7.0 no"},
		"panic at first":   {"EHLO x\r\n", panicking, 0, "421 4.3.0"},
	} {
		b := &backend{onOpen: c.onOpen}
		out := run(t, Options{Backend: b}, c.send)
		equal(t, name+" opens", b.opens, c.opens)
		equal(t, name+" closes", b.lefts, c.opens)
		equal(t, name+" transactions closed", b.closes, b.mails)
		if !strings.HasPrefix(out, c.says) {
			t.Errorf("%s: said %q, want %q", name, out, c.says)
		}
	}
}

// A client that was refused and does not go is sent away in the end.
func TestARefusedClientIsNotWaitedForLong(t *testing.T) {
	b := &backend{}
	b.prepare("open 550 5.7.1 no")
	_, addr := serve(t, Options{Backend: b, Limits: Limits{CommandTimeout: 20 * time.Millisecond}})
	c := dial(t, addr)
	c.expect("554 5.7.1 no")
	c.expect("421 4.4.2")
	c.closed()
	s := over(nil, 1, Limits{})
	s.sendAway(outOfOrder("x"))
	if left := time.Until(s.deadline(time.Hour)); left > awayTime {
		t.Errorf("it may take %v", left)
	}
}

// The backend's faults are faults of ours, before the banner too.
func TestABackendWithoutASessionIsAFault(t *testing.T) {
	o := newObserver()
	b := &backend{onOpen: func(*mail.Client) *mail.Reply { return mail.NewReply(0, mail.Enhanced{}, "secret") }}
	if out := run(t, Options{Backend: b, Observer: o}); out != "421 4.3.0 local error, try again later\r\n" {
		t.Errorf("said %q", out)
	}
	equal(t, "reason", o.count(o.refused, "421 fault"), 1)
}

// The parameters of MAIL are handed on as they were given.
func TestParametersAsGiven(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b})
	c := dial(t, addr).hello()
	c.cmd("MAIL FROM:<a@example.com>  SIZE=3  body=8bitmime ", "250")
	c.cmd("RCPT TO:<b@example.org>", "250")
	c.cmd("DATA", "354")
	c.cmd("x\r\n.", "250")
	equal(t, "parameters", b.messages[0].params, MailParams{Size: 3, EightBit: true, Params: "SIZE=3  body=8bitmime"})
}

// A client's certificate is told by its hash when TLS asks for one.
func TestClientCertificate(t *testing.T) {
	own := serverTLS(t)
	asks := serverTLS(t)
	asks.ClientAuth = tls.RequestClientCert
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, TLS: asks})
	c := dial(t, addr).hello()
	c.cmd("STARTTLS", "220")
	tc := tls.Client(c.c, &tls.Config{InsecureSkipVerify: true, Certificates: own.Certificates})
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	c.c, c.r = tc, bufio.NewReader(tc)
	c.cmd("EHLO x", "250-")
	c.envelope().cmd("DATA", "354")
	c.cmd("x\r\n.", "250")
	sum := sha256.Sum256(own.Certificates[0].Certificate[0])
	equal(t, "hash", b.messages[0].client.PeerCert, string(sum[:]))
}
