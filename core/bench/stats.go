// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"slices"
	"strconv"
)

// spread is the median and the range of some numbers.
type spread struct{ median, low, high float64 }

// spreadOf leaves out what is not known; ok is false when nothing is.
func spreadOf(values []float64) (s spread, ok bool) {
	known := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(known) == 0 {
		return s, false
	}
	slices.Sort(known)
	n := len(known)
	return spread{(known[(n-1)/2] + known[n/2]) / 2, known[0], known[n-1]}, true
}

// String shows three digits: "1,234 (1,100–1,300)", or the median alone when
// there is one number.
func (s spread) String() string {
	if s.low == s.high {
		return digits(s.median)
	}
	return digits(s.median) + " (" + digits(s.low) + "–" + digits(s.high) + ")"
}

// digits shows a number to three digits.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return thousands(int64(math.Round(v)))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1 || a < 0.0005:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
