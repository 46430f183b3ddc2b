// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// Address is a mailbox "local-part@domain" (RFC 5321 §4.1.2) as it was
// written, without angle brackets. The empty Address is the null reverse-path.
type Address string

// Errors of ParseAddress.
var (
	ErrNoDomain    = errors.New("address has no domain")
	ErrLocalPart   = errors.New("local part is not valid")
	ErrDomain      = errors.New("domain is not valid")
	ErrAddressSize = errors.New("address is too long")
	ErrNotASCII    = errors.New("address needs SMTPUTF8")
)

// Limits of RFC 5321 §4.5.3.1, in octets.
const (
	MaxLocalPart = 64
	MaxDomain    = 255
	MaxPath      = 254 // 256 with the angle brackets
)

// ParseAddress checks s as a Mailbox (RFC 5321 §4.1.2; RFC 6531 §3.3 when utf8
// is true) and returns it unchanged. The empty string is not a mailbox.
func ParseAddress(s string, allowUTF8 bool) (Address, error) {
	if len(s) > MaxPath {
		return "", ErrAddressSize
	}
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return "", ErrNoDomain
	}
	local, domain := s[:at], s[at+1:]
	if err := checkLocal(local, allowUTF8); err != nil {
		return "", err
	}
	if err := checkDomain(domain, allowUTF8); err != nil {
		return "", err
	}
	return Address(s), nil
}

// Local returns the part before the last "@", as written.
func (a Address) Local() string {
	if at := strings.LastIndexByte(string(a), '@'); at >= 0 {
		return string(a[:at])
	}
	return string(a)
}

// Domain returns the part behind the last "@" in lower case, empty for the
// null reverse-path.
func (a Address) Domain() string {
	if at := strings.LastIndexByte(string(a), '@'); at >= 0 {
		return strings.ToLower(string(a[at+1:]))
	}
	return ""
}

// IsNull reports whether a is the null reverse-path "<>".
func (a Address) IsNull() bool { return a == "" }

// ASCII reports whether a can travel without SMTPUTF8.
func (a Address) ASCII() bool {
	for i := 0; i < len(a); i++ {
		if a[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Path returns the address in angle brackets, "<>" for the null reverse-path.
func (a Address) Path() string { return "<" + string(a) + ">" }

func checkLocal(s string, allowUTF8 bool) error {
	if s == "" {
		return ErrLocalPart
	}
	if len(s) > MaxLocalPart {
		return ErrAddressSize
	}
	if s[0] == '"' {
		return checkQuoted(s, allowUTF8)
	}
	for atom := range strings.SplitSeq(s, ".") {
		if err := checkAtom(atom, allowUTF8); err != nil {
			return err
		}
	}
	return nil
}

func checkAtom(s string, allowUTF8 bool) error {
	if s == "" {
		return ErrLocalPart
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError:
			return ErrLocalPart
		case r >= utf8.RuneSelf && !allowUTF8:
			return ErrNotASCII
		case r < utf8.RuneSelf && !isAtext(byte(r)):
			return ErrLocalPart
		}
	}
	return nil
}

// checkQuoted checks a Quoted-string (RFC 5321 §4.1.2): qtextSMTP is printable
// but not '"' or '\', and '\' quotes any printable character.
func checkQuoted(s string, allowUTF8 bool) error {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return ErrLocalPart
	}
	in := s[1 : len(s)-1]
	quoted := false
	for _, r := range in {
		switch {
		case r == utf8.RuneError || r < ' ' || r == 0x7f:
			return ErrLocalPart
		case r >= utf8.RuneSelf && !allowUTF8:
			return ErrNotASCII
		case quoted:
			quoted = false
		case r == '\\':
			quoted = true
		case r == '"':
			return ErrLocalPart
		}
	}
	if quoted {
		return ErrLocalPart
	}
	return nil
}

func checkDomain(s string, allowUTF8 bool) error {
	if s == "" || len(s) > MaxDomain {
		return ErrDomain
	}
	if s[0] == '[' {
		return checkLiteral(s)
	}
	for label := range strings.SplitSeq(s, ".") {
		if err := checkLabel(label, allowUTF8); err != nil {
			return err
		}
	}
	return nil
}

// checkLiteral checks an address-literal (RFC 5321 §4.1.3): "[192.0.2.1]" or
// "[IPv6:2001:db8::1]".
func checkLiteral(s string) error {
	if s[len(s)-1] != ']' {
		return ErrDomain
	}
	in := s[1 : len(s)-1]
	v6 := len(in) > 5 && strings.EqualFold(in[:5], "IPv6:")
	if v6 {
		in = in[5:]
	}
	ip, err := netip.ParseAddr(in)
	if err != nil || ip.Is4() == v6 || ip.Zone() != "" {
		return ErrDomain
	}
	return nil
}

// LiteralIP returns the address of a domain that is an address-literal.
func LiteralIP(domain string) (netip.Addr, bool) {
	if len(domain) < 3 || domain[0] != '[' || checkLiteral(domain) != nil {
		return netip.Addr{}, false
	}
	in := domain[1 : len(domain)-1]
	if len(in) > 5 && strings.EqualFold(in[:5], "IPv6:") {
		in = in[5:]
	}
	ip, err := netip.ParseAddr(in)
	return ip, err == nil
}

func checkLabel(s string, allowUTF8 bool) error {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return ErrDomain
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError:
			return ErrDomain
		case r >= utf8.RuneSelf && !allowUTF8:
			return ErrNotASCII
		case r < utf8.RuneSelf && !isLetterDigit(byte(r)) && r != '-' && r != '_':
			return ErrDomain // '_' is outside RFC 5321 but seen in real host names
		}
	}
	return nil
}

func isLetterDigit(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isAtext(c byte) bool {
	return isLetterDigit(c) || strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}
