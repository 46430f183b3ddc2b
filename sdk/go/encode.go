// SPDX-License-Identifier: Apache-2.0

package postroad

import "strings"

// maxWord is the longest encoded word (RFC 2047 §2), opening and closing
// included.
const (
	maxWord = 75
	opening = "=?utf-8?q?"
	closing = "?="
)

// encodeWords returns text as Q encoded words, each whole in UTF-8; ASCII comes
// back unchanged. Package mime can do this too, but would make every module
// larger by a third.
func encodeWords(text string) string {
	if isASCII(text) {
		return text
	}
	var out, word strings.Builder
	for _, r := range text {
		q := quote(r)
		if len(opening)+word.Len()+len(q)+len(closing) > maxWord {
			closeWord(&out, &word)
		}
		word.WriteString(q)
	}
	closeWord(&out, &word)
	return out.String()
}

// closeWord moves a finished word to out.
func closeWord(out, word *strings.Builder) {
	if out.Len() > 0 {
		out.WriteByte(' ')
	}
	out.WriteString(opening + word.String() + closing)
	word.Reset()
}

// quote returns one character in Q encoding. Only what RFC 2047 §5 (3) permits
// in a phrase stays as it is, so that the result fits into address fields too.
func quote(r rune) string {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("!*+-/", r):
		return string(r)
	case r == ' ':
		return "_"
	}
	const hex = "0123456789ABCDEF"
	q := ""
	for _, c := range []byte(string(r)) {
		q += "=" + string(hex[c>>4]) + string(hex[c&15])
	}
	return q
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
