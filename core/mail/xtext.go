// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

var errXtext = errors.New("not valid xtext")

// Xtext encodes s so that it can be the value of an ESMTP parameter
// (RFC 3461 §4): what is not printable ASCII, and "+" and "=", become "+" with
// two hexadecimal digits.
func Xtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if isXchar(s[i]) {
			b.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&b, "+%02X", s[i])
	}
	return b.String()
}

// ParseXtext decodes xtext. The digits are in upper case (RFC 3461 §4).
func ParseXtext(s string) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case isXchar(s[i]):
			b = append(b, s[i])
		case s[i] == '+' && i+2 < len(s) && isUpperHex(s[i+1]) && isUpperHex(s[i+2]):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b = append(b, byte(n))
			i += 2
		default:
			return "", errXtext
		}
	}
	return string(b), nil
}

func isXchar(c byte) bool { return c > ' ' && c < 0x7f && c != '+' && c != '=' }

func isUpperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// printable reports whether s is ASCII without control characters.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// UTF8Xtext encodes an address in UTF-8 as utf-8-addr-xtext (RFC 6533 §3): ASCII
// that may stand anywhere.
func UTF8Xtext(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r >= utf8.RuneSelf || !isQchar(byte(r)) {
			fmt.Fprintf(&b, `\x{%02X}`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// parseUTF8Xtext decodes utf-8-addr-xtext and, when raw is true,
// utf-8-addr-unitext, which has other characters than ASCII as they are.
func parseUTF8Xtext(s string, raw bool) (string, error) {
	var b strings.Builder
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			r, n = embedded(s)
		case r >= utf8.RuneSelf && !raw, r < utf8.RuneSelf && !isQchar(byte(r)):
			return "", errXtext
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return "", errXtext
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String(), nil
}

// embedded reads an EmbeddedUnicodeChar, such as \x{FC}, and returns its length.
func embedded(s string) (rune, int) {
	end := strings.IndexByte(s, '}')
	if !strings.HasPrefix(s, `\x{`) || end < 5 || end > 9 {
		return utf8.RuneError, 1
	}
	n, err := strconv.ParseUint(s[3:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return utf8.RuneError, 1
	}
	return rune(n), end + 1
}

func isQchar(c byte) bool { return isXchar(c) && c != '\\' }
