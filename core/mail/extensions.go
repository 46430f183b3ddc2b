// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// Errors of the parsers for the parameters of RFC 2852, RFC 4865, RFC 6710 and
// RFC 7293.
var (
	ErrDeliverBy  = errors.New("BY is seconds and a mode, such as 600;R or 600;N, with T behind it for a trace; mode R needs a time ahead")
	ErrHoldFor    = errors.New("HOLDFOR is 1 to 999999999 seconds")
	ErrHoldUntil  = errors.New("HOLDUNTIL is a time in UTC, such as 2030-01-31T08:00:00Z")
	ErrMTPriority = errors.New("MT-PRIORITY is a whole number from -9 to 9")
	ErrValidSince = errors.New("RRVS is a time, such as 2030-01-31T08:00:00Z, perhaps with ;C or ;R behind it")
)

// DeliverBy is until when a message is to be delivered, and what happens then
// (RFC 2852). The zero value is a message without such a wish.
type DeliverBy struct {
	At     time.Time // zero: none; may be past when Return is false
	Return bool      // by-mode R: it fails then; else, by-mode N, its sender hears that it is late
	Trace  bool      // by-trace T: the sender hears of each host that it is handed to
}

// Given reports whether there is such a wish.
func (d DeliverBy) Given() bool { return !d.At.IsZero() }

// ByTime is the value of BY=, before it is counted from a moment.
type ByTime struct {
	Seconds       int64 // -999,999,999 to 999,999,999
	Return, Trace bool
}

// From returns what the value means when it came at now.
func (b ByTime) From(now time.Time) DeliverBy {
	return DeliverBy{At: now.Add(time.Duration(b.Seconds) * time.Second), Return: b.Return, Trace: b.Trace}
}

// ParseDeliverBy reads the value of BY (RFC 2852 §4).
func ParseDeliverBy(s string) (b ByTime, err error) {
	seconds, mode, ok := strings.Cut(s, ";")
	if b.Seconds, err = byTime(seconds); err != nil || !ok {
		return ByTime{}, ErrDeliverBy
	}
	mode = strings.ToUpper(mode)
	mode, b.Trace = strings.CutSuffix(mode, "T")
	b.Return = mode == "R"
	if mode != "R" && mode != "N" || b.Return && b.Seconds <= 0 {
		return ByTime{}, ErrDeliverBy
	}
	return b, nil
}

// byTime reads [ "-" / "+" ] 1*9digit.
func byTime(s string) (int64, error) {
	digits := strings.TrimPrefix(s, "+")
	if digits == s {
		digits = strings.TrimPrefix(s, "-")
	}
	n, ok := decimal(digits, 9)
	if !ok {
		return 0, ErrDeliverBy
	}
	if s[0] == '-' {
		n = -n
	}
	return n, nil
}

// decimal reads one to most digits.
func decimal(s string, most int) (n int64, ok bool) {
	if s == "" || len(s) > most {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// String returns the value of BY at now. A time that is past in mode N is passed
// on as such (RFC 2852 §4.1); in mode R it is a second, for a message that is
// sent that late has been decided on in time.
func (d DeliverBy) String(now time.Time) string {
	const most = 999_999_999
	left := int64(d.At.Sub(now) / time.Second)
	mode := ";N"
	if d.Return {
		left, mode = max(left, 1), ";R"
	}
	if d.Trace {
		mode += "T"
	}
	return strconv.FormatInt(min(max(left, -most), most), 10) + mode
}

// ParseHoldFor reads the value of HOLDFOR (RFC 4865).
func ParseHoldFor(s string) (time.Duration, error) {
	n, ok := decimal(s, 9)
	if !ok || n == 0 || s[0] == '0' {
		return 0, ErrHoldFor
	}
	return time.Duration(n) * time.Second, nil
}

// ParseHoldUntil reads the value of HOLDUNTIL (RFC 4865): a time of RFC 3339
// in UTC.
func ParseHoldUntil(s string) (time.Time, error) {
	t, err := parseTime(s)
	if err != nil || !strings.HasSuffix(strings.ToUpper(s), "Z") {
		return time.Time{}, ErrHoldUntil
	}
	return t, nil
}

// parseTime reads a date-time of RFC 3339 §5.6, of the years that a record can
// hold.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, strings.ToUpper(s))
	if err == nil && (strings.Contains(s, ",") || t.Year() < 1700 || t.Year() > 2200) {
		err = errors.New("no such time") // Go takes a comma for a dot
	}
	return t.UTC(), err
}

// The range of MT-PRIORITY, and how it becomes a priority of ours: 9 is 99, and
// -9 is -99, with the steps between them alike.
const (
	maxMTPriority  = 9
	mtPriorityStep = MaxPriority / maxMTPriority
)

// ParseMTPriority reads the value of MT-PRIORITY (RFC 6710 §3) and returns it as
// the priority of an Envelope.
func ParseMTPriority(s string) (priority int, err error) {
	digits, negative := strings.CutPrefix(s, "-")
	n, ok := decimal(digits, 1)
	if !ok || negative && n == 0 {
		return 0, ErrMTPriority
	}
	if negative {
		n = -n
	}
	return int(n) * mtPriorityStep, nil
}

// FormatMTPriority returns the value of MT-PRIORITY for the priority of an
// Envelope: what lies between two values is the one nearer to 0.
func FormatMTPriority(priority int) string {
	return strconv.Itoa(min(max(priority/mtPriorityStep, -maxMTPriority), maxMTPriority))
}

// ValidSince says that a message is for who has had the recipient's mailbox since
// then (RFC 7293). The zero value is a recipient without such a wish.
type ValidSince struct {
	At       time.Time // zero: none
	Continue bool      // action C: a host that knows no RRVS may have it, with a header field; else, action R, it may not
}

// Given reports whether there is such a wish.
func (v ValidSince) Given() bool { return !v.At.IsZero() }

// ParseValidSince reads the value of RRVS (RFC 7293 §3.1).
func ParseValidSince(s string) (v ValidSince, err error) {
	at, action, given := strings.Cut(s, ";")
	v.Continue = strings.EqualFold(action, "C")
	if given && !v.Continue && !strings.EqualFold(action, "R") {
		return ValidSince{}, ErrValidSince
	}
	if v.At, err = parseTime(at); err != nil {
		return ValidSince{}, ErrValidSince
	}
	return v, nil
}

// String returns the value of RRVS.
func (v ValidSince) String() string {
	s := v.At.UTC().Format(time.RFC3339)
	if v.Continue {
		return s + ";C"
	}
	return s + ";R"
}
