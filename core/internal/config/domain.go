// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"

	"golang.org/x/net/idna"
)

// SameDomain returns the one form in which domains are compared: lower case, and
// A-labels for U-labels (RFC 5890 §2.3.2.1), so that both spellings of a name are one
// domain. A dot at the start stays. What has no A-labels is returned in lower case.
func SameDomain(s string) string {
	s = strings.ToLower(s)
	if isASCII(s) {
		return s
	}
	dot, rest := "", s
	if strings.HasPrefix(s, ".") {
		dot, rest = ".", s[1:]
	}
	a, err := idna.Lookup.ToASCII(rest)
	if err != nil {
		return s
	}
	return dot + a
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
