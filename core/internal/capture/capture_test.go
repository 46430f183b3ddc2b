// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

func open(t *testing.T, o Options) *Box {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	b, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func message(t *testing.T, text string) (*mail.Header, mail.Body) {
	t.Helper()
	text = strings.ReplaceAll(text, "\n", "\r\n")
	r := bufio.NewReader(strings.NewReader(text))
	h, err := mail.ReadHeader(r, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return &h, mail.BytesBody(body)
}

func record(id string) *Record {
	return &Record{
		ID: id, Pipeline: "inbound", Sender: "anna@example.org", Params: "SIZE=10",
		Client:     mail.Client{Addr: netip.MustParseAddrPort("192.0.2.77:4711"), Helo: "host.example.org", PeerCert: "\xff\x00", Notes: map[string]string{"a.b": "c"}},
		Recipients: []Recipient{{Address: "bob@example.net"}},
		Decision:   []string{"250 bob@example.net route internet"},
	}
}

func all(t *testing.T, dir string) []*Message {
	t.Helper()
	var ms []*Message
	if err := Each(dir, func(m *Message) error { ms = append(ms, m); return nil }); err != nil {
		t.Fatal(err)
	}
	return ms
}

func TestWhatWasCapturedComesBack(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir})
	h, body := message(t, "Received: by us\nSubject: x\n\nline one\nline two\n")
	if err := b.Add(record("A"), h, body); err != nil {
		t.Fatal(err)
	}
	ms := all(t, dir)
	if len(ms) != 1 {
		t.Fatalf("%d messages", len(ms))
	}
	m := ms[0]
	if m.ID != "A" || m.Sender != "anna@example.org" || m.Client.Addr.Port() != 4711 || m.Client.PeerCert != "\xff\x00" || m.Client.Notes != nil {
		t.Errorf("record %+v", m.Record)
	}
	if got := string(m.Header.AppendTo(nil)) + string(m.Body); got != "Received: by us\r\nSubject: x\r\n\r\nline one\r\nline two\r\n" {
		t.Errorf("content %q", got)
	}
}

func TestMessageWithoutBodyAndWithoutEnd(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir})
	h := mail.ParseHeader([]byte("Subject: x"))
	if err := b.Add(record("A"), &h, nil); err != nil {
		t.Fatal(err)
	}
	if m := all(t, dir)[0]; string(m.Header.AppendTo(nil)) != "Subject: x" || len(m.Body) != 0 {
		t.Errorf("%q %q", m.Header.AppendTo(nil), m.Body)
	}
}

func TestBoxIsBounded(t *testing.T) {
	clock := testkit.NewClock(time.Now())
	for _, c := range []struct {
		name string
		o    Options
		want string
	}{
		{"by number", Options{Messages: 2}, "M3 M4"},
		{"by octets", Options{Size: 2200}, "M4"},
		{"by age", Options{Keep: 90 * time.Minute}, "M4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Dir, c.o.Clock = t.TempDir(), clock
			b := open(t, c.o)
			for i := range 5 {
				h, body := message(t, "Subject: x\n\n"+strings.Repeat("x", 1000))
				if err := b.Add(record(fmt.Sprint("M", i)), h, body); err != nil {
					t.Fatal(err)
				}
				clock.Advance(time.Hour)
			}
			var ids []string
			for _, m := range all(t, c.o.Dir) {
				ids = append(ids, m.ID)
			}
			if got := strings.Join(ids, " "); got != c.want {
				t.Errorf("kept %s, want %s", got, c.want)
			}
		})
	}
}

func TestBoundsHoldAfterARestart(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir})
	for i := range 5 {
		h, body := message(t, "Subject: x\n\nx\n")
		if err := b.Add(record(fmt.Sprint("M", i)), h, body); err != nil {
			t.Fatal(err)
		}
	}
	open(t, Options{Dir: dir, Messages: 2})
	if ms := all(t, dir); len(ms) != 2 || ms[0].ID != "M3" {
		t.Errorf("%d kept", len(ms))
	}
}

func addOne(t *testing.T, b *Box, id string) {
	t.Helper()
	h, body := message(t, "Subject: x\n\nx\n")
	if err := b.Add(record(id), h, body); err != nil {
		t.Fatal(err)
	}
}

func TestQuietPipelineKeptItsCapturesForEver(t *testing.T) {
	dir, clock := t.TempDir(), testkit.NewClock(time.Now())
	b := open(t, Options{Dir: dir, Keep: time.Hour, Clock: clock})
	addOne(t, b, "A")
	clock.Advance(30 * time.Minute)
	addOne(t, b, "B")
	clock.Advance(30 * time.Minute)
	if ms := all(t, dir); len(ms) != 1 || ms[0].ID != "B" {
		t.Errorf("%d kept after an hour", len(ms))
	}
	if err := b.Configure(Options{Keep: 2 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	clock.Advance(time.Hour)
	if ms := all(t, dir); len(ms) != 1 {
		t.Errorf("%d kept, although they may stay longer now", len(ms))
	}
	b.Close()
	if at, ok := clock.Next(); ok {
		t.Errorf("a closed box waits for %v", at)
	}
	open(t, Options{Dir: dir, Keep: 2 * time.Hour, Clock: clock})
	clock.Advance(30 * time.Minute)
	if ms := all(t, dir); len(ms) != 0 {
		t.Errorf("%d kept after two hours and a restart", len(ms))
	}
}

func TestFolderGoesWithItsLastMessage(t *testing.T) {
	dir, clock := filepath.Join(t.TempDir(), "in"), testkit.NewClock(time.Now())
	b := open(t, Options{Dir: dir, Keep: time.Hour, Clock: clock})
	addOne(t, b, "A")
	if err := b.End(); err != nil || Kept(dir) != time.Hour || len(all(t, dir)) != 1 {
		t.Errorf("%v; messages are kept for %v", err, Kept(dir))
	}
	clock.Advance(time.Hour)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if err := b.Configure(Options{}); err != nil { // the block is back
		t.Fatal(err)
	}
	addOne(t, b, "B")
	if len(all(t, dir)) != 1 {
		t.Error("the message is not there")
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	b := open(t, Options{Size: 100})
	h, body := message(t, "Subject: x\n\n"+strings.Repeat("x", 200))
	if err := b.Add(record("A"), h, body); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v", err)
	}
}

// One record that cannot be read would end every replay.
func TestRecordThatCouldNotBeReadAgainIsRefused(t *testing.T) {
	b := open(t, Options{})
	h, body := message(t, "Subject: x\n\nx\n")
	r := record("A")
	r.Decision = []string{strings.Repeat("<", maxRecord/6)}
	if err := b.Add(r, h, body); !errors.Is(err, ErrTooLarge) || len(all(t, b.o.Dir)) != 0 {
		t.Errorf("error %v", err)
	}
}

func TestDamagedFileIsNamedAndStopsNoReplay(t *testing.T) {
	for name, raw := range map[string]string{"empty": "", "no record": "x\n", "no line": `{"id":"A"}`} {
		b := open(t, Options{})
		h, body := message(t, "Subject: x\n\nx\n")
		if err := b.Add(record("B"), h, body); err != nil {
			t.Fatal(err)
		}
		dir, seen := b.o.Dir, 0
		if err := os.WriteFile(filepath.Join(dir, "A"+suffix), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Each(dir, func(*Message) error { seen++; return nil }); err == nil || !strings.Contains(err.Error(), "A.capture") || seen != 1 {
			t.Errorf("%s: error %v, %d messages", name, err, seen)
		}
	}
}

func TestUnknownRedaction(t *testing.T) {
	if _, err := Open(Options{Dir: t.TempDir(), Redact: []string{"bodies"}}); err == nil || !strings.Contains(err.Error(), `"bodies"`) {
		t.Errorf("error %v", err)
	}
}

const multipart = `Received: from host.example.org (mx7.example.org [192.0.2.77])
	by relay.test with ESMTP id A for <bob@example.net>; Mon, 30 Nov 2026 18:00:00 +0000
Received: from inside.example.com ([198.51.100.9]) by mx7.example.org; Mon, 30 Nov 2026 17:59:00 +0000
From: "Anna" <anna@example.org>
To: bob@example.net, "very odd"@example.net
Subject: Secret 42
Content-Type: multipart/mixed;
 boundary="b1"

preamble
--b1
Content-Type: text/plain

Hello Bob, 42!
--b1
Content-Type: multipart/alternative;
 boundary=b2

--b2
Content-Type: text/html

<b>Zwölf</b>
--b2--
--b1--
`

func TestRedaction(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir, Redact: []string{"body", "subject", "addresses", "client"}})
	h, body := message(t, multipart)
	rec := record("A")
	rec.Client.Name = "mx7.example.org"
	rec.Decision = append(rec.Decision, "header - Subject: Secret 42", "header + Subject: [spam] Secret 42", "header + keywords: Secret",
		"header + X-Was: Secret 42", "header + X-Client: host.example.org host.example.org mx7.example.org [192.0.2.77]", "refused 550 5.7.1 192.0.2.77 is on the list")
	if err := b.Add(rec, h, body); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "A"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, hidden := range []string{"anna@", "bob@", "very odd", "Secret", " 42", "Hello", "Zw", "192.0.2.77", "host.example.org", "(mx7.", "c2VjcmV0"} {
		if bytes.Contains(raw, []byte(hidden)) {
			t.Errorf("%q is readable in\n%s", hidden, raw)
		}
	}
	for _, kept := range []string{"@example.org", "192.0.2.0", "Subject: Xxxxxx 00", "Received: from unknown ([192.0.2.0])\r\n\tby relay.test with ESMTP id A for <u",
		"Received: from inside.example.com ([198.51.100.9]) by mx7.example.org;", "header + X-Client: unknown unknown unknown [192.0.2.0]", "refused 550 5.7.1 192.0.2.0 is on the list",
		"header - Subject: Xxxxxx 00", "header + Subject: [xxxx] Xxxxxx 00", "--b1\r\nContent-Type: text/plain\r\n\r\nXxxxx Xxx, 00!", "boundary=b2", "--b2\r\nContent-Type: text/html", "<x>Xxxxxx</x>", "--b1--"} {
		if !bytes.Contains(raw, []byte(kept)) {
			t.Errorf("%q is gone from\n%s", kept, raw)
		}
	}
	m := all(t, dir)[0]
	from, _ := m.Header.Get("From")
	if !strings.Contains(from, m.Sender) {
		t.Errorf("the pseudonym of the sender is %s, and %s in the header", m.Sender, from)
	}
}

func TestClientWasReadableInOurReceivedField(t *testing.T) {
	for name, c := range map[string]struct{ addr, field, want string }{
		"IPv4":                   {"192.0.2.77:25", "Received: from h (n [192.0.2.77]) by us; date\n", "Received: from unknown ([192.0.2.0]) by us; date\r\n"},
		"IPv6":                   {"[2001:db8:1:2::3]:25", "Received: from h\n ([IPv6:2001:db8:1:2::3]) by us; date\n", "Received: from unknown ([IPv6:2001:db8:1::]) by us; date\r\n"},
		"submitted by a program": {"", "Received: by us; date\n", "Received: by us; date\r\n"},
	} {
		h, _ := message(t, c.field+"\nx\n")
		var client mail.Client
		if c.addr != "" {
			client.Addr = netip.MustParseAddrPort(c.addr)
		}
		if got := string(newRedactor([]string{RedactClient}, nil).header(h, &client)); got != c.want+"\r\n" {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestMaskedBodyKeepsItsLength(t *testing.T) {
	h, body := message(t, multipart)
	r := newRedactor([]string{RedactBody}, nil)
	got, err := io.ReadAll(r.body(h, body))
	if err != nil || int64(len(got)) != body.Size() {
		t.Errorf("%d octets of %d, %v", len(got), body.Size(), err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("{}\nSubject: x\r\n\r\nbody"))
	f.Add([]byte(`{"id":"A","client":{"Addr":"1.2.3.4:5"}}` + "\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := decode(raw)
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(raw, []byte{'\n'})
		if !bytes.HasSuffix(rest, m.Body) || len(m.Header.AppendTo(nil))+len(m.Body) < len(rest) {
			t.Errorf("content %q became %q and %q", rest, m.Header.AppendTo(nil), m.Body)
		}
	})
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/x; boundary=c\r\n\r\n--c\r\n\r\nabc\r\n--b--\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		br := bufio.NewReader(bytes.NewReader(raw))
		h, err := mail.ReadHeader(br, 1<<20)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(br)
		got, err := io.ReadAll(newRedactor([]string{RedactBody}, nil).body(&h, mail.BytesBody(body)))
		if err != nil || len(got) != len(body) {
			t.Errorf("%d octets became %d, %v", len(body), len(got), err)
		}
	})
}
