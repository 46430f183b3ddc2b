// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// kind is the type of an argument: how its value is read and printed.
type kind struct {
	name  string // in the reference
	want  string // what was expected, with an example
	read  func(d *decoder, name string, l lit) (any, bool)
	print func(v any) string // as HCL
}

// scalarKind reads a value of type T from a text.
func scalarKind[T any](name, want string, parse func(d *decoder, s string) (T, error), format func(T) string) kind {
	k := kind{name: name, want: want}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		s, ok := l.text()
		if !ok {
			d.mismatch(arg, l, want)
			return nil, false
		}
		v, err := parse(d, s)
		if err != nil {
			d.invalid(arg, l, err, want)
		}
		return v, err == nil
	}
	k.print = func(v any) string { return quote(format(v.(T))) }
	return k
}

// listKind reads a list of what of reads, as []T.
func listKind[T any](of kind, name string) kind {
	k := kind{name: name, want: "a list, each of it " + of.want}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		if l.form != list {
			d.mismatch(arg, l, k.want)
			return []T(nil), false
		}
		out, good := []T{}, true
		for _, item := range l.items {
			v, ok := of.read(d, arg, item)
			if good = good && ok; ok {
				out = append(out, v.(T))
			}
		}
		return out, good
	}
	k.print = func(v any) string { return printList(v.([]T), func(t T) string { return of.print(t) }) }
	return k
}

func printList[T any](items []T, print func(T) string) string {
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = print(item)
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func same(s string) string { return s }

func textKind(name, want string, check func(s string) error) kind {
	return scalarKind(name, want, func(_ *decoder, s string) (string, error) { return s, check(s) }, same)
}

func durationKind(least time.Duration) kind {
	parse := func(_ *decoder, s string) (time.Duration, error) {
		v, err := parseDuration(s)
		if err == nil && v < least {
			err = fmt.Errorf("%q is too short", s)
		}
		return v, err
	}
	want := `a time with a unit (ms, s, m, h, d), such as "250ms" or "5d"`
	if least > 0 {
		want += ", at least " + strconv.Quote(formatDuration(least))
	}
	return scalarKind("duration", want, parse, formatDuration)
}

func sizeKind(least, most int64) kind {
	parse := func(_ *decoder, s string) (int64, error) {
		v, err := parseSize(s)
		if err == nil && (v < least || v > most) {
			err = fmt.Errorf("%q is out of range", s)
		}
		return v, err
	}
	want := fmt.Sprintf(`a size with a unit (B, KiB, MiB, GiB), such as "25MiB", at least %q and at most %q`, formatSize(least), formatSize(most))
	return scalarKind("size", want, parse, formatSize)
}

func rateKind() kind {
	want := `a number per time, such as "100/1m"`
	return scalarKind("rate", want, func(_ *decoder, s string) (Rate, error) { return parseRate(s) }, formatRate)
}

func enumKind(valid ...string) kind {
	k := kind{name: strings.Join(quoted(valid), " "), want: oneOf(quoted(valid))}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		s, ok := l.text()
		if !ok {
			d.mismatch(arg, l, k.want)
			return nil, false
		}
		if !slices.Contains(valid, s) {
			d.fault(l.rng, fmt.Sprintf("%s cannot be %s", arg, l.show()), expected(l.show(), quoted(valid)))
			return nil, false
		}
		return s, true
	}
	k.print = func(v any) string { return quote(v.(string)) }
	return k
}

// numberKind reads a whole number; a text such as env gives is converted.
func numberKind(least, most int64) kind {
	k := kind{name: "number", want: fmt.Sprintf("a whole number from %d to %d", least, most)}
	if most == math.MaxInt64 {
		k.want = fmt.Sprintf("a whole number of at least %d", least)
	}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		n, ok := wholeNumber(l)
		if !ok || n < least || n > most {
			d.mismatch(arg, l, k.want)
			return nil, false
		}
		return n, true
	}
	k.print = func(v any) string { return strconv.FormatInt(v.(int64), 10) }
	return k
}

func wholeNumber(l lit) (int64, bool) {
	if l.form != scalar || l.value.Type() == cty.Bool {
		return 0, false
	}
	v, err := convert.Convert(l.value, cty.Number)
	if err != nil || v.IsNull() {
		return 0, false
	}
	n, accuracy := v.AsBigFloat().Int64()
	return n, accuracy == 0
}

func boolKind() kind {
	k := kind{name: "bool", want: "true or false"}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		b, ok := truth(l)
		if !ok {
			d.mismatch(arg, l, k.want)
			return nil, false
		}
		return b, true
	}
	k.print = func(v any) string { return strconv.FormatBool(v.(bool)) }
	return k
}

func truth(l lit) (bool, bool) {
	if l.form != scalar || l.value.Type() == cty.Number {
		return false, false
	}
	v, err := convert.Convert(l.value, cty.Bool)
	if err != nil {
		return false, false
	}
	return v.True(), true
}

// conditionKind marks an argument that is compiled, not evaluated.
func conditionKind() kind {
	return kind{name: "condition", want: "facts, texts and numbers, joined by operators and functions", print: func(v any) string { return v.(*Condition).String() }}
}

// mismatch reports a value of the wrong type.
func (d *decoder) mismatch(arg string, l lit, want string) {
	if l.form == broken {
		return
	}
	detail := "expected " + want
	switch {
	case l.form == reference && l.steps == 1:
		detail += fmt.Sprintf("\na text stands in quotes: %q", l.root)
	case l.form == scalar && l.value.Type() == cty.Number && strings.Contains(want, "unit"):
		detail += "\na bare number does not say of what: write the unit, in quotes"
	case l.form == scalar && strings.HasPrefix(want, "a list"):
		detail += "\nwrite one value as a list too: [" + l.show() + "]"
	}
	d.fault(l.rng, fmt.Sprintf("%s cannot be %s", arg, l.describe()), detail)
}

// invalid reports a text that could not be understood.
func (d *decoder) invalid(arg string, l lit, err error, want string) {
	reason := err.Error()
	if l.secret {
		reason = "the secret is not valid here"
	}
	d.fault(l.rng, arg+": "+reason, "expected "+want)
}

// show prints a scalar as HCL, unless it is a secret.
func (l lit) show() string {
	switch {
	case l.secret:
		return `"(secret)"`
	case l.form != scalar:
		return l.what()
	}
	s, _ := convert.Convert(l.value, cty.String)
	if l.value.Type() == cty.String {
		return quote(s.AsString())
	}
	return s.AsString()
}

// describe names the value for a message: a number as it is, a text in quotes.
func (l lit) describe() string {
	if l.form == reference {
		return "the reference " + l.path()
	}
	if l.form != scalar {
		return l.what()
	}
	return l.show()
}

// path spells a reference.
func (l lit) path() string {
	if l.name == "" {
		return l.root
	}
	return l.root + "." + l.name
}
