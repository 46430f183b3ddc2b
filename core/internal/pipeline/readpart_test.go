// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// readAll reads a view of a part as stages do, in small pieces.
func readAll(p *Parts, i, view int) (string, error) {
	r, err := p.view(i, view)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
	return string(b), err
}

// views prints what each view of each part has.
func views(p *Parts) string {
	var b strings.Builder
	for i := range p.Len() {
		for view, name := range []string{"raw", "decoded", "text"} {
			text, err := readAll(p, i, view)
			if err != nil {
				text = err.Error()
			}
			fmt.Fprintf(&b, "%d %s %q\n", i, name, text)
		}
	}
	return b.String()
}

func TestViewsOfParts(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"plain", "Subject: x\n\nhello\n", `
0 raw "Subject: x\r\n\r\nhello\r\n"
0 decoded "hello\r\n"
0 text "hello\r\n"
`},
		{"no body", "Subject: x\n", `
0 raw "Subject: x\r\n"
0 decoded ""
0 text ""
`},
		{"mixed", `Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

gr=FC=DFe=
n
--b
Content-Type: image/png
Content-Transfer-Encoding: base64

aGVsbG8=
--b--
epilogue
`, `
0 raw "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=FC=DFe=\r\nn\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b--\r\nepilogue\r\n"
0 decoded ""
0 text "not supported"
1 raw "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=FC=DFe=\r\nn"
1 decoded "gr\xfc\xdfen"
1 text "grüßen"
2 raw "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8="
2 decoded "hello"
2 text "not supported"
`},
		{"an outer delimiter ends an inner multipart", `Content-Type: multipart/mixed; boundary=a

--a
Content-Type: multipart/alternative; boundary=b

--b

x
--a

y
`, `
0 raw "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--a\r\n\r\ny\r\n"
0 decoded ""
0 text "not supported"
1 raw "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nx"
1 decoded ""
1 text "not supported"
2 raw "\r\nx"
2 decoded "x"
2 text "x"
3 raw "\r\ny\r\n"
3 decoded "y\r\n"
3 text "y\r\n"
`},
		{"an encoded message is looked into", `Content-Type: message/rfc822
Content-Transfer-Encoding: base64

U3ViamVjdDogeAoKaGlkZGVu
`, `
0 raw "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeAoKaGlkZGVu\r\n"
0 decoded "Subject: x\n\nhidden"
0 text "not supported"
1 raw "Subject: x\n\nhidden"
1 decoded "hidden"
1 text "hidden"
`},
		{"parts of a digest are messages", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\nhi\n--b--\n", `
0 raw "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nhi\r\n--b--\r\n"
0 decoded ""
0 text "not supported"
1 raw "\r\nSubject: x\r\n\r\nhi"
1 decoded "Subject: x\r\n\r\nhi"
1 text "not supported"
2 raw "Subject: x\r\n\r\nhi"
2 decoded "hi"
2 text "hi"
`},
		{"empty parts", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\nX: y\n--b--\n", `
0 raw "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b\r\n\r\n--b\r\nX: y\r\n--b--\r\n"
0 decoded ""
0 text "not supported"
1 raw ""
1 decoded ""
1 text ""
2 raw "\r\n"
2 decoded ""
2 text ""
3 raw "X: y"
3 decoded ""
3 text ""
`},
		{"charsets", `Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html; charset=no-such-charset

<p>` + "\xff" + `</p>
--b
Content-Type: text/plain; charset=utf-16le
Content-Transfer-Encoding: base64

aABpAA==
--b--
`, `
0 raw "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html; charset=no-such-charset\r\n\r\n<p>\xff</p>\r\n--b\r\nContent-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\naABpAA==\r\n--b--\r\n"
0 decoded ""
0 text "not supported"
1 raw "Content-Type: text/html; charset=no-such-charset\r\n\r\n<p>\xff</p>"
1 decoded "<p>\xff</p>"
1 text "<p>�</p>"
2 raw "Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\naABpAA=="
2 decoded "h\x00i\x00"
2 text "hi"
`},
		{"an encoding that breaks off ends the part", "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8h!!!!aGVs\n", `
0 raw "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8h!!!!aGVs\r\n"
0 decoded "hello!"
0 text "hello!"
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := tree(t, crlfs(c.raw))
			if got := "\n" + views(p); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

// A delimiter line may lie across the buffer in which lines are read.
func TestALongLineHidesNoDelimiter(t *testing.T) {
	for n := 16<<10 - 4; n < 16<<10+4; n++ {
		raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("x", n) + "\r\n--b\r\n\r\ny\r\n--b--\r\n"
		p := tree(t, raw)
		first, _ := readAll(p, 1, abi.PartDecoded)
		second, _ := readAll(p, 2, abi.PartDecoded)
		if p.Len() != 3 || len(first) != n || second != "y" {
			t.Errorf("%d octets: %d parts of %d and %d octets", n, p.Len(), len(first), len(second))
		}
	}
}

// Messages in messages, each in an encoding, cost a few times the message and
// no more.
func TestDecodingIsBounded(t *testing.T) {
	raw := "Subject: x\r\n\r\n" + strings.Repeat("a\r\n", 10_000)
	for range 40 {
		raw = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.ReplaceAll(raw, "=", "=3D")
	}
	p := tree(t, raw)
	if p.Len() > maxNested+2 {
		t.Errorf("%d parts", p.Len())
	}
	if p.spool.room < 0 {
		t.Errorf("%d octets over the limit were spooled", -p.spool.room)
	}
	p.spool.room = 10
	if _, err := p.view(0, abi.PartDecoded); !errors.Is(err, abi.ErrLimit) {
		t.Errorf("a part beyond the limit: %v", err)
	}
}

func TestReadPart(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		buf := make([]byte, 4)
		var got []string
		for off := int64(0); ; {
			n, err := h.ReadPart(0, abi.PartTextUTF8, buf, off)
			if err != nil || n == 0 {
				got = append(got, fmt.Sprint(err))
				break
			}
			got, off = append(got, string(buf[:n])), off+int64(n)
		}
		if want := "[Grü ße\r \n <nil>]"; fmt.Sprint(got) != strings.ReplaceAll(want, `\r \n`, "\r \n") {
			t.Errorf("read %q", got)
		}
		for _, c := range []struct {
			part, view int
			off        int64
			want       abi.Errno
		}{{1, 0, 0, abi.ErrNotFound}, {-1, 0, 0, abi.ErrNotFound}, {0, 3, 0, abi.ErrUnsupported}, {0, 0, -1, abi.ErrBadArgument}} {
			if _, err := h.ReadPart(c.part, c.view, buf, c.off); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v", c, err)
			}
		}
		if n, err := h.ReadPart(0, abi.PartRaw, buf, 1<<40); n != 0 || err != nil {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		return mail.Continue, nil
	})
	early := earlyStage{mail.PhaseRcpt, func(h *Hook) (mail.Verdict, error) {
		if _, err := h.ReadPart(0, 0, nil, 0); !errors.Is(err, abi.ErrWrongPhase) {
			t.Errorf("in phase rcpt: %v", err)
		}
		return mail.Continue, nil
	}}
	p := f.pipeline(Step{Name: "early", Stage: early}, Step{Name: "s", Stage: s})
	tx := f.begin(p)
	tx.Rcpt(t.Context(), mail.Recipient{Address: "x@b.test"})
	head := mail.ParseHeader([]byte("Content-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"))
	r := tx.Message(t.Context(), head, mail.BytesBody("Gr=FC=DFe\r\n"), -1, "")
	tx.Close()
	if r.Reply != nil || f.live.Load() != 0 {
		t.Errorf("%v; %d bodies are left", r.Reply, f.live.Load())
	}
}

func FuzzReadPart(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeAoKaGlkZGVu\r\n"))
	f.Add([]byte("Content-Type: multipart/digest; boundary=b\n\n--b\n\nContent-Type: text/plain; charset=utf-7\n\n+AGE-\n--b\n--b--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if p.Len() > maxParts || p.spool.room < 0 {
			t.Fatalf("%d parts, room for %d octets", p.Len(), p.spool.room)
		}
		for i := range p.Len() {
			checkPart(t, p, i, raw)
		}
	})
}

func checkPart(t *testing.T, p *Parts, i int, raw []byte) {
	q, _ := p.Part(i)
	if q.Parent >= i || q.Depth > maxPartDepth || strings.ContainsAny(q.Filename, "\r\n/\\") || q.start > q.content || q.content > q.end {
		t.Fatalf("part %d: %+v", i, q)
	}
	whole, err := readAll(p, i, abi.PartRaw)
	if err != nil || q.src == 0 && !bytes.Contains(raw, []byte(whole)) {
		t.Fatalf("part %d raw: %q, %v", i, whole, err)
	}
	decoded, err := readAll(p, i, abi.PartDecoded)
	if errors.Is(err, abi.ErrLimit) {
		return
	}
	sum, err2 := p.SHA256(i)
	n, err3 := p.Size(i)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	if q.Leaf && (n != int64(len(decoded)) || sum != sha256.Sum256([]byte(decoded))) {
		t.Fatalf("part %d: %d octets decoded, size %d", i, len(decoded), n)
	}
	if text, err := readAll(p, i, abi.PartTextUTF8); err == nil && !utf8.ValidString(text) {
		t.Fatalf("part %d: text %q", i, text)
	}
}
