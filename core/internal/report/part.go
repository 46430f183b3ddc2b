// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"mime/quotedprintable"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxValue bounds a value that came from elsewhere, in octets, so that it fits
// on a line (RFC 5322 §2.1.1).
const maxValue = 900

// part is one body part of the notification.
type part struct {
	description string
	mediaType   string
	encoding    string // Content-Transfer-Encoding
	content     []byte // encoded
}

// multipart joins parts (RFC 2046 §5.1).
func multipart(boundary string, parts []part) []byte {
	var b bytes.Buffer
	b.WriteString("This is a delivery status notification in MIME format.\r\n")
	for _, p := range parts {
		b.WriteString("\r\n--" + boundary + "\r\n")
		b.Write(field(nil, "Content-Description", p.description))
		b.Write(field(nil, "Content-Type", p.mediaType))
		b.Write(field(nil, "Content-Transfer-Encoding", p.encoding))
		b.WriteString("\r\n")
		b.Write(p.content)
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}

// textPart encodes content so that it can travel anywhere.
func textPart(description, mediaType string, content []byte) part {
	if short(content) && ascii(string(content)) {
		return part{description, mediaType, "7bit", content}
	}
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	w.Write(lineEnds(content)) //nolint:errcheck // a Buffer takes everything
	w.Close()
	return part{description, mediaType, "quoted-printable", b.Bytes()}
}

// lineEnds returns content with CRLF for a bare LF and a space for a bare CR, as
// the message itself would have left us.
func lineEnds(content []byte) []byte {
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	content = bytes.ReplaceAll(content, []byte("\r"), []byte(" "))
	return bytes.ReplaceAll(content, []byte("\n"), []byte("\r\n"))
}

// short reports whether content has lines that may stand in a message, with
// CRLF at the end of each.
func short(content []byte) bool {
	for line := range bytes.Lines(content) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || len(text) > mail.MaxLine || bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, 0) >= 0 {
			return false
		}
	}
	return true
}

// field appends a header field, folded. What cannot stand in one is replaced.
func field(b []byte, name, value string) []byte {
	raw, err := mail.FormatField(name, clean(value))
	if err != nil {
		return b // not reached: the names are ours and clean leaves nothing to refuse
	}
	return append(b, raw...)
}

// clean returns s on one line and printable, at most maxValue octets of it.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t', r == '\n':
			return ' '
		case r == '\r':
			return -1
		case r == utf8.RuneError, !unicode.IsPrint(r) && r != ' ':
			return '?'
		}
		return r
	}, s)
	for len(s) > maxValue || !utf8.ValidString(s) {
		s = s[:min(len(s)-1, maxValue)]
	}
	return s
}

// cleanASCII is clean for where only ASCII may stand.
func cleanASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, clean(s))
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
