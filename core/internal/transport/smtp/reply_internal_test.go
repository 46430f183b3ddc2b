// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// fixedConn gives what it holds in reads of at most step octets.
type fixedConn struct {
	net.Conn
	r    *bytes.Reader
	step int
}

func (c fixedConn) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.step)]) }

func (c fixedConn) SetReadDeadline(time.Time) error { return nil }

// readAll reads all replies in b.
func readAll(b string, step int) (lines []string, err error) {
	w := newWire(fixedConn{r: bytes.NewReader([]byte(b)), step: step}, &Timeouts{})
	for {
		r, err := w.read(time.Minute)
		if err != nil {
			return lines, err
		}
		lines = append(lines, r.mailLine())
	}
}

func TestReply(t *testing.T) {
	for in, want := range map[string]struct {
		line string
		err  error
	}{
		"250 ok\r\n":       {"250 ok", io.EOF},
		"250\r\n":          {"250 ", io.EOF},
		"250 \n":           {"250 ", io.EOF},
		"250-a\r\n250 b\n": {"250 a b", io.EOF},
		"550-5.1.1 no such\r\n550-5.1.1\r\n550 5.1.1 user\r\n": {"550 5.1.1 no such user", io.EOF},
		"550 5.1.1234 x\r\n":                  {"550 5.1.1234 x", io.EOF},
		"550 4.1.1 class differs\r\n":         {"550 4.1.1 class differs", io.EOF},
		"250 2.1.5\r\n":                       {"250 2.1.5 ", io.EOF},
		"250 \x1b[31mred\x00\u2028\xff ü\r\n": {"250 ?[31mred??? ü", io.EOF},
		"250 a\rb\r\n":                        {"250 a?b", io.EOF},
		"250-a\r\n550 b\r\n":                  {"550 a b", io.EOF},
		"25\r\n":                              {"", errReplySyntax},
		"150 x\r\n":                           {"", errReplySyntax},
		"650 x\r\n":                           {"", errReplySyntax},
		"250_x\r\n":                           {"", errReplySyntax},
		"\r\n":                                {"", errReplySyntax},
		strings.Repeat("250-x\r\n", 200):      {"", errReplySize},
		"250 " + strings.Repeat("x", 3000) + "\n": {"", errReplySize},
		"250 never ends": {"", io.EOF},
	} {
		for _, step := range []int{1, 7, 4096} {
			got, err := readAll(in, step)
			if strings.Join(got, "|") != want.line || !errors.Is(err, want.err) {
				t.Errorf("%.40q: got %q %v, want %q %v", in, got, err, want.line, want.err)
			}
		}
	}
}

func TestReplyTextIsBounded(t *testing.T) {
	for _, text := range []string{"x", "\xff", "ü"} {
		got, _ := readAll(strings.Repeat("250-"+strings.Repeat(text, 500)+"\r\n", 20)+"250 end\r\n", 4096)
		if len(got) != 1 || len(got[0]) > 4+maxReplyText || !utf8.ValidString(got[0]) {
			t.Errorf("%q: %d octets", text, len(got[0]))
		}
	}
}

func FuzzReply(f *testing.F) {
	f.Add("250-mx.test\r\n250-SIZE 10\r\n250 2.1.0 ok\r\n", 5)
	f.Add("550 5.1.1 no\n421", 1)
	f.Fuzz(func(t *testing.T, in string, step int) {
		step = max(1, step&0xfff)
		got, err := readAll(in, step)
		whole, wholeErr := readAll(in, inSize)
		if strings.Join(got, "|") != strings.Join(whole, "|") || err == nil || (err == io.EOF) != (wholeErr == io.EOF) {
			t.Fatalf("in pieces of %d: %q %v, at once: %q %v", step, got, err, whole, wholeErr)
		}
		for _, line := range got {
			if len(line) > 20+maxReplyText || strings.ContainsAny(line, "\r\n\x00") || !utf8.ValidString(line) || line[0] < '2' || line[0] > '5' {
				t.Fatalf("reply %q", line)
			}
		}
		var e extensions
		for line := range strings.Lines(in) {
			e.note([]byte(line))
		}
	})
}

func BenchmarkReply(b *testing.B) {
	in := []byte(strings.Repeat("250 2.1.0 Ok\r\n", 4096))
	r := bytes.NewReader(in)
	w := newWire(fixedConn{r: r, step: 4096}, &Timeouts{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.read(time.Minute); err != nil {
			r.Reset(in)
			w.r, w.w = 0, 0
		}
	}
}
