// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"testing"
)

// reference says octet by octet what stuffer does in bulk.
func reference(content []byte) []byte {
	var out []byte
	start := true
	for i := 0; i < len(content); i++ {
		c := content[i]
		switch {
		case c == '\r' && i+1 < len(content) && content[i+1] == '\n':
			continue
		case c == '\r' && i+1 == len(content):
			out, start = append(out, '\r', '\n'), true
			continue
		case c == '\r':
			c = ' '
		case c == '\n':
			out, start = append(out, '\r', '\n'), true
			continue
		case c == '.' && start:
			out = append(out, '.')
		}
		out, start = append(out, c), false
	}
	if !start {
		out = append(out, '\r', '\n')
	}
	return out
}

// unstuff is what a host does with what we send (RFC 5321 §4.5.2).
func unstuff(t *testing.T, wire []byte) []byte {
	var out []byte
	for len(wire) > 0 {
		line, rest, ok := bytes.Cut(wire, []byte("\r\n"))
		if !ok || bytes.ContainsAny(line, "\r\n") || string(line) == "." {
			t.Fatalf("line %q in what we send", line)
		}
		out = append(append(out, bytes.TrimPrefix(line, []byte("."))...), '\r', '\n')
		wire = rest
	}
	return out
}

func stuffIn(content []byte, piece int) []byte {
	var s stuffer
	var out []byte
	for len(content) > 0 {
		n := min(len(content), piece)
		out = s.append(out, content[:n])
		content = content[n:]
	}
	return s.end(out)
}

func TestStuff(t *testing.T) {
	for content, want := range map[string]string{
		"":                        "",
		"a\r\n":                   "a\r\n",
		"a":                       "a\r\n",
		".\r\n":                   "..\r\n",
		"a\r\n.\r\n.b\r\n":        "a\r\n..\r\n..b\r\n",
		"a\n.\nb\n":               "a\r\n..\r\nb\r\n",
		"a\r.\r\n":                "a .\r\n",
		"a\r\r\n.\r\r\n":          "a \r\n.. \r\n",
		"a\r\n.\r":                "a\r\n..\r\n",
		"\r":                      "\r\n",
		"\n\r.\n":                 "\r\n .\r\n",
		"Subject: x\rFrom: y\r\n": "Subject: x From: y\r\n",
	} {
		for piece := 1; piece <= len(content)+1; piece++ {
			if got := stuffIn([]byte(content), piece); string(got) != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", content, piece, got, want)
			}
		}
	}
}

func FuzzStuff(f *testing.F) {
	f.Add([]byte("a\r\n.b\n.\r\r\n."), 1)
	f.Add([]byte("..\r\n\r.\n\n.\r"), 3)
	f.Fuzz(func(t *testing.T, content []byte, piece int) {
		piece = max(1, piece&0xff)
		got, want := stuffIn(content, piece), reference(content)
		if !bytes.Equal(got, want) {
			t.Fatalf("%q in pieces of %d: got %q, want %q", content, piece, got, want)
		}
		if clean := reference(content); len(got) > 2*len(content)+2 || len(clean) == 0 != (len(content) == 0) {
			t.Fatalf("%q became %q", content, got)
		}
		back := unstuff(t, got)
		if bytes.HasSuffix(content, []byte("\r\n")) && !hasBare(content) && !bytes.Equal(back, content) {
			t.Fatalf("%q came back as %q", content, back)
		}
	})
}

func hasBare(b []byte) bool {
	rest := bytes.ReplaceAll(b, []byte("\r\n"), nil)
	return bytes.ContainsAny(rest, "\r\n")
}

func BenchmarkStuff(b *testing.B) {
	content := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, again and again and again.\r\n"), 220)
	out := make([]byte, 0, 2*len(content))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		var s stuffer
		out = s.end(s.append(out[:0], content))
	}
}
