// SPDX-License-Identifier: Apache-2.0

package recode

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime/quotedprintable"
	"runtime"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// convert converts a message that is one text.
func convert(text string, eightBit bool) (string, error) {
	header, body, ok := strings.Cut(text, "\r\n\r\n")
	if ok {
		header += "\r\n\r\n"
	}
	p, err := New([]byte(header), mail.BytesBody(body), eightBit)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	b.Write(p.Header())
	err = p.Body(&b)
	return b.String(), err
}

// lf makes CRLF of LF, for messages that are written in Go.
func lf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

func TestConversions(t *testing.T) {
	for name, c := range map[string]struct {
		eightBit bool
		in, want string
	}{
		"7-bit stays": {false, lf("Subject: x\n\nhello\n"), lf("Subject: x\n\nhello\n")},
		"8-bit stays where it may": {true, lf("MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n"),
			lf("MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n")},
		"text": {false, lf("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nSubject: x\n\n\xc3\xbcber = x \n."),
			lf("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nSubject: x\n\n=C3=BCber =3D x=20\n.")},
		"no MIME": {false, lf("Subject: x\n\n\xfc\n"),
			lf("Subject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n")},
		"binary": {true, lf("MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: BINARY (x)\n\n") + "\x00\n\r\xff",
			lf("MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAoN/w==")},
		"binary in name only": {true, lf("MIME-Version: 1.0\nContent-Transfer-Encoding: binary\n\nhello\n"),
			lf("MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n\nhello\n")},
		"long lines": {true, lf("MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: binary\n\n" + strings.Repeat("x", 999) + "\n"),
			lf("MIME-Version: 1.0\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat(strings.Repeat("x", 75)+"=\n", 13) + strings.Repeat("x", 24) + "\n")},
		"two labels": {false, lf("MIME-Version: 1.0\nContent-Transfer-Encoding: 8bit\nX: y\ncontent-transfer-encoding: 8bit\n\n\xfc\n"),
			lf("MIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\nX: y\n\n=FC\n")},
		"multipart": {true, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: binary\n\npreamble\n--a b\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n--a b  \nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\n\x00\x01\n--a b--\nepilogue\n"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"a b\"\nContent-Transfer-Encoding: 8bit\n\npreamble\n--a b\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\n\xc3\xbc\n--a b  \nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\nAAE=\n--a b--\nepilogue\n")},
		"around parts": {false, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\xc3\xbc\n--b\n\n\xfc\n--b\nContent-Transfer-Encoding: base64\n\nAAE=\n--b--\n\xfc\n"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n??\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n--b\nContent-Transfer-Encoding: base64\n\nAAE=\n--b--\n?\n")},
		"a message in it": {false, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: inner\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=c\nContent-Transfer-Encoding: 8bit\n\n--c\n\n\xfc\n--c--\n--b--\n"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: inner\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=c\nContent-Transfer-Encoding: 7bit\n\n--c\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n--c--\n--b--\n")},
		"cut off": {false, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n\xfc\n--b\n\n\xfc"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=FC")},
		"no boundary of a binary part": {true, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\nx") + "\n--b\r--b--" + lf("\n--b--\n"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("x\n--b\r--b--")) + "\n--b--\n")},
		"signed and 7-bit": {false, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\nContent-Type: text/plain; charset=us-ascii\n\nsigned\n--c\n\nsignature\n--c--\n--b\n\n\xfc\n--b--\n"),
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/signed; boundary=c\n\n--c\nContent-Type: text/plain; charset=us-ascii\n\nsigned\n--c\n\nsignature\n--c--\n--b\nContent-Transfer-Encoding: quoted-printable\n\n=FC\n--b--\n")},
		"global message": {false, lf("MIME-Version: 1.0\nContent-Type: message/global\n\nSubject: \xc3\xbc\n\n"),
			lf("MIME-Version: 1.0\nContent-Type: message/global\nContent-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte("Subject: \xc3\xbc\r\n\r\n")))},
		"around binary parts": {true, lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n") + "a\n--b\nb\x00\r\r\n--b\r\n\r\nx\r\n--b--\r\n\xfc\r",
			lf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\na?--b?b??\n--b\n\nx\n--b--\n??")},
		"nothing at all": {false, "", ""},
	} {
		got, err := convert(c.in, c.eightBit)
		if err != nil || got != c.want {
			t.Errorf("%s: %v\ngot  %q\nwant %q", name, err, got, c.want)
		}
	}
}

func TestWhatCannotBeConverted(t *testing.T) {
	nested := "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=0\n\n"
	for i := range maxDepth + 2 {
		nested += "--" + strings.Repeat("x", i) + "0\nContent-Type: multipart/mixed; boundary=" + strings.Repeat("x", i+1) + "0\n\n"
	}
	for name, in := range map[string]string{
		"signed":            "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\n\n\xfc\n--b\n\nsignature\n--b--\n",
		"signed deep":       "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n\xfc\n--c--\n--b--\n",
		"signed label":      "MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=b\n\n--b\nContent-Transfer-Encoding: binary\n\nx\n--b--\n",
		"delivery status":   "MIME-Version: 1.0\nContent-Type: message/delivery-status\n\n\xfc\n",
		"partial":           "MIME-Version: 1.0\nContent-Type: message/partial; id=x\n\n\xfc\n",
		"encoded and 8-bit": "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n\xfc\n",
		"no boundary":       "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n\xfc\n",
		"header of a part":  "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment; filename=\xfc\n\nx\n--b--\n",
		"lines of a header": "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: y\r\r\nContent-Transfer-Encoding: binary\n\nx\n--b--\n",
		"base64 with NUL":   "MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\nAA\x00\n",
		"too deep":          nested,
		"too many":          "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n", maxParts+1),
		"a long header":     "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nX: " + strings.Repeat("x", maxHead),
	} {
		if got, err := convert(lf(in), false); !errors.Is(err, ErrCannot) {
			t.Errorf("%s: %.100q, %v", name, got, err)
		}
	}
}

// zeros is a body of any size that takes no room.
type zeros int64

func (z zeros) Size() int64 { return int64(z) }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	n := min(int64(len(p)), int64(z)-off)
	clear(p[:n])
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// A big part passes through in pieces.
func TestNoPartIsHeldWhole(t *testing.T) {
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := New([]byte(lf("MIME-Version: 1.0\nContent-Type: image/png\nContent-Transfer-Encoding: binary\n\n")), zeros(size), true)
	if err != nil {
		t.Fatal(err)
	}
	n := counter(0)
	if err := p.Body(&n); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	encoded := int64((size + 2) / 3 * 4)
	if want := encoded + (encoded-1)/76*2; int64(n) != want {
		t.Errorf("%d octets, want %d", n, want)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d octets were allocated for a message of %d", grown, size)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// short is a body that ends before its size.
type short struct{ mail.BytesBody }

func (short) Size() int64 { return 100 }

func TestBodyThatCannotBeRead(t *testing.T) {
	p, err := New([]byte("X: y\r\n\r\n"), short{mail.BytesBody("\xfc")}, false)
	if err == nil {
		err = p.Body(io.Discard)
	}
	if err == nil || errors.Is(err, ErrCannot) {
		t.Errorf("%v: a fault of ours is not the message's", err)
	}
}

// decoded are the contents of a message's leaves, decoded.
func decoded(header []byte, body mail.Body) (all []string, root *part, err error) {
	if root, err = scan(header, body); err != nil {
		return nil, nil, err
	}
	var walk func(p *part)
	walk = func(p *part) {
		for _, c := range p.children {
			walk(c)
		}
		if p.kind != leaf {
			return
		}
		var r io.Reader = io.NewSectionReader(body, p.start, p.end-p.start)
		switch p.encoding {
		case "base64":
			r = base64.NewDecoder(base64.StdEncoding, r)
		case "quoted-printable":
			r = quotedprintable.NewReader(r)
		}
		b, fault := io.ReadAll(r)
		if fault != nil {
			b = append(b, fault.Error()...)
		}
		all = append(all, string(b))
	}
	walk(root)
	return all, root, nil
}

// FuzzRecode converts any message: what its parts hold is the same before and after,
// and no octet is in them that may not be.
func FuzzRecode(f *testing.F) {
	for _, s := range []string{
		"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n\xfc\n--b\nContent-Transfer-Encoding: binary\n\n\x00\r\n--b\nContent-Type: message/rfc822\n\nX: y\n\n\xfc\n--b--\n\xfc",
		"Content-Type: image/png\nContent-Transfer-Encoding: binary\n\n\r\x00", "X: y\n\n\xfc \n", "Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\n\xff\n--b\n--b--",
	} {
		f.Add(lf(s), true)
		f.Add(lf(s), false)
	}
	f.Fuzz(func(t *testing.T, text string, eightBit bool) {
		header, body, _ := strings.Cut(text, "\r\n\r\n")
		header += "\r\n\r\n"
		p, err := New([]byte(header), mail.BytesBody(body), eightBit)
		if err != nil {
			if !errors.Is(err, ErrCannot) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		var b bytes.Buffer
		if err := p.Body(&b); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !eightBit && bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r >= 0x80 }) {
			t.Fatalf("%q: 8-bit in %q", text, b.Bytes())
		}
		before, _, _ := decoded([]byte(header), mail.BytesBody(body))
		after, root, err := decoded(p.Header(), mail.BytesBody(b.Bytes()))
		if err != nil || strings.Join(before, "|") != strings.Join(after, "|") {
			t.Fatalf("%q\nbecame %q %q\nbefore %q\nafter  %q %v", text, p.Header(), b.Bytes(), before, after, err)
		}
		checkLabels(t, root, eightBit)
	})
}

func checkLabels(t *testing.T, p *part, eightBit bool) {
	if p.encoding == "binary" || p.encoding == "8bit" && !eightBit {
		t.Fatalf("a part in %s", p.encoding)
	}
	if p.kind == leaf && identity(p.encoding) && (p.found.bare || p.found.cr) {
		t.Fatal("a part with bare line ends")
	}
	for _, c := range p.children {
		checkLabels(t, c, eightBit)
	}
}
