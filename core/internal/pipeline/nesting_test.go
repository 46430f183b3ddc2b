// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// follow feeds a message to a Nesting in pieces of n octets.
func follow(raw []byte, n int, l MIMELimits) (*Nesting, error) {
	h := mail.ParseHeader(raw)
	nest := NewNesting(&h, l)
	for _, f := range h.Fields() {
		raw = raw[len(f.Raw):]
	}
	body := bytes.Clone(bytes.TrimPrefix(bytes.TrimPrefix(raw, []byte("\r")), []byte("\n")))
	for n = max(n, 1); len(body) > 0; body = body[min(n, len(body)):] {
		if _, err := nest.Write(body[:min(n, len(body))]); err != nil {
			return nest, err
		}
	}
	return nest, nil
}

// levels are so many multiparts in each other, the last with a text in it.
func levels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + "\r\nhello\r\n"
}

// parcels are so many messages in each other.
func parcels(n int) string {
	return strings.Repeat("Content-Type: message/rfc822\r\n\r\n", n) + "\r\nhello\r\n"
}

// wide is a message of so many parts with itself.
func wide(n int) string {
	return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", n-1) + "--b--\r\n"
}

func TestNesting(t *testing.T) {
	base64 := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	for name, c := range map[string]struct {
		raw  string
		want string // error; empty: none
	}{
		"no message":                {"", ""},
		"text":                      {"Subject: x\r\n\r\n--b\r\n\r\n--b\r\n", ""},
		"as deep as may be":         {levels(4), ""},
		"too deep":                  {levels(5), "MIME structure: more than 4 levels"},
		"far too deep":              {levels(10_000), "MIME structure: more than 4 levels"},
		"messages in each other":    {parcels(4), ""},
		"too many in each other":    {parcels(5), "MIME structure: more than 4 levels"},
		"as wide as may be":         {wide(6), ""},
		"too wide":                  {wide(7), "MIME structure: more than 6 parts"},
		"far too wide":              {wide(100_000), "MIME structure: more than 6 parts"},
		"wide behind the end":       {wide(6) + strings.Repeat("--b\r\n\r\n", 10), ""},
		"wide by bare LF":           {strings.ReplaceAll(wide(7), "\r\n", "\n"), "MIME structure: more than 6 parts"},
		"delimiters of nobody":      {wide(6)[:60] + strings.Repeat("--c\r\n--\r\n-\r\n--b-\r\n --b\r\n", 10), ""},
		"delimiters within a line":  {base64 + strings.Repeat("x--b", 50_000) + "\r\n", ""},
		"long lines like delimiter": {base64 + strings.Repeat("--"+strings.Repeat("b", 40_000)+"\r\n", 10), ""},
		"a header without end":      {base64[:60] + "\r\n--b\r\n" + strings.Repeat("X: y\r\n", 100_000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1, 7, 16 << 10, 1 << 20} {
				_, err := follow([]byte(c.raw), n, MIMELimits{Depth: 4, Parts: 6})
				if got := fmt.Sprint(err); err != nil && !errors.Is(err, ErrNesting) || got != c.want && (err != nil || c.want != "") {
					t.Fatalf("in pieces of %d: got %v, want %q", n, err, c.want)
				}
			}
		})
	}
}

// A message of many small parts, one behind the other, costs no memory for those
// that are over.
func TestNestingForgetsWhatIsOver(t *testing.T) {
	n, err := follow([]byte(wide(maxParts)), 100, MIMELimits{maxPartDepth, maxParts})
	if err != nil || n.scan.only.parts != maxParts || len(n.scan.p.list) > 2 {
		t.Errorf("%v: %d parts counted, %d held", err, n.scan.only.parts, len(n.scan.p.list))
	}
}

// What is refused is what filters would not see, and nothing else.
func TestNestingEndsWhereFiltersBecomeBlind(t *testing.T) {
	most := MIMELimits{1 << 20, 1 << 20}
	for name, c := range map[string]struct {
		raw     string
		refused bool
	}{
		"deep": {levels(maxPartDepth), false}, "deeper": {levels(maxPartDepth + 1), true},
		"wide": {wide(maxParts), false}, "wider": {wide(maxParts + 1), true},
	} {
		if _, err := follow([]byte(c.raw), 1000, most); (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := tree(t, levels(maxPartDepth))
	if last, _ := p.Part(p.Len() - 1); last.Depth != maxPartDepth || last.Type != "text/plain" {
		t.Errorf("filters see %+v", last)
	}
}

// In whatever pieces a message comes, as many parts are counted as filters are shown.
func FuzzNesting(f *testing.F) {
	for _, s := range []string{"", "Subject: x\r\n\r\ny", levels(3), parcels(3), wide(4), levels(2) + "--b0\r\n\r\n--b1--\r\n--b0--\r\n",
		"Content-Type: multipart/digest; boundary=\"b --\"\r\n\r\n--b --\n\nSubject: x\n\ny\n--b ----\n",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n-\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n--b\r\n\r\n--b-- \r\n--b"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 1000)
	}
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		p, err := parse(raw)
		if err != nil {
			return
		}
		nest, err := follow(raw, n, MIMELimits{maxPartDepth, maxParts})
		if err != nil {
			return
		}
		if len(nest.line) > 0 && nest.watching() {
			nest.scan.line(nest.line, nest.fresh)
		}
		nest.scan.end(0)
		if got, want := nest.scan.only.parts, ofTheMessage(p); got != want && nest.scan.err == nil {
			t.Fatalf("%q: %d parts, filters see %d", raw, got, want)
		}
	})
}

// ofTheMessage counts the parts that do not stand in something encoded.
func ofTheMessage(p *Parts) (n int) {
	for i := range p.list {
		if p.list[i].src == 0 {
			n++
		}
	}
	return n
}

func BenchmarkNesting(b *testing.B) {
	h := mail.ParseHeader([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n"))
	line := strings.Repeat("QUJD", 19) + "\r\n"
	body := []byte("--b\r\n\r\n" + strings.Repeat(line, 64<<10) + "--b--\r\n")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := NewNesting(&h, MIMELimits{maxPartDepth, maxParts}).Write(body); err != nil {
			b.Fatal(err)
		}
	}
}
