// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// pieces cuts p into segments of n octets.
func pieces(p []byte, n int) (segments [][]byte) {
	for n = max(n, 1); len(p) > 0; p = p[min(n, len(p)):] {
		segments = append(segments, bytes.Clone(p[:min(n, len(p))]))
	}
	return segments
}

// over returns a session whose peer has sent p in segments of n octets.
func over(p []byte, n int, l Limits) *session {
	s := NewServer(Options{Backend: &backend{}, Limits: l})
	return newSession(s, &script{segments: pieces(p, n)})
}

// naiveLine reads a command line one octet at a time. ok is false when there
// is a fault before the line's end, or no end.
func naiveLine(p []byte, limit int) (line string, rest int, ok bool) {
	for i, c := range p {
		switch {
		case i >= limit:
			return "", 0, false
		case c == '\n' && (i == 0 || p[i-1] != '\r'):
			return "", 0, false
		case c == '\n':
			return string(p[:i-1]), i + 1, true
		case i > 0 && p[i-1] == '\r':
			return "", 0, false
		}
	}
	return "", 0, false
}

func FuzzLine(f *testing.F) {
	for _, s := range []string{"", "NOOP\r\n", "NOOP\n", "NO\rOP\r\n", "A\r\r\n", "A\r\nB\r\n\n", strings.Repeat("x", 510) + "\r\n", strings.Repeat("x", 511) + "\r\n"} {
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		s := over(p, n, Limits{CommandLine: 512})
		for rest := p; ; {
			want, used, ok := naiveLine(rest, 512)
			got, err := s.readLine()
			if (err == nil) != ok || got != want {
				t.Fatalf("%q: got %q, %v; want %q, %v", rest, got, err, want, ok)
			}
			if !ok {
				return
			}
			rest = rest[used:]
		}
	})
}

// naiveData is what DATA should give for p: the content, where it ends, and
// whether it is sound.
func naiveData(p []byte, line, size int) (content []byte, end int, sound bool) {
	sound = true
	bol, length := true, 0
	for i := 0; i < len(p); i++ {
		if bol && bytes.HasPrefix(p[i:], []byte(".\r\n")) {
			return content, i + 3, sound && len(content) <= size
		}
		wasBol := bol
		bol = false
		switch {
		case wasBol && p[i] == '.':
			continue
		case p[i] == '\r' && i+1 < len(p) && p[i+1] == '\n':
		case p[i] == '\n' && i > 0 && p[i-1] == '\r':
			bol, length = true, 0
		case p[i] == '\r', p[i] == '\n':
			sound = false
		default:
			length++
		}
		if length > line {
			sound = false
		}
		content = append(content, p[i])
	}
	return content, -1, false
}

func FuzzData(f *testing.F) {
	for _, s := range []string{".\r\n", "x\r\n.\r\nNOOP\r\n", "..\r\n.\r\n", ".\r\r\n.\r\n", "a\n.\r\n\r\n.\r\n", "\r\n\r.\r\n.\r\n", "x\r", strings.Repeat("x", 21) + "\r\n.\r\n", ".x\r\n..\r\n.\r\n.\r\n"} {
		f.Add([]byte(s), 2, true)
		f.Add([]byte(s), 1000, false)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int, copies bool) {
		s := over(p, n, Limits{LineLength: 20, MessageSize: 60})
		m := s.message()
		got, err := readAll(m, copies)
		content, end, sound := naiveData(p, 20, 60)
		if (err == nil) != sound || sound && !bytes.Equal(got, content) {
			t.Fatalf("%q: got %q, %v; want %q, %v", p, got, err, content, sound)
		}
		var bad *refusal
		if errors.As(err, &bad) {
			err = m.framer.skip()
		}
		if (err == nil) != (end >= 0) {
			t.Fatalf("%q: end %d, got %v", p, end, err)
		}
		if rest, _ := io.ReadAll(s.raw); end >= 0 && string(s.unread())+string(rest) != string(p[end:]) {
			t.Fatalf("%q: left %q", p, p[end:])
		}
	})
}

// readAll reads r by Read, or by WriteTo.
func readAll(m *message, copies bool) ([]byte, error) {
	if copies {
		return io.ReadAll(m)
	}
	var b bytes.Buffer
	n, err := m.WriteTo(&b)
	if n != int64(b.Len()) {
		return nil, errors.New("WriteTo counts wrongly")
	}
	return b.Bytes(), err
}

func FuzzLineCheck(f *testing.F) {
	for _, s := range []string{"", "a\r\nb", "\r", "\n", "a\r\r\n", "\r\n\r\n", strings.Repeat("x", 21), strings.Repeat("x", 20) + "\r\n"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		c := lineCheck{limit: 20}
		ok := true
		for _, piece := range pieces(p, n) {
			ok = ok && c.next(piece) == nil
		}
		ok = ok && c.end() == nil
		lines := strings.Split(string(p), "\r\n")
		want := true
		for _, l := range lines {
			want = want && len(l) <= 20 && !strings.ContainsAny(l, "\r\n")
		}
		if ok != want {
			t.Fatalf("%q in pieces of %d: got %v, want %v", p, n, ok, want)
		}
	})
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"FROM:<>", "FROM:<a@b.c> SIZE=1", `FROM:<"a>\" b"@c.d>`, "FROM:<@a,@[IPv6:::1]:b@c.d>", "TO:<postmaster>", "TO:<ä@b.c>", "FROM:<a@b> SMTPUTF8 BODY=8bitmime SIZE=00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		o := Options{Hostname: "mx.example.org"}.withDefaults()
		if c, bad := parseMail(arg, offered(&o, false)); bad == nil {
			checkAddress(t, arg, c.from, c.params.SMTPUTF8, true)
			if c.params.Size < 0 || c.params.Size > o.Limits.MessageSize {
				t.Fatalf("%q: size %d", arg, c.params.Size)
			}
		} else if text := wireText(bad.reply); strings.Count(text, "\n") != 1 || bad.reply.Code/100 != 5 {
			t.Fatalf("%q: reply %q", arg, text)
		}
		for _, utf8 := range []bool{false, true} {
			if c, bad := parseRcpt(arg, utf8, offered(&o, false), o.Hostname); bad == nil {
				checkAddress(t, arg, c.to, utf8, false)
			}
		}
	})
}

// FuzzWishes reads parameters of DSN: what is taken is in bounds and harmless in
// a header, and a refusal is one line of 5xx.
func FuzzWishes(f *testing.F) {
	for _, s := range []string{"NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@x.test", "RET=FULL ENVID=QQ+20314", `ORCPT=utf-8;\x{FC}@x.test`, "NOTIFY=NEVER NOTIFY=NEVER", "ret=hdrs envid=", "ORCPT=utf-8;ü"} {
		f.Add(s)
	}
	o := Options{Hostname: "mx.example.org"}.withDefaults()
	all := offered(&o, false)
	f.Fuzz(func(t *testing.T, params string) {
		m, bad := parseMail("FROM:<a@x.test> "+params, all)
		if bad == nil && (len(m.params.EnvelopeID) > mail.MaxEnvelopeID || !clean(m.params.EnvelopeID)) {
			t.Errorf("%q: ENVID %q", params, m.params.EnvelopeID)
		}
		for _, utf8 := range []bool{false, true} {
			c, bad := parseRcpt("TO:<b@x.test> "+params, utf8, all, o.Hostname)
			if bad != nil && (bad.reply.Code/100 != 5 || strings.Count(wireText(bad.reply), "\n") != 1) {
				t.Errorf("%q: %v", params, bad.reply)
			}
			if p := &c.params; bad == nil && (len(p.ORCPT) > mail.MaxORCPT || !clean(p.ORCPT) || !p.Notify.Valid()) {
				t.Errorf("%q: ORCPT %q, NOTIFY %v", params, p.ORCPT, p.Notify)
			}
		}
	})
}

func checkAddress(t *testing.T, arg string, a mail.Address, utf8, null bool) {
	t.Helper()
	if null && a.IsNull() {
		return
	}
	if _, err := mail.ParseAddress(string(a), utf8); err != nil || !clean(string(a)) || !utf8 && !a.ASCII() {
		t.Fatalf("%q gave %q: %v", arg, a, err)
	}
}

// FuzzOffer edits the EHLO list in any way: the reply must stay one, and what
// the server does not have must not come on it.
func FuzzOffer(f *testing.F) {
	for _, s := range []string{"", "PIPELINING", "SIZE 5\nXTRA a b", "STARTTLS\nCHUNKING", "-", "x\r", "A  ", "SIZE", "size 99999999999999999999", "8bitmime"} {
		f.Add(s)
	}
	o := Options{Hostname: "mx.example.org", Withhold: []string{"CHUNKING"}}.withDefaults()
	all := offered(&o, false)
	f.Fuzz(func(t *testing.T, list string) {
		e, err := all.edited("mx.example.org", strings.Split(list, "\n"))
		if err != nil {
			return
		}
		if e.has("CHUNKING") || e.has("STARTTLS") || e.size < 1 || e.size > all.size {
			t.Fatalf("%q: offers %q, %d octets", list, e.list, e.size)
		}
		lines := strings.Split(strings.TrimSuffix(e.text, "\r\n"), "\r\n")
		for i, l := range lines {
			if want := map[bool]string{true: "250 ", false: "250-"}[i == len(lines)-1]; !strings.HasPrefix(l, want) || !clean(l) || len(l) > maxReplyLine-2 {
				t.Fatalf("%q: line %q", list, l)
			}
		}
	})
}

// FuzzSession throws anything at a session: it must end, close what it opened,
// and take no message but a sound one. mode says what the backend refuses.
func FuzzSession(f *testing.F) {
	f.Add([]byte(open+"DATA\r\nx\r\n.\r\nQUIT\r\n"), 9, uint8(0))
	f.Add([]byte(open+"BDAT 3\r\nx\r\nBDAT 0 LAST\r\nRSET\r\n"+open+"BDAT 1\r\n\r"), 1, uint8(1))
	f.Add([]byte("EHLO x\r\nSTARTTLS\r\nMAIL FROM:<datapanic@x>\r\nRCPT TO:<b@c>\r\nDATA\r\n"), 100, uint8(2))
	f.Add([]byte("EHLO x\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<b@c>\r\nDATA\r\nBDAT 6 LAST\r\n\r\n\n.\r\x00QUIT\r\n"), 100, uint8(0))
	f.Add([]byte("EHLO x\r\nBDAT 1\r\n\rNOOP\r\nQUIT\r\n"), 100, uint8(4))
	f.Fuzz(func(t *testing.T, p []byte, n int, mode uint8) {
		b := moody(mode)
		out := run(t, Options{Backend: b}, asStrings(pieces(p, n))...)
		if b.mails != b.closes || b.datas > b.mails {
			t.Fatalf("%d Mail, %d Data, %d Close", b.mails, b.datas, b.closes)
		}
		if want := 1 - int(mode>>2&1); b.opens != want || b.lefts != want {
			t.Fatalf("%d sessions, %d Close, want %d", b.opens, b.lefts, want)
		}
		if len(b.messages) > b.readies-b.unready {
			t.Fatalf("%d messages, %d Ready of which %d refused", len(b.messages), b.readies, b.unready)
		}
		if out != "" && (strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n\x00") || !strings.HasSuffix(out, "\r\n")) {
			t.Fatalf("reply %q", out)
		}
		for i, body := range b.bodies() {
			c := lineCheck{limit: 1 << 20, binary: b.messages[i].params.Binary}
			if c.next([]byte(body)) != nil || c.end() != nil {
				t.Fatalf("accepted %q", body)
			}
		}
	})
}

// moody is a backend that refuses every other Ready (bit 0), takes things off
// the EHLO list (bit 1) or refuses the connection (bit 2).
func moody(mode uint8) *backend {
	b := &backend{}
	b.onReady = func() *mail.Reply {
		if b.readies++; mode&1 == 0 || b.readies%2 == 0 {
			return nil
		}
		b.unready++
		return mail.NewReply(450, mail.Enhanced{4, 7, 1}, "not now")
	}
	if mode&2 != 0 {
		b.prepare("helo -CHUNKING -SMTPUTF8 -SIZE")
	}
	if mode&4 != 0 {
		b.prepare("open 550 5.7.1 no")
	}
	return b
}

func asStrings(p [][]byte) (s []string) {
	for _, b := range p {
		s = append(s, string(b))
	}
	return s
}
