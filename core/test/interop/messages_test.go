// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"
)

// A message is what a client is given to send: lines that end in CRLF.
type message struct {
	name    string
	content []byte
	// check says what must hold for the message that arrived, beyond being the same; nil: nothing.
	check func(t *testing.T, arrived []byte)
}

const head = "From: Sender <sender@here.test>\r\nTo: <rcpt@there.test>\r\nSubject: A message\r\n" +
	"Date: Tue, 01 Jan 2030 09:00:00 +0000\r\nMessage-ID: <1@here.test>\r\n"

// messages are the cases that every client sends.
func messages(t *testing.T) []message {
	t.Helper()
	return []message{
		{name: "plain", content: []byte(head + "\r\nIt works.\r\n")},
		{name: "eightbit", content: []byte(head + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + eightBit())},
		{name: "dots", content: []byte(head + "\r\n.\r\n..\r\n...\r\n.a\r\na.\r\n\r\n.\r\n \r\n\t.\r\n.QUIT\r\n\r\n.\r\n")},
		{name: "blank-lines", content: []byte(head + "\r\n\r\n\r\ntext\r\n\r\n\r\n\r\n")},
		{name: "header", content: []byte(oddHeader + "\r\ntext\r\n")},
		{name: "long-line", content: []byte(head + "\r\nbefore\r\n" + strings.Repeat("0123456789abcdef", 1<<16) + "\r\nbehind\r\n")},
		{name: "empty-body", content: []byte(head + "\r\n")},
		{name: "header-only", content: []byte(head)},
		signed(t),
		{name: "attachment", content: attachment(20 << 20)},
	}
}

// tooLong has a body line of 1 MiB and one octet.
func tooLong() []byte {
	return []byte(head + "\r\n" + strings.Repeat("0123456789abcdef", 1<<16) + "x\r\n")
}

// oddHeader has what real headers have: folding, repeated fields, odd spaces, octets that are not ASCII, long lines.
const oddHeader = "Received: from a.test by b.test with SMTP id 1;\r\n\tTue, 01 Jan 2030 08:00:00 +0000\r\n" +
	"Received: from c.test\r\n by a.test\r\n\tid 2; Tue, 01 Jan 2030 07:00:00 +0000\r\n" + head +
	"X-Folded: one\r\n two\r\n\t three  \r\nx-folded:no space\r\nX-Empty:\r\nX-Space : before the colon\r\n" +
	"X-Latin: gr\xfc\xdfe\r\nX-UTF8: gr\u00fc\u00dfe\r\nBcc: blind@there.test\r\n"

// eightBit has every octet that may stand in a line.
func eightBit() string {
	var b strings.Builder
	for range 3 {
		for c := 1; c < 256; c++ {
			if c != '\r' && c != '\n' {
				b.WriteByte(byte(c))
			}
		}
		b.WriteString("\r\n")
	}
	return b.String()
}

// attachment is a message with some text and an attachment of n octets, which no compression makes smaller.
func attachment(n int) []byte {
	data := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(data) // it never fails
	var b bytes.Buffer
	b.WriteString(head + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"=_limit\"\r\n\r\nThis is MIME.\r\n" +
		"--=_limit\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nSee the attachment.\r\n" +
		"--=_limit\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"data.bin\"\r\n\r\n")
	for text := base64.StdEncoding.EncodeToString(data); text != ""; {
		line := text[:min(76, len(text))]
		text = text[len(line):]
		b.WriteString(line + "\r\n")
	}
	b.WriteString("--=_limit--\r\n")
	return b.Bytes()
}

// signed is a message with a DKIM signature that breaks when a single octet of the signed fields or the body changes:
// both canonicalizations are simple (RFC 6376 §3.4).
func signed(t *testing.T) message {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := "Signed  text, \r\n.with dots,\ttabs \r\nand gr\u00fc\u00dfe.\r\n\r\n\r\n"
	plain := head + "X-Folded: one\r\n\t two\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body
	var b bytes.Buffer
	if err := dkim.Sign(&b, strings.NewReader(plain), signOptions(private)); err != nil {
		t.Fatal(err)
	}
	record := "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)
	return message{"dkim", b.Bytes(), func(t *testing.T, arrived []byte) { verify(t, arrived, record) }}
}

func signOptions(key crypto.Signer) *dkim.SignOptions {
	return &dkim.SignOptions{
		Domain: "here.test", Selector: "key", Signer: key,
		HeaderCanonicalization: dkim.CanonicalizationSimple, BodyCanonicalization: dkim.CanonicalizationSimple,
		HeaderKeys: []string{"From", "From", "To", "Subject", "Date", "Message-ID", "X-Folded", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"},
	}
}

// verify demands one valid signature; record is what DNS would say.
func verify(t *testing.T, arrived []byte, record string) {
	t.Helper()
	lookup := func(name string) ([]string, error) {
		if name != "key._domainkey.here.test" {
			return nil, fmt.Errorf("asked for %s", name)
		}
		return []string{record}, nil
	}
	vs, err := dkim.VerifyWithOptions(bytes.NewReader(arrived), &dkim.VerifyOptions{LookupTXT: lookup})
	if err != nil || len(vs) != 1 {
		t.Fatalf("DKIM: %d signatures, %v", len(vs), err)
	}
	if vs[0].Err != nil || vs[0].Domain != "here.test" {
		t.Errorf("DKIM: %+v", vs[0])
	}
}
