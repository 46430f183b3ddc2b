// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"bytes"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

const binaryHead = "From: <a@here.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbcber\r\n" +
	"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"

// wild is what no line-based host can take.
const wild = "\x89PNG\r\n\x1a\n\x00\r.\n.\r\n..\r\r\n\n.\n\xff"

func binaryMessage(octets string) string { return binaryHead + octets + "\r\n--b--\r\n" }

// binaryHost refuses its first connection, so that the message is queued.
func binaryHost(extensions ...string) testkit.SinkOptions {
	return testkit.SinkOptions{Extensions: append(extensions, "PIPELINING", "SIZE"), Script: testkit.OnConn(1, testkit.Refuse("MAIL", "451 4.3.2 not now"))}
}

// RFC 3030: a binary message passes the checks, the stages, the queue and a restart
// unharmed, and goes by BDAT to a host that offers BINARYMIME. A small one lies in the
// records, a big one in a file.
func TestBinaryArrivesAsItIs(t *testing.T) {
	seen := make(chan int, 10)
	look := native(func(m relay.Message) (mail.Verdict, error) {
		parts, err := m.MIME()
		if err != nil || len(parts) != 3 {
			t.Errorf("%d parts, %v", len(parts), err)
		}
		p := make([]byte, 2<<20)
		n, err := m.ReadPart(2, 1, p, 0)
		if err != nil {
			t.Errorf("the part cannot be read: %v", err)
		}
		seen <- n
		_, err = m.AddHeader(0, "X-Seen", "yes")
		return mail.Continue, err
	})
	for _, octets := range []string{wild, strings.Repeat(wild, 1<<16/len(wild)+1000)} {
		g := newRig(t, binaryHost("8BITMIME", "CHUNKING", "BINARYMIME"), look)
		content := binaryMessage(octets)
		g.dial("in").sendBinary(content, "", "b@far.test", "c@far.test")
		if n := <-seen; n != len(octets) {
			t.Errorf("a stage sees %d octets of %d", n, len(octets))
		}
		g.idle()
		if asked := g.only().Asked; asked != "BODY=BINARYMIME" {
			t.Errorf("queue show says %q", asked)
		}
		g.restart()
		g.advance(10 * time.Minute)
		m := g.arrived()
		if len(m) != 1 || !m[0].Chunked || !slices.Contains(m[0].FromParams, "BODY=BINARYMIME") {
			t.Fatalf("%+v", m)
		}
		if got := strings.Replace(withoutTrace(t, bytes.TrimPrefix(m[0].Content, []byte("X-Seen: yes\r\n"))), "X-Seen: yes\r\n", "", 1); got != content {
			t.Errorf("%d octets arrived, want %d", len(got), len(content))
		}
	}
}

// Without BINARYMIME at the next hop the binary parts become base64, and without
// 8BITMIME the others quoted-printable; what arrives has lines, and nothing else.
func TestBinaryIsConverted(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte(wild))
	text := strings.NewReplacer("Content-Transfer-Encoding: binary\r\n\r\n--b", "Content-Transfer-Encoding: 8bit\r\n\r\n--b",
		"Content-Transfer-Encoding: binary", "Content-Transfer-Encoding: base64", wild, encoded).Replace(binaryMessage(wild))
	seven := strings.NewReplacer("Content-Transfer-Encoding: 8bit\r\n\r\n--b", "Content-Transfer-Encoding: 7bit\r\n\r\n--b",
		"Content-Transfer-Encoding: 8bit", "Content-Transfer-Encoding: quoted-printable", "\xc3\xbc", "=C3=BC").Replace(text)
	for _, c := range []struct {
		extensions []string
		want       string
	}{{[]string{"8BITMIME", "CHUNKING"}, text}, {[]string{"8BITMIME", "BINARYMIME"}, text}, {[]string{"CHUNKING"}, seven}} {
		g := newRig(t, binaryHost(c.extensions...), nil)
		g.dial("in").sendBinary(binaryMessage(wild), "", "b@far.test", "box@ours.test")
		g.idle()
		g.restart()
		g.advance(10 * time.Minute)
		m := g.arrived()
		if len(m) != 1 || m[0].Chunked || slices.Contains(m[0].FromParams, "BODY=BINARYMIME") || withoutTrace(t, m[0].Content) != c.want || g.sink.Bare() != 0 {
			t.Errorf("%q: %+v", c.extensions, m)
		}
		if slices.Contains(m[0].FromParams, "BODY=8BITMIME") != (c.extensions[0] == "8BITMIME") {
			t.Errorf("%q: %q", c.extensions, m[0].FromParams)
		}
		if got := g.mailbox("ours.test", "box"); !strings.HasSuffix(got, strings.ReplaceAll(text, "\r\n", "\n")) {
			t.Errorf("the mailbox has %q", got)
		}
	}
}

// What a client asked for, and a binary body, move to another machine with the message.
func TestExportOfAnExtendedMessage(t *testing.T) {
	from := newRig(t, testkit.SinkOptions{Extensions: []string{"DELIVERBY"}, Script: testkit.Refuse("MAIL", "451 4.3.2 not now")}, nil)
	to := newRig(t, testkit.SinkOptions{Extensions: []string{"CHUNKING", "BINARYMIME", "RRVS", "DELIVERBY", "MT-PRIORITY"}}, nil)
	const params = "BY=3600;RT MT-PRIORITY=7"
	from.dial("in").sendBinary("Subject: x\r\n\r\n"+wild, params, "b@far.test RRVS=2029-01-31T12:00:00Z;C")
	from.idle()
	var moved bytes.Buffer
	if err := from.r.Operator("test").Export(t.Context(), relay.QueueExport{IDs: []string{from.only().ID}}, &moved); err != nil {
		t.Fatal(err)
	}
	if done, err := to.r.Operator("test").Import(t.Context(), true, &moved); err != nil || done.Messages != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	to.advance(10 * time.Minute)
	m := to.arrived()
	if len(m) != 1 || !m[0].Chunked || strings.Join(m[0].FromParams, " ") != "BODY=BINARYMIME BY=3000;RT MT-PRIORITY=7" || !strings.HasSuffix(string(m[0].Content), wild) {
		t.Errorf("%+v", m)
	}
	if c := to.sink.Commands(); len(c) == 0 || !slices.Contains(c[0], "RCPT TO:<b@far.test> RRVS=2029-01-31T12:00:00Z;C") {
		t.Errorf("%q", c)
	}
}

// mailbox returns the one message in a mailbox.
func (g *rig) mailbox(domain, local string) string {
	g.t.Helper()
	files, err := filepath.Glob(filepath.Join(g.o.DataDir, "*", domain, local, "new", "*"))
	if err != nil || len(files) != 1 {
		g.t.Fatalf("mailbox: %q, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		g.t.Fatal(err)
	}
	return string(b)
}

// What is signed must not be changed: it comes back, with its header alone.
func TestSignedBinaryComesBack(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{}, nil)
	signed := strings.Replace(binaryMessage(wild), "multipart/mixed", "multipart/signed; protocol=x", 1)
	g.dial("in").sendBinary(signed, "RET=FULL", "b@far.test", "box@ours.test")
	r := g.reports()
	if len(g.arrived()) != 0 || len(r) == 0 {
		t.Fatalf("%d arrived, %d reports", len(g.arrived()), len(r))
	}
	for _, m := range r {
		if value(m.Content, "Status") != "5.6.3" || strings.Contains(string(m.Content), "PNG") {
			t.Errorf("%q", m.Content)
		}
	}
	if g.sink.Bare() != 0 {
		t.Error("bare line ends left")
	}
}

// RFC 6152: 8-bit text is converted for a host without 8BITMIME.
func TestEightBitIsConverted(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"PIPELINING"}}, nil)
	c := g.dial("in")
	c.envelope("BODY=8BITMIME", "b@far.test")
	c.cmd(354, "DATA")
	c.cmd(250, "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbcber\r\n.")
	const want = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=BCber\r\n"
	if m := g.arrived(); len(m) != 1 || withoutTrace(t, m[0].Content) != want {
		t.Errorf("%+v", m)
	}
}

// A stage that writes a new body of a binary message writes lines, and they arrive as
// such at a host with BINARYMIME and at one without.
func TestStageRewritesABinaryBody(t *testing.T) {
	stage := native(func(m relay.Message) (mail.Verdict, error) {
		return mail.Continue, m.WriteBody([]byte("a\nb\rc\r\n.\n"), true)
	})
	for _, extensions := range [][]string{{"8BITMIME"}, {"CHUNKING", "BINARYMIME"}} {
		g := newRig(t, testkit.SinkOptions{Extensions: extensions}, stage)
		g.dial("in").sendBinary("Subject: x\r\n\r\n"+wild, "", "b@far.test")
		if m := g.arrived(); len(m) != 1 || withoutTrace(t, m[0].Content) != "Subject: x\r\n\r\na\r\nb\r\nc\r\n.\r\n" || g.sink.Bare() != 0 {
			t.Errorf("%q: %+v", extensions, m)
		}
	}
}

// A stage that emits the body at hand emits it as binary as it is.
func TestStageEmitsABinaryBody(t *testing.T) {
	stage := native(func(m relay.Message) (mail.Verdict, error) {
		return mail.Discard, m.Emit(relay.Emission{Sender: "s@here.test", Recipients: []mail.Address{"e@far.test"}, Header: []byte("Subject: emitted\r\n"), OfMessage: true})
	})
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"CHUNKING", "BINARYMIME"}}, stage)
	g.dial("in").sendBinary("Subject: x\r\n\r\n"+wild, "", "b@far.test")
	if m := g.arrived(); len(m) != 1 || withoutTrace(t, m[0].Content) != "Subject: emitted\r\n\r\n"+wild || !m[0].Chunked {
		t.Errorf("%+v", m)
	}
}
