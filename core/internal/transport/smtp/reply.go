// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
)

// Bounds of a reply. RFC 5321 §4.5.3.1.5 allows lines of 512 octets; some hosts
// exceed that, none needs more than these.
const (
	maxReplyLine  = 2048 // octets
	maxReplyLines = 128
	maxReplyText  = 1000 // octets that are kept
)

var (
	errReplySyntax = errors.New("reply is not an SMTP reply")
	errReplySize   = errors.New("reply is too long")
)

// reply is one reply, put together from its lines. Its text is kept until the
// next reply begins.
type reply struct {
	code     int
	enhanced mail.Enhanced // zero: none
	text     []byte        // lines joined by a space, as they came; enhanced codes taken out
	lines    int
}

// reset makes r ready for the first line.
func (r *reply) reset() { *r = reply{text: r.text[:0]} }

// add takes the next line, without its line end, and reports whether it was
// the last (RFC 5321 §4.2.1). Of different codes the last one counts.
func (r *reply) add(line []byte) (last bool, err error) {
	if r.lines++; r.lines > maxReplyLines || len(line) > maxReplyLine {
		return false, errReplySize
	}
	if len(line) < 3 || !isCode(line[:3]) {
		return false, errReplySyntax
	}
	r.code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return true, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return false, errReplySyntax
	}
	r.addText(line[4:])
	return line[3] == ' ', nil
}

func isCode(b []byte) bool {
	return b[0] >= '2' && b[0] <= '5' && isDigit(b[1]) && isDigit(b[2])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// addText adds a line's text behind that of the lines before.
func (r *reply) addText(text []byte) {
	enhanced, rest := cutEnhanced(text)
	if enhanced != (mail.Enhanced{}) && enhanced[0] == r.code/100 {
		r.enhanced, text = enhanced, rest
	}
	if len(r.text) > 0 && len(text) > 0 {
		r.text = append(r.text, ' ')
	}
	r.text = append(r.text, text...)
	r.text = r.text[:min(len(r.text), maxReplyText)]
}

// cutEnhanced cuts an enhanced status code off the front of text (RFC 2034 §4):
// digit "." 1*3digits "." 1*3digits and a space or the end.
func cutEnhanced(text []byte) (mail.Enhanced, []byte) {
	var e mail.Enhanced
	rest := text
	for i := range e {
		n := 0
		for n < len(rest) && n < 3 && isDigit(rest[n]) {
			e[i] = e[i]*10 + int(rest[n]-'0')
			n++
		}
		if n == 0 {
			return mail.Enhanced{}, text
		}
		rest = rest[n:]
		if i < 2 {
			if len(rest) == 0 || rest[0] != '.' {
				return mail.Enhanced{}, text
			}
			rest = rest[1:]
		}
	}
	if len(rest) > 0 && rest[0] != ' ' || e[0] != 2 && e[0] != 4 && e[0] != 5 {
		return mail.Enhanced{}, text
	}
	return e, bytes.TrimLeft(rest, " ")
}

// mail returns the reply as a value of its own: text printable, one line, valid
// UTF-8, at most 1,000 octets.
func (r *reply) mail() mail.Reply {
	return mail.Reply{Code: r.code, Enhanced: r.enhanced, Text: printable(r.text)}
}

// printable returns b with everything that is not printable as "?".
func printable(b []byte) string {
	if plain(b) {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 && len(out) < maxReplyText-utf8.UTFMax {
		c, n := utf8.DecodeRune(b)
		if c == utf8.RuneError || c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' {
			c = '?'
		}
		out = utf8.AppendRune(out, c)
		b = b[n:]
	}
	return string(out)
}

func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// mailLine returns the reply as it came, on one line.
func (r *reply) mailLine() string {
	m := r.mail()
	return m.Line()
}
