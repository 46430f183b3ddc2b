// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of the list that EHLO answers with.
const (
	maxEHLOLine  = 500 // octets, so that the line stays under 512 (RFC 5321 §4.5.3.1.5)
	maxEHLOLines = 64
)

// EHLO returns the list that EHLO will answer with, with this hook's edits, to
// be read only; empty outside phase helo.
func (h *Hook) EHLO() []string {
	if h.ehlo != nil {
		return h.ehlo
	}
	return h.extra().ehlo
}

// SetEHLO changes the list that EHLO will answer with, in phase helo: op
// abi.EHLORemove takes the keyword line out, abi.EHLOAdd adds the line "KEYWORD
// params" (RFC 5321 §4.1.1.1), whose keyword must not be there yet.
func (h *Hook) SetEHLO(op int, line string) error {
	if h.phase != mail.PhaseHelo {
		return abi.ErrWrongPhase
	}
	if !ehloLine(line) {
		return abi.ErrBadArgument
	}
	list, word := h.EHLO(), keyword(line)
	at := slices.IndexFunc(list, func(l string) bool { return keyword(l) == word })
	switch {
	case op == abi.EHLORemove && at < 0:
		return abi.ErrNotFound
	case op == abi.EHLORemove:
		h.ehlo = slices.Delete(append(make([]string, 0, len(list)), list...), at, at+1)
	case op != abi.EHLOAdd:
		return abi.ErrBadArgument
	case at >= 0:
		return abi.ErrConflict
	case len(list) >= maxEHLOLines:
		return abi.ErrLimit
	default:
		h.ehlo = append(append(make([]string, 0, len(list)+1), list...), line)
	}
	return h.note("ehlo_set", word, line)
}

// keyword is the first word of a line of EHLO, in capitals.
func keyword(line string) string {
	word, _, _ := strings.Cut(line, " ")
	return strings.ToUpper(word)
}

// ehloLine reports whether a line is a keyword and parameters.
func ehloLine(line string) bool {
	if len(line) > maxEHLOLine {
		return false
	}
	word, params, more := strings.Cut(line, " ")
	return ehloKeyword(word) && (!more || ehloParams(params))
}

func ehloKeyword(word string) bool {
	for i := range len(word) {
		c := word[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return false
		}
	}
	return word != ""
}

func ehloParams(params string) bool {
	for _, p := range strings.Split(params, " ") {
		if p == "" || strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return false
		}
	}
	return true
}
