// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

func tree(t testing.TB, raw string) *Parts {
	t.Helper()
	h := mail.ParseHeader([]byte(raw))
	p, err := parseParts(&h, func() io.Reader { return strings.NewReader(raw) })
	if err != nil {
		t.Fatal(err)
	}
	return p
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
	_, err := parseParts(&h, func() io.Reader { return io.MultiReader(strings.NewReader(head+"--b\r\n"), iotestErr{bad}) })
	if !errors.Is(err, bad) {
		t.Errorf("got %v", err)
	}
}

type iotestErr struct{ err error }

func (r iotestErr) Read([]byte) (int, error) { return 0, r.err }

func FuzzParts(f *testing.F) {
	f.Add("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n")
	f.Add("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n")
	f.Fuzz(func(t *testing.T, raw string) {
		p := tree(t, raw)
		for i := 0; i < p.Len(); i++ {
			q, _ := p.Part(i)
			if q.Parent >= i || q.Depth > maxPartDepth || strings.ContainsAny(q.Filename, "\r\n/\\") {
				t.Errorf("part %d: %+v", i, q)
			}
		}
		if _, err := p.SHA256(p.Len() - 1); err != nil {
			t.Error(err)
		}
	})
}
