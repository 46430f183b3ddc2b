// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"strings"
	"time"
)

// Errors of the parsers for the parameters of RFC 3461.
var (
	ErrNotify     = errors.New("NOTIFY is NEVER, or a list of SUCCESS, FAILURE and DELAY")
	ErrReturn     = errors.New("RET is FULL or HDRS")
	ErrEnvelopeID = errors.New("ENVID is not valid")
	ErrORCPT      = errors.New("ORCPT is not valid")
)

// Limits of RFC 3461 §4.2 and §4.4, in octets of a parameter's value.
const (
	MaxEnvelopeID = 100
	MaxORCPT      = 500
)

// Notify is the set of events that a sender wants to hear of, for one recipient
// (RFC 3461 §4.1). Zero is a sender who said nothing: failures are reported, and
// delays if we think so.
type Notify uint8

// The members of a Notify.
const (
	NotifyNever Notify = 1 << iota // stands alone
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// notifyWords are the keywords of NOTIFY in the order of the bits.
func notifyWords() [4]string { return [...]string{"NEVER", "SUCCESS", "FAILURE", "DELAY"} }

// ParseNotify reads the value of NOTIFY: keywords with commas between them, in
// any case, each once.
func ParseNotify(s string) (Notify, error) {
	var n Notify
	for word := range strings.SplitSeq(s, ",") {
		bit := notifyBit(word)
		if bit == 0 || n.Has(bit) {
			return 0, ErrNotify
		}
		n |= bit
	}
	if n.Has(NotifyNever) && n != NotifyNever {
		return 0, ErrNotify
	}
	return n, nil
}

func notifyBit(word string) Notify {
	for i, w := range notifyWords() {
		if strings.EqualFold(w, word) {
			return 1 << i
		}
	}
	return 0
}

// Valid reports whether n is a set that NOTIFY can ask for, or nothing at all.
func (n Notify) Valid() bool {
	return n == NotifyNever || n&^(NotifySuccess|NotifyFailure|NotifyDelay) == 0
}

// Has reports whether all of m are in n.
func (n Notify) Has(m Notify) bool { return n&m == m }

// String returns the value of NOTIFY, empty for none.
func (n Notify) String() string {
	var words []string
	for i, w := range notifyWords() {
		if n.Has(1 << i) {
			words = append(words, w)
		}
	}
	return strings.Join(words, ",")
}

// Return says how much of a message the report on its failure is to bring back
// (RFC 3461 §4.3).
type Return uint8

// The values of a Return.
const (
	ReturnUnset Return = iota
	ReturnFull
	ReturnHeaders
)

// ParseReturn reads the value of RET.
func ParseReturn(s string) (Return, error) {
	switch {
	case strings.EqualFold(s, "FULL"):
		return ReturnFull, nil
	case strings.EqualFold(s, "HDRS"):
		return ReturnHeaders, nil
	}
	return ReturnUnset, ErrReturn
}

// String returns the value of RET, empty for none.
func (r Return) String() string { return [...]string{"", "FULL", "HDRS"}[min(r, ReturnHeaders)] }

// ParseEnvelopeID reads the value of ENVID and returns it decoded: printable
// ASCII, perhaps with spaces.
func ParseEnvelopeID(s string) (string, error) {
	id, err := ParseXtext(s)
	if err != nil || id == "" || len(s) > MaxEnvelopeID || !printable(id) {
		return "", ErrEnvelopeID
	}
	return id, nil
}

// ParseORCPT reads the value of ORCPT and returns it decoded, "rfc822;bob@x.test"
// for instance. What stands behind the type need not be an address of that type
// (RFC 3461 §4.2), but it is printable. The type "utf-8" has an encoding of its
// own, and may be plain UTF-8 when allowUTF8 is true (RFC 6533 §3).
func ParseORCPT(s string, allowUTF8 bool) (string, error) {
	kind, value, ok := strings.Cut(s, ";")
	if !ok || kind == "" || len(s) > MaxORCPT || strings.ContainsFunc(kind, func(r rune) bool { return r >= 0x80 || !isAtext(byte(r)) }) {
		return "", ErrORCPT
	}
	parse := ParseXtext
	if isUTF8Type(kind) {
		parse = func(s string) (string, error) { return parseUTF8Xtext(s, allowUTF8) }
	}
	address, err := parse(value)
	if err != nil || address == "" || !printable(address) && !isUTF8Type(kind) {
		return "", ErrORCPT
	}
	return kind + ";" + address, nil
}

// CheckORCPT reports whether a decoded ORCPT is one that ParseORCPT could have
// returned.
func CheckORCPT(orcpt string) error {
	got, err := ParseORCPT(FormatORCPT(orcpt), false)
	if err == nil && got != orcpt {
		err = ErrORCPT
	}
	return err
}

// FormatORCPT returns a decoded ORCPT as the parameter spells it, in ASCII; empty
// when that would be too long.
func FormatORCPT(orcpt string) string {
	kind, address, _ := strings.Cut(orcpt, ";")
	encoded := kind + ";" + Xtext(address)
	if isUTF8Type(kind) {
		encoded = kind + ";" + UTF8Xtext(address)
	}
	if len(encoded) > MaxORCPT {
		return ""
	}
	return encoded
}

func isUTF8Type(kind string) bool { return strings.EqualFold(kind, "utf-8") }

// TypedAddress returns an address with its type, as ORCPT has it when it is
// decoded (RFC 3464 §2.1.2, RFC 6533 §3).
func TypedAddress(a Address) string {
	if a.ASCII() {
		return "rfc822;" + string(a)
	}
	return "utf-8;" + string(a)
}

// Action is what a report says of a recipient (RFC 3464 §2.3.3).
type Action uint8

// The actions of a report.
const (
	ActionNone      Action = iota // nothing is said
	ActionFailed                  // it will not be tried again
	ActionDelayed                 // it is still tried
	ActionDelivered               // it is in a mailbox
	ActionRelayed                 // a host has it that makes no such reports
	ActionExpanded                // others stand in its place
)

// String returns the action as the report spells it.
func (a Action) String() string {
	return [...]string{"none", "failed", "delayed", "delivered", "relayed", "expanded"}[min(a, ActionExpanded)]
}

// Told is what a report says of one recipient.
type Told struct {
	Outcome
	Action Action
	Until  time.Time // of ActionDelayed: when it is given up
}
