// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is one way to count: name is what is written behind the number.
type unit struct {
	name string
	each int64
}

// timeUnits are in nanoseconds, the largest first.
func timeUnits() []unit {
	return []unit{
		{"d", int64(24 * time.Hour)}, {"h", int64(time.Hour)}, {"m", int64(time.Minute)}, {"s", int64(time.Second)},
		{"ms", int64(time.Millisecond)}, {"us", int64(time.Microsecond)}, {"ns", 1},
	}
}

// sizeUnits are in octets, the largest binary one first.
func sizeUnits() []unit {
	return []unit{
		{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
		{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
	}
}

// parseDuration reads "250ms", "90s", "1h30m" or "5d". It is never negative.
func parseDuration(s string) (time.Duration, error) {
	total, rest := int64(0), s
	for first := true; first || rest != ""; first = false {
		n, tail, err := quantity(rest, s, timeUnits())
		if err != nil {
			return 0, err
		}
		if total > math.MaxInt64-n {
			return 0, fmt.Errorf("%q is too long", s)
		}
		total, rest = total+n, tail
	}
	return time.Duration(total), nil
}

// parseSize reads "25MiB" (binary) or "25MB" (decimal) as octets.
func parseSize(s string) (int64, error) {
	n, rest, err := quantity(s, s, sizeUnits())
	if err == nil && rest != "" {
		err = fmt.Errorf("%q goes on behind the unit", s)
	}
	return n, err
}

// quantity reads a whole number and its unit at the start of s, which is a
// part of whole.
func quantity(s, whole string, units []unit) (n int64, rest string, err error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits == 0 {
		return 0, "", fmt.Errorf("%q is not a whole number with a unit", whole)
	}
	n, err = strconv.ParseInt(s[:digits], 10, 64)
	if err != nil {
		return 0, "", fmt.Errorf("%q is too large", whole)
	}
	name := leadingLetters(s[digits:])
	u, err := findUnit(name, whole, units)
	if err != nil {
		return 0, "", err
	}
	if n > math.MaxInt64/u.each {
		return 0, "", fmt.Errorf("%q is too large", whole)
	}
	return n * u.each, s[digits+len(name):], nil
}

func leadingLetters(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
	if end < 0 {
		return s
	}
	return s[:end]
}

func findUnit(name, whole string, units []unit) (unit, error) {
	for _, u := range units {
		if u.name == name {
			return u, nil
		}
	}
	if name == "" {
		if strings.Contains(whole, " ") {
			return unit{}, fmt.Errorf("%q has a space in it", whole)
		}
		return unit{}, fmt.Errorf("%q has no unit", whole)
	}
	for _, u := range units {
		if strings.EqualFold(u.name, name) || strings.EqualFold(u.name, name+"B") || strings.EqualFold(u.name, name+"iB") {
			return unit{}, fmt.Errorf("%q has the unknown unit %q; did you mean %q?", whole, name, u.name)
		}
	}
	return unit{}, fmt.Errorf("%q has the unknown unit %q", whole, name)
}

// formatDuration writes d so that parseDuration reads it back.
func formatDuration(d time.Duration) string {
	var b strings.Builder
	for _, u := range timeUnits() {
		if n := int64(d) / u.each; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			d -= time.Duration(n * u.each)
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// formatSize writes n so that parseSize reads it back.
func formatSize(n int64) string {
	for _, u := range sizeUnits() {
		if n > 0 && n%u.each == 0 {
			return strconv.FormatInt(n/u.each, 10) + u.name
		}
	}
	return "0B"
}

// parseRate reads "100/1m".
func parseRate(s string) (Rate, error) {
	count, per, found := strings.Cut(s, "/")
	if !found {
		return Rate{}, fmt.Errorf("%q does not say per what time", s)
	}
	n, err := strconv.ParseInt(count, 10, 32)
	if err != nil || n < 1 {
		return Rate{}, fmt.Errorf("%q does not start with a whole number of at least 1", s)
	}
	d, err := parseDuration(per)
	if err != nil {
		return Rate{}, err
	}
	if d == 0 {
		return Rate{}, errors.New("a rate needs a time longer than nothing")
	}
	return Rate{int(n), d}, nil
}

func formatRate(r Rate) string {
	return strconv.Itoa(r.Count) + "/" + formatDuration(r.Per)
}
