// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// allPhases is a native stage that is in some phases, and always in message.
type allPhases struct {
	phases []mail.Phase
	f      func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error)
}

func (s allPhases) Phases() []mail.Phase { return s.phases }
func (s allPhases) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	return s.f(mail.PhaseMessage, 0, m)
}
func (s allPhases) Phase(_ context.Context, p mail.Phase, arg int, m relay.Message) (mail.Verdict, error) {
	return s.f(p, arg, m)
}

// inPhases registers a native stage "test" that is a function.
func inPhases(f func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error), ps ...mail.Phase) map[string]relay.NewStage {
	return map[string]relay.NewStage{"test": func([]byte) (relay.Stage, error) { return allPhases{ps, f}, nil }}
}

// incoming are the phases of a message's way in.
func incoming() []mail.Phase {
	return []mail.Phase{mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo, mail.PhaseMail, mail.PhaseRcpt, mail.PhaseData,
		mail.PhaseHeaders, mail.PhaseBody, mail.PhaseQueued, mail.PhaseReset}
}

// journal is what a stage was called for, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{}
}

func newJournal() *journal { return &journal{grown: make(chan struct{}, 1000)} }

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	j.grown <- struct{}{}
}

// wait returns the first n lines, when they are there.
func (j *journal) wait(t *testing.T, n int) []string {
	t.Helper()
	for {
		j.mu.Lock()
		lines := slices.Clone(j.lines)
		j.mu.Unlock()
		if len(lines) >= n {
			return lines[:n]
		}
		select {
		case <-j.grown:
		case <-time.After(20 * time.Second):
			t.Fatalf("got %d lines of %d: %q", len(lines), n, lines)
		}
	}
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := j.wait(t, len(want)); !slices.Equal(got, want) {
		t.Errorf("calls\n%q, want\n%q", got, want)
	}
}

// knock connects and says nothing.
func (g *rig) knock() *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.r.Addr("in").String())
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn)}
	g.t.Cleanup(func() { c.c.Close() })
	return c
}

// closed expects the end of the connection.
func (c *client) closed() {
	c.t.Helper()
	if line, err := c.c.ReadLine(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("got %q, %v, want the connection closed", line, err)
	}
}

func (c *client) envelope() {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<a@here.test>")
	c.cmd(250, "RCPT TO:<b@far.test>")
}

// bigMessage is a message whose body takes many chunks and is a file.
var bigMessage = "Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef0123456789abcdef\r\n", 6000)

// refusalIn makes a stage that refuses in one phase, once.
func refusalIn(phase mail.Phase, v mail.Verdict) map[string]relay.NewStage {
	var once sync.Once
	return inPhases(func(p mail.Phase, _ int, m relay.Message) (verdict mail.Verdict, err error) {
		if p != phase {
			return mail.Continue, nil
		}
		once.Do(func() {
			verdict = v
			err = m.SetReply(map[mail.Verdict]int{mail.Reject: 550, mail.Tempfail: 450}[v], mail.Enhanced{}, "because of "+p.String())
		})
		return verdict, err
	}, phase)
}

// What a stage refuses is what the client is told, and the session goes on as
// SMTP wants it to.
func TestEachPhaseRefuses(t *testing.T) {
	for _, p := range []mail.Phase{mail.PhaseHelo, mail.PhaseMail, mail.PhaseRcpt, mail.PhaseData, mail.PhaseHeaders, mail.PhaseBody, mail.PhaseMessage} {
		for v, code := range map[mail.Verdict]int{mail.Reject: 550, mail.Tempfail: 450} {
			t.Run(p.String()+" "+v.String(), func(t *testing.T) {
				g := newRig(t, base(testStage, testPlugin), refusalIn(p, v))
				c := g.knock()
				c.expect(220)
				refused := c.until(p, code)
				if want := "because of " + p.String(); !strings.Contains(refused, want) {
					t.Errorf("told %q, want %q", refused, want)
				}
				c.cmd(250, "EHLO client.test")
				c.send(250, "a@here.test", hello, "b@far.test")
				if got := wait(t, g, 1); len(got) != 1 || !strings.Contains(got[0], "It works.") {
					t.Errorf("delivered %q", got)
				}
			})
		}
	}
}

// until goes the way of a message up to the phase that refuses.
func (c *client) until(p mail.Phase, code int) string {
	c.t.Helper()
	for _, step := range []struct {
		phase mail.Phase
		line  string
		ok    int
	}{
		{mail.PhaseHelo, "EHLO client.test", 250},
		{mail.PhaseMail, "MAIL FROM:<a@here.test>", 250},
		{mail.PhaseRcpt, "RCPT TO:<b@far.test>", 250},
		{mail.PhaseData, "DATA", 354},
	} {
		if p == step.phase {
			return c.cmd(code, "%s", step.line)
		}
		c.cmd(step.ok, "%s", step.line)
	}
	return c.cmd(code, "%s.", bigMessage)
}

func TestAConnectionIsRefusedInTheBannersPlace(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), refusalIn(mail.PhaseConnect, mail.Reject))
	c := g.knock()
	if text := c.expect(554); text != "5.7.1 because of connect" {
		t.Errorf("told %q", text)
	}
	c.cmd(503, "EHLO client.test")
	c.cmd(221, "QUIT")
	c.closed()
	g.dial().send(250, "a@here.test", hello, "b@far.test")

	g = newRig(t, base(testStage, testPlugin), refusalIn(mail.PhaseConnect, mail.Tempfail))
	c = g.knock()
	if text := c.expect(421); text != "4.7.1 because of connect" {
		t.Errorf("told %q", text)
	}
	c.closed()
	g.dial()
}

// A stage that fails decides nothing: its on_error does, before the banner too.
func TestAStageThatFailsAtConnect(t *testing.T) {
	broken := inPhases(func(p mail.Phase, _ int, _ relay.Message) (mail.Verdict, error) {
		if p == mail.PhaseConnect {
			panic("test: asked to")
		}
		return mail.Continue, nil
	}, mail.PhaseConnect)
	c := newRig(t, base(testStage, testPlugin), broken).knock()
	if text := c.expect(421); text != "4.3.0 local error, try again later" {
		t.Errorf("told %q", text)
	}
	c.closed()
	skip := `stage "test" {
  plugin   = plugin.test
  on_error = "skip"
}`
	newRig(t, base(skip, testPlugin), broken).dial()
}

// withTLS gives the listener of a rig a certificate of its own.
func withTLS(t *testing.T, hcl string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"relay.test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: cert}, "key.pem": {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block := fmt.Sprintf("tls {\n cert = %q\n key = %q\n }\n  pipeline ", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	return strings.Replace(hcl, "pipeline ", block, 1)
}

func (g *rig) upgrade() *client {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.r.Addr("in").String())
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn)}
	c.expect(220)
	c.cmd(220, "STARTTLS")
	tc := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	g.t.Cleanup(func() { tc.Close() })
	return &client{g.t, textproto.NewConn(tc)}
}

// After the handshake it is the client's turn: it hears of a refusal there.
func TestTLSIsRefused(t *testing.T) {
	hcl := withTLS(t, base(testStage, testPlugin))
	c := newRig(t, hcl, refusalIn(mail.PhaseTLS, mail.Reject)).upgrade()
	for _, line := range []string{"EHLO client.test", "HELO client.test", "MAIL FROM:<a@here.test>"} {
		if text := c.cmd(550, "%s", line); !strings.Contains(text, "because of tls") {
			t.Errorf("%s: %q", line, text)
		}
	}
	c.cmd(221, "QUIT")
	c = newRig(t, hcl, refusalIn(mail.PhaseTLS, mail.Tempfail)).upgrade()
	c.cmd(421, "EHLO client.test")
}

// The phases of one session come in their order, for every message anew.
func TestPhasesComeInOrder(t *testing.T) {
	j := newJournal()
	stage := inPhases(func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error) {
		e := m.Envelope()
		line := p.String()
		switch p {
		case mail.PhaseTLS:
			line += " " + e.Client.TLSVersion
		case mail.PhaseHelo:
			line += " " + e.Client.Protocol + " " + e.Client.Helo
		case mail.PhaseMail:
			line += " " + string(e.Sender) + " " + e.Params
		case mail.PhaseRcpt:
			line += " " + string(e.Recipients[arg].Address)
		case mail.PhaseHeaders:
			line += " " + m.Header().Fields()[1].Value()
		case mail.PhaseBody:
			line += fmt.Sprintf(" %d %q", m.ChunkOffset(), m.Chunk())
		}
		j.add("%s", line)
		return mail.Continue, nil
	}, incoming()...)
	g := newRig(t, withTLS(t, base(testStage, testPlugin)), stage)
	c := g.upgrade()
	c.cmd(250, "EHLO client.test")
	c.cmd(250, "MAIL FROM:<a@here.test> SIZE=10 BODY=8BITMIME")
	c.cmd(250, "RCPT TO:<b@far.test>")
	c.cmd(250, "RCPT TO:<c@far.test>")
	c.cmd(354, "DATA")
	c.cmd(250, "Subject: one\r\n\r\n1\r\n.")
	c.envelope()
	c.cmd(250, "RSET")
	c.envelope()
	chunk := "Subject: two\r\n\r\n2"
	c.cmd(250, "BDAT %d LAST\r\n%s", len(chunk)+2, chunk)
	c.cmd(250, "HELO other.test")
	c.cmd(221, "QUIT")
	j.expect(t, "connect", "tls TLS1.3", "helo ESMTPS client.test",
		"mail a@here.test SIZE=10 BODY=8BITMIME", "rcpt b@far.test", "rcpt c@far.test", "data", "headers one", `body 0 "1\r\n"`, "message", "queued", "reset",
		"mail a@here.test ", "rcpt b@far.test", "reset",
		"mail a@here.test ", "rcpt b@far.test", "data", "headers two", `body 0 "2\r\n"`, "message", "queued", "reset",
		"helo SMTP other.test")
}

// However a transaction ends, the stages are told.
func TestAnEndOfAnyKindGivesReset(t *testing.T) {
	chunk := "BDAT 100\r\nSubject: x\r\n\r\n"
	for name, last := range map[string]string{
		"lost after RCPT": "", "lost in content": "DATA\r\nSubject: x\r\n\r\nand ", "lost in a chunk": chunk, "QUIT": "QUIT\r\n", "EHLO": "EHLO again.test\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal()
			g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
				j.add("%s %s", p, m.Envelope().Sender)
				return mail.Continue, nil
			}, mail.PhaseMail, mail.PhaseReset))
			c := g.dial()
			c.envelope()
			if _, err := c.c.W.WriteString(last); err != nil {
				t.Fatal(err)
			}
			if err := c.c.W.Flush(); err != nil {
				t.Fatal(err)
			}
			if name != "EHLO" {
				c.c.Close()
			}
			j.expect(t, "mail a@here.test", "reset a@here.test")
			if q := g.queue(); len(q) != 0 {
				t.Errorf("queued %v", q)
			}
		})
	}
}

// Phase body sees every octet of the body once and in order, as it is kept.
func TestTheBodyIsSeenWhileItArrives(t *testing.T) {
	var mu sync.Mutex
	var seen strings.Builder
	chunks, faults := 0, ""
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error) {
		mu.Lock()
		defer mu.Unlock()
		if p != mail.PhaseBody {
			return mail.Continue, nil
		}
		if m.ChunkOffset() != int64(seen.Len()) || arg != len(m.Chunk()) || arg == 0 || arg > 64<<10 {
			faults += fmt.Sprintf(" %d octets (%d) at %d", len(m.Chunk()), arg, m.ChunkOffset())
		}
		chunks++
		seen.Write(m.Chunk())
		return mail.Continue, nil
	}, mail.PhaseBody))
	c := g.dial()
	content := bigMessage + ".dots\r\n..\r\nend\r\n"
	_, body, _ := strings.Cut(content, "\r\n\r\n")
	check := func(how string) {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if seen.String() != body || faults != "" || chunks < 3 {
			t.Errorf("%s: %d octets of %d in %d chunks,%s", how, seen.Len(), len(body), chunks, faults)
		}
		seen.Reset()
		chunks, faults = 0, ""
	}
	c.send(250, "a@here.test", content, "b@far.test")
	check("DATA")
	c.envelope()
	for rest := content; rest != ""; {
		n := min(len(rest), 50_000)
		c.chunk(rest[:n], n == len(rest))
		rest = rest[n:]
	}
	check("BDAT")
}

// chunk sends a BDAT command with its octets.
func (c *client) chunk(octets string, last bool) {
	c.t.Helper()
	end := map[bool]string{true: " LAST"}[last]
	if _, err := fmt.Fprintf(c.c.W, "BDAT %d%s\r\n%s", len(octets), end, octets); err != nil {
		c.t.Fatal(err)
	}
	if err := c.c.W.Flush(); err != nil {
		c.t.Fatal(err)
	}
	c.expect(250)
}

// A stage that has seen enough is not asked again, and the message goes on.
func TestAStageMaySkipTheRestOfTheBody(t *testing.T) {
	j := newJournal()
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, _ relay.Message) (mail.Verdict, error) {
		j.add("%s", p)
		if p == mail.PhaseBody {
			return mail.Skip, nil
		}
		return mail.Continue, nil
	}, mail.PhaseBody))
	c := g.dial()
	for range 2 {
		c.send(250, "a@here.test", bigMessage, "b@far.test")
	}
	j.expect(t, "body", "message", "body", "message")
	for _, got := range wait(t, g, 2) {
		if withoutTrace(t, []byte(got)) != bigMessage {
			t.Errorf("%d octets arrived", len(got))
		}
	}
}

// Edits of phase headers stay, and its discard and quarantine hold.
func TestPhaseHeadersDecides(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		if p != mail.PhaseHeaders {
			return mail.Continue, nil
		}
		switch m.Header().Values("Subject")[0] {
		case "drop":
			return mail.Discard, nil
		case "keep":
			return mail.Quarantine, nil
		}
		_, err := m.AddHeader(-1, "X-Early", "1")
		return mail.Continue, err
	}, mail.PhaseHeaders))
	c := g.dial()
	c.send(250, "a@here.test", "Subject: drop\r\n\r\nx\r\n", "b@far.test")
	c.send(250, "a@here.test", "Subject: keep\r\n\r\nx\r\n", "b@far.test")
	c.send(250, "a@here.test", "Subject: send\r\n\r\nx\r\n", "b@far.test")
	if got := withoutTrace(t, []byte(wait(t, g, 1)[0])); got != "Subject: send\r\nX-Early: 1\r\n\r\nx\r\n" {
		t.Errorf("got %q", got)
	}
	g.idle()
	if q := g.queue(); len(q) != 1 || q[0].State != "quarantined" || g.sink.Count() != 1 {
		t.Errorf("queued %v", q)
	}
}

// What a stage takes off the EHLO list is neither shown nor taken.
func TestAStageEditsTheEHLOList(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		if p != mail.PhaseHelo || m.Envelope().Client.Helo == "friend.test" {
			return mail.Continue, nil
		}
		return mail.Continue, errors.Join(m.SetEHLO(abi.EHLORemove, "CHUNKING"), m.SetEHLO(abi.EHLORemove, "SIZE"),
			m.SetEHLO(abi.EHLOAdd, "SIZE 1000"), m.SetEHLO(abi.EHLOAdd, "X-HELLO you"))
	}, mail.PhaseHelo))
	c := g.knock()
	c.expect(220)
	list := c.cmd(250, "EHLO stranger.test")
	if strings.Contains(list, "CHUNKING") || !strings.Contains(list, "\nSIZE 1000\n") || !strings.HasSuffix(list, "\nX-HELLO you") {
		t.Errorf("offered %q", list)
	}
	c.cmd(552, "MAIL FROM:<a@here.test> SIZE=1001")
	c.send(552, "a@here.test", bigMessage, "b@far.test")
	c.envelope()
	c.cmd(502, "BDAT 1 LAST")
	c.closed()
	c = g.knock()
	c.expect(220)
	if list := c.cmd(250, "EHLO friend.test"); !strings.Contains(list, "CHUNKING") {
		t.Errorf("offered %q", list)
	}
	c.cmd(250, "MAIL FROM:<a@here.test> SIZE=1001")
}
