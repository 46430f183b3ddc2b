// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func tree(t testing.TB, raw string) *Parts {
	t.Helper()
	p, err := parse(mail.BytesBody(raw))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(raw mail.BytesBody) (*Parts, error) {
	h := mail.ParseHeader(raw)
	content := int64(0)
	for _, f := range h.Fields() {
		content += int64(len(f.Raw))
	}
	content += int64(len(raw[content:]) - len(bytes.TrimPrefix(bytes.TrimPrefix(raw[content:], []byte("\r")), []byte("\n"))))
	f := &fixture{}
	return parseParts(&h, raw, content, spool{newBody: func() BodyWriter { return &memBody{live: &f.live} }, room: 1 << 20})
}

func list(p *Parts) string {
	var b strings.Builder
	for i := 0; i < p.Len(); i++ {
		q, _ := p.Part(i)
		size, err := p.Size(i)
		if err != nil {
			return err.Error()
		}
		fmt.Fprintf(&b, "%d<%d %s", i, q.Parent, q.Type)
		if q.Filename != "" {
			fmt.Fprintf(&b, " %q", q.Filename)
		}
		if q.Leaf {
			fmt.Fprintf(&b, " %d", size)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func crlfs(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestPartTree(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"plain", "Subject: x\n\nhello\n", "0<-1 text/plain 7\n"},
		{"empty", "", "0<-1 text/plain 0\n"},
		{"mixed with attachment", `Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/plain

hi
--b
Content-Type: application/octet-stream; name="a.exe"
Content-Disposition: attachment; filename="=?utf-8?q?b=C3=BC.exe?="
Content-Transfer-Encoding: base64

aGVsbG8=
--b--
`, "0<-1 multipart/mixed\n1<0 text/plain 2\n2<0 application/octet-stream \"bü.exe\" 5\n"},
		{"nested message", `Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/rfc822

Content-Type: application/x-msdownload; name*=utf-8''evil%2Eexe

x
--b--
`, "0<-1 multipart/mixed\n1<0 message/rfc822 68\n2<1 application/x-msdownload \"evil.exe\" 1\n"},
		{"malformed parameters still give the name", "Content-Type: application/zip; name=\"a.zip\"; ; x=\x00=\n\nx\n", "0<-1 application/zip \"a.zip\" 3\n"},
		{"unknown charset", "Content-Type: text/plain; charset=nonsense\n\nx\n", "0<-1 text/plain 3\n"},
		{"unknown encoding", "Content-Transfer-Encoding: rot13\n\nx\n", "0<-1 text/plain 3\n"},
		{"folders in names", "Content-Type: a/b; name=\"..\\\\..\\\\c.exe\"\n\nx\n", "0<-1 a/b \"c.exe\" 3\n"},
		{"the same boundary twice is the outer one's", `Content-Type: multipart/mixed; boundary=b

--b
Content-Type: multipart/alternative; boundary=b

--b

x
--b--
--b
y
`, "0<-1 multipart/mixed\n1<0 multipart/alternative\n2<0 text/plain 1\n"},
		{"a boundary that looks like the end of another", `Content-Type: multipart/mixed; boundary=b--

--b--
Content-Type: multipart/alternative; boundary=b

--b

x
--b--

y
--b----
`, "0<-1 multipart/mixed\n1<0 multipart/alternative\n2<1 text/plain 1\n3<0 text/plain 1\n"},
		{"space behind a delimiter", "Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\nx\n--b-- \n", "0<-1 multipart/mixed\n1<0 text/plain 1\n"},
		{"no boundary at all", "Content-Type: multipart/mixed\n\nx\n", "0<-1 multipart/mixed 3\n"},
		{"boundary never comes", "Content-Type: multipart/mixed; boundary=b\n\nx\n", "0<-1 multipart/mixed\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := list(tree(t, crlfs(c.raw))); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestPartTreeIsBounded(t *testing.T) {
	var deep strings.Builder
	for i := 0; i < 200; i++ {
		fmt.Fprintf(&deep, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	p := tree(t, deep.String())
	last, _ := p.Part(p.Len() - 1)
	if last.Depth > maxPartDepth {
		t.Errorf("depth %d", last.Depth)
	}
	wide := "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 5000)
	if n := tree(t, wide).Len(); n != maxParts {
		t.Errorf("%d parts, want %d", n, maxParts)
	}
}

func TestPartDigest(t *testing.T) {
	p := tree(t, crlfs("Content-Transfer-Encoding: base64\n\naGVsbG8=\n"))
	got, err := p.SHA256(0)
	if want := sha256.Sum256([]byte("hello")); got != want || err != nil {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := p.SHA256(1); err == nil {
		t.Error("no error for a part that is not there")
	}
}

func TestAFaultOfTheDiskIsNotAFaultOfTheMessage(t *testing.T) {
	bad := errors.New("I/O error")
	const head = "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	h := mail.ParseHeader([]byte(head))
	_, err := parseParts(&h, &whole{[]byte(head), badBody{bad}}, int64(len(head)), spool{})
	if !errors.Is(err, bad) || !errors.Is(err, abi.ErrIO) {
		t.Errorf("got %v", err)
	}
}

type badBody struct{ err error }

func (b badBody) ReadAt([]byte, int64) (int, error) { return 0, b.err }
func (b badBody) Size() int64                       { return 100 }
