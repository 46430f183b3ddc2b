// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"path"
	"regexp"
	"time"
)

// format is a string with a meaning; what the plugin gets may be a number.
type format struct {
	want  string
	parse func(s string) (any, error)
	print func(v any) string // HCL of what parse returned; nil: as a string
	what  string             // the value is the name of a block of this type
}

func formats() map[string]format {
	return map[string]format{
		"duration": {durationKind(0).want, func(s string) (any, error) {
			v, err := parseDuration(s)
			return int64(v / time.Millisecond), err
		}, func(v any) string { return quote(formatDuration(time.Duration(v.(int64)) * time.Millisecond)) }, ""},
		"size": {`a size with a unit (B, KiB, MiB, GiB), such as "25MiB"`, func(s string) (any, error) { return parseSize(s) },
			func(v any) string { return quote(formatSize(v.(int64))) }, ""},
		"rate":   {rateKind().want, checkedText(func(s string) error { _, err := parseRate(s); return err }), nil, ""},
		"cidr":   {prefixKind().want, checkedText(func(s string) error { _, err := parsePrefix(s); return err }), nil, ""},
		"regexp": {`a regular expression (RE2), such as "^\\[SPAM\\]"`, checkedText(checkRegexp), nil, ""},
		"glob":   {`a pattern with * and ?, such as "*.exe"`, checkedText(checkGlob), nil, ""},
		"bucket": nameOf("bucket"),
		"store":  nameOf("store"),
		"route":  nameOf("route"),
	}
}

func checkedText(check func(string) error) func(string) (any, error) {
	return func(s string) (any, error) { return s, check(s) }
}

func checkRegexp(s string) error {
	_, err := regexp.Compile(s)
	return err
}

func checkGlob(s string) error {
	if _, err := path.Match(s, ""); err != nil {
		return fmt.Errorf("%q is not a pattern", s)
	}
	return nil
}

// nameOf is a reference to a block, of which the plugin gets the name; "" says
// none.
func nameOf(what string) format {
	f := format{want: fmt.Sprintf("a reference, such as %s.NAME", what), what: what}
	f.parse = func(s string) (any, error) {
		switch {
		case s == "":
			return s, nil
		case !isName(s):
			s = "NAME"
		}
		return nil, fmt.Errorf("this is a reference: write %s.%s without quotes", what, s)
	}
	f.print = func(v any) string {
		if v == "" {
			return `""`
		}
		return what + "." + v.(string)
	}
	return f
}
