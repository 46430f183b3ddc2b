// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/textproto"
	"github.com/google/go-cmp/cmp"

	"github.com/postroad-mail/postroad/core/internal/report"
	"github.com/postroad-mail/postroad/core/mail"
)

var update = flag.Bool("update", false, "write the golden files")

func input() report.Input {
	received := time.Date(2030, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))
	return report.Input{
		Hostname: "mx.example.org",
		Envelope: &mail.Envelope{
			ID: "01HZZZZZZZZZZZZZZZZZZZZZZZ", Sender: "alice@example.org", Received: received, Tenant: "t1",
			Recipients: []mail.Recipient{
				{Address: "bob@example.net", Original: "bob@example.net"},
				{Address: "carol@example.net", Original: "c.alias@example.org"},
				{Address: "dave@example.com", Original: "dave@example.com"},
			},
		},
		Header: []byte("From: Alice <alice@example.org>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= and\r\n greetings\r\nDate: Mon, 6 May 2030 07:08:00 +0200\r\nMessage-ID: <1@example.org>\r\n\r\n"),
		Told: []mail.Told{
			failed(mail.Outcome{Recipient: 0, NextHop: "mx.example.net", Address: "192.0.2.1:25", Remote: true, TLS: "TLS1.3",
				Reply: mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 1, 1}, Text: "No such user here, and a host that likes to talk tells you at some length why it thinks so"}}),
			failed(mail.Outcome{Recipient: 1, Reply: mail.Reply{Code: 554, Enhanced: mail.Enhanced{5, 4, 7}, Text: "delivery time expired; attempts: 12"}}),
		},
		Now: received.Add(5 * 24 * time.Hour),
	}
}

func failed(o mail.Outcome) mail.Told {
	o.Status = mail.Failed
	return mail.Told{Outcome: o, Action: mail.ActionFailed}
}

// asked makes in one whose sender asked for reports.
func asked(in *report.Input) {
	in.Envelope.EnvelopeID = "QQ 314159"
	in.Envelope.Recipients[0].ORCPT = "rfc822;Bob@example.net"
	in.Envelope.Recipients[1].ORCPT = "utf-8;zoë@example.org"
}

func delayed(in *report.Input) {
	asked(in)
	for i := range in.Told {
		in.Told[i].Action, in.Told[i].Status, in.Told[i].Until = mail.ActionDelayed, mail.Deferred, in.Now.Add(time.Hour)
	}
	in.Told[1].Reply = mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 4, 1}, Text: "no connection"}
	in.Told[1].NextHop = "mx.example.com"
}

func succeeded(in *report.Input) {
	asked(in)
	in.Told = []mail.Told{
		{Action: mail.ActionRelayed, Outcome: mail.Outcome{Status: mail.Delivered, NextHop: "mx.example.net", Address: "192.0.2.1:25", Remote: true, Reply: mail.Reply{Code: 250, Text: "queued as 42"}}},
		{Action: mail.ActionDelivered, Outcome: mail.Outcome{Recipient: 1, Status: mail.Delivered, Reply: mail.Reply{Code: 250, Enhanced: mail.Enhanced{2, 0, 0}, Text: "delivered to mailbox"}}},
		{Action: mail.ActionExpanded, Outcome: mail.Outcome{Recipient: 2, Status: mail.Delivered}},
	}
}

func TestGolden(t *testing.T) {
	utf8Header := []byte("Subject: Grüße\r\nMessage-ID: <1@example.org>\r\n\r\n")
	for name, edit := range map[string]func(*report.Input){
		"ascii": func(in *report.Input) {},
		"utf8": func(in *report.Input) {
			in.Envelope.Sender = "jürgen@bücher.example"
			in.Envelope.SMTPUTF8 = true
			in.Envelope.Recipients[0].Address = "zoë@example.net"
			in.Header = utf8Header
			in.Told[0].Reply.Text = "kein Benutzer Zoë"
			in.Told = in.Told[:1]
		},
		"ascii-sender": func(in *report.Input) {
			in.Envelope.Recipients[0] = mail.Recipient{Address: "zoë+x@example.net"}
			in.Header = utf8Header
			in.Told[0].Reply.Text = "kein Benutzer Zoë"
			in.Told[1] = failed(mail.Outcome{Recipient: 2, NextHop: "mx.example.com", Reply: mail.Reply{Code: 550, Text: "no enhanced code"}})
		},
		"no-header": func(in *report.Input) { in.Header = nil },
		"asked":     asked,
		"delayed":   delayed,
		"succeeded": succeeded,
		"full":      func(in *report.Input) { in.Body = []byte("Hello,\r\n\r\n.\r\n") },
		"full-8bit": func(in *report.Input) { in.Body = []byte("Grüße\r\n") },
		"full-utf8": func(in *report.Input) {
			asked(in)
			in.Envelope.SMTPUTF8 = true
			in.Header, in.Body = utf8Header, []byte("Grüße\r\n")
		},
		"full-utf8-ascii-sender": func(in *report.Input) { in.Header, in.Body = utf8Header, []byte("Hello\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			in := input()
			edit(&in)
			env, header, body, err := report.BuildDSN(in)
			if err != nil {
				t.Fatal(err)
			}
			check(t, in, env, header, body)
			file := "testdata/" + name + ".eml"
			got := append(header, body...)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil { //nolint:gosec // a golden file
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// check holds for every notification, whatever is in it.
func check(t *testing.T, in report.Input, env *mail.Envelope, header, body []byte) {
	t.Helper()
	all := append(bytes.Clone(header), body...)
	eightBit := false
	for line := range bytes.Lines(all) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(text) > mail.MaxLine || bytes.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("line %q", line)
		}
		eightBit = eightBit || !mail.Address(line).ASCII()
	}
	if eightBit && (!env.EightBit || !env.SMTPUTF8 && in.Body == nil) || !utf8.Valid(header) || !env.SMTPUTF8 && !mail.Address(header).ASCII() {
		t.Fatalf("8-bit content in an envelope with EightBit %t, SMTPUTF8 %t", env.EightBit, env.SMTPUTF8)
	}
	if env.Recipients[0].Notify != mail.NotifyNever {
		t.Fatal("somebody may report on the report")
	}
	if !env.Sender.IsNull() || len(env.Recipients) != 1 || env.Recipients[0].Address != in.Envelope.Sender {
		t.Fatalf("envelope %+v", env)
	}
	parts := parse(t, all)
	if len(parts) != 3 || len(parts[1].groups) != 1+len(in.Told) {
		t.Fatalf("%d parts, %d groups", len(parts), len(parts[1].groups))
	}
	for i, o := range in.Told {
		g := parts[1].groups[1+i]
		if g.Get("Action") != o.Action.String() || g.Get("Final-Recipient") == "" || g.Get("Status")[1] != '.' {
			t.Fatalf("recipient %d: %v", o.Recipient, g)
		}
	}
}

type parsed struct {
	mediaType string
	content   []byte
	groups    []netmail.Header // of a delivery-status part
}

// parse reads a notification back with net/mail and with go-message, which must
// agree.
func parse(t *testing.T, raw []byte) []parsed {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("%s %v %v", kind, params, err)
	}
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	other := e.MultipartReader()
	var parts []parsed
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextPart() // decodes quoted-printable
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		second, err := other.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if c, err := io.ReadAll(second.Body); err != nil || !bytes.Equal(c, content) {
			t.Fatalf("go-message reads %q, net/mail %q: %v", c, content, err)
		}
		kind, _, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, parsed{kind, content, groups(t, kind, content)})
	}
}

func groups(t *testing.T, kind string, content []byte) []netmail.Header {
	t.Helper()
	if !strings.HasSuffix(kind, "delivery-status") {
		return nil
	}
	var gs []netmail.Header
	for _, g := range strings.Split(string(content), "\r\n\r\n") {
		if !strings.HasSuffix(g, "\r\n") {
			g += "\r\n"
		}
		m, err := netmail.ReadMessage(strings.NewReader(g + "\r\n"))
		if err != nil {
			t.Fatalf("%q: %v", g, err)
		}
		gs = append(gs, m.Header)
	}
	return gs
}

func TestHeaderComesBackAsItWas(t *testing.T) {
	in := input()
	for name, header := range map[string]string{
		"plain":      string(in.Header),
		"8-bit":      "Subject: \xff\xfe\r\nX: ü\r\n\r\n",
		"long line":  "Subject: x\r\nX: " + strings.Repeat("y", 5000) + "\r\n\r\n",
		"bare CR":    "Subject: a\rb\r\n\r\n",
		"no colon":   "Subject: x\r\nwhat is this\r\n\r\n",
		"a boundary": "Subject: x\r\n--=_00\r\nX-Evil: 1\r\n\r\n",
	} {
		in.Header = []byte(header)
		env, head, body, err := report.BuildDSN(in)
		if err != nil {
			t.Fatal(err)
		}
		check(t, in, env, head, body)
		last := parse(t, append(head, body...))[2]
		want := strings.ReplaceAll(header, "a\rb", "a b")
		if got := string(last.content); last.mediaType != "text/rfc822-headers" || strings.TrimRight(got, "\r\n") != strings.TrimRight(want, "\r\n") {
			t.Errorf("%s: %q came back as %s %q", name, want, last.mediaType, got)
		}
	}
}

func TestHeaderIsBounded(t *testing.T) {
	in := input()
	in.Header = []byte("Subject: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("y", 90)+"\r\n", 10000) + "\r\n")
	_, head, body, err := report.BuildDSN(in)
	if err != nil {
		t.Fatal(err)
	}
	parts := parse(t, append(head, body...))
	if n := len(parts[2].content); n > report.MaxHeader || n < report.MaxHeader-200 || !bytes.HasSuffix(parts[2].content, []byte("y\r\n")) && !bytes.HasSuffix(parts[2].content, []byte("y")) {
		t.Errorf("%d octets are returned", n)
	}
	if !bytes.Contains(parts[0].content, []byte("The beginning of your")) {
		t.Errorf("the text does not say so: %s", parts[0].content)
	}
}

// A message comes back whole as it is, or not at all.
func TestTheMessageComesBackAsItWas(t *testing.T) {
	in := input()
	long := strings.Repeat("x", mail.MaxLine+1) + "\r\n"
	for _, c := range []struct{ header, body, kind string }{
		{string(in.Header), "", "message/rfc822"},
		{string(in.Header), "a\r\nno end", "message/rfc822"},
		{string(in.Header), "\xff\xfe\r\n", "message/rfc822"},
		{string(in.Header), long, "text/rfc822-headers"},
		{string(in.Header), "bare\nLF\r\n", "text/rfc822-headers"},
		{string(in.Header), "NUL\x00\r\n", "text/rfc822-headers"},
		{"Subject: \xff\r\n\r\n", "a\r\n", "text/rfc822-headers"},
		{"X: " + long + "\r\n", "a\r\n", "text/rfc822-headers"},
		{strings.Repeat("X: y\r\n", report.MaxHeader/6+1) + "\r\n", "a\r\n", "text/rfc822-headers"},
		{"", "a\r\n", "text/rfc822-headers"},
	} {
		in.Header, in.Body = []byte(c.header), []byte(c.body)
		env, head, body, err := report.BuildDSN(in)
		if err != nil {
			t.Fatal(err)
		}
		check(t, in, env, head, body)
		last := parse(t, append(head, body...))[2]
		if last.mediaType != c.kind {
			t.Errorf("%.30q %.30q came back as %s", c.header, c.body, last.mediaType)
		}
		if c.kind == "message/rfc822" && strings.TrimSuffix(string(last.content), "\r\n") != strings.TrimSuffix(c.header+c.body, "\r\n") {
			t.Errorf("%q came back as %q", c.header+c.body, last.content)
		}
	}
}

func TestNoBounceOfABounce(t *testing.T) {
	in := input()
	in.Envelope.Sender = ""
	if _, _, _, err := report.BuildDSN(in); !errors.Is(err, report.ErrNullSender) {
		t.Error(err)
	}
	in = input()
	in.Told = nil
	if _, _, _, err := report.BuildDSN(in); !errors.Is(err, report.ErrNobody) {
		t.Error(err)
	}
}

func TestSameInputSameOctets(t *testing.T) {
	_, h1, b1, _ := report.BuildDSN(input())
	_, h2, b2, _ := report.BuildDSN(input())
	if !bytes.Equal(h1, h2) || !bytes.Equal(b1, b2) {
		t.Error("two notifications of the same differ")
	}
	in := input()
	in.Told = in.Told[:1]
	_, h3, _, _ := report.BuildDSN(in)
	id := func(h []byte) string {
		hdr, _ := textproto.ReadHeader(bufioReader(h))
		return hdr.Get("Message-Id")
	}
	if id(h1) == id(h3) || id(h1) == "" {
		t.Error("notifications about others have the same Message-ID")
	}
}

// Replies, addresses and headers are written by strangers.
func FuzzDSN(f *testing.F) {
	f.Add("alice@example.org", "bob@x.test", "no\r\nX-Evil: 1\r\n\r\nbody", "mx.x\r\n.test", "Subject: x\r\n\r\n", "ID", "hi\r\n", uint8(1))
	f.Add("jü@x.test", "\r\n--x@y", strings.Repeat("x", 5000), "\xff\xfe", "Subject\r: \xff\r\n y\r\nMessage-ID: <\r\n>\r\n", "\r\n", "", uint8(2))
	f.Fuzz(func(t *testing.T, sender, rcpt, text, host, header, id, body string, action uint8) {
		in := input()
		if sender == "" || !utf8.ValidString(sender) {
			return
		}
		in.Envelope.ID, in.Envelope.Sender = id, mail.Address(sender)
		in.Envelope.Recipients[0] = mail.Recipient{Address: mail.Address(rcpt), Original: mail.Address(host)}
		in.Envelope.EnvelopeID, in.Envelope.Recipients[0].ORCPT = text, host
		in.Told[0].Reply.Text, in.Told[0].NextHop, in.Told[0].Address = text, host, text
		in.Told[0].Action = mail.ActionFailed + mail.Action(action%5)
		in.Header = []byte(header)
		if body != "" {
			in.Body = []byte(body)
		}
		env, head, content, err := report.BuildDSN(in)
		if err != nil {
			t.Fatal(err)
		}
		check(t, in, env, head, content)
	})
}

func bufioReader(b []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
