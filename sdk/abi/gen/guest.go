// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

// guestText is the part of the conformance guest that does not depend on the
// list of functions.
//
//go:embed guest.wat
var guestText string

// renderGuest returns sdk/kit/guest/guest.wat: the guest of the conformance kit,
// which can call every served function.
func renderGuest(s *spec) []byte {
	var imports, table, calls bytes.Buffer
	fs := s.served()
	for n, f := range fs {
		fmt.Fprintf(&imports, "  (import %q %q (func $host_%s%s))\n", s.Module, f.Name, f.Name, f.watType())
		fmt.Fprintf(&table, "\\%02x\\%02x", f.index("b")+1, f.index("out")+1)
		fmt.Fprintf(&calls, "    (if (i32.eq (local.get $fn) (i32.const %d)) (then %s))\n", n, f.watCall())
	}
	return []byte(strings.NewReplacer(
		";;imports;;\n", imports.String(), ";;table;;", table.String(), "    ;;calls;;\n", calls.String(),
	).Replace(guestText))
}

// served returns the functions of this minor version in their order, which is
// that of their numbers in the conformance kit.
func (s *spec) served() []function {
	var fs []function
	for _, f := range s.Functions {
		if f.Served {
			fs = append(fs, f)
		}
	}
	return fs
}

// index returns the place of a parameter, -1 when there is none of that name.
func (f function) index(param string) int {
	for i, p := range f.Params {
		if p.Name == param {
			return i
		}
	}
	return -1
}

// watType returns the function's type.
func (f function) watType() string {
	t := ""
	for _, p := range f.Params {
		t += " " + p.Type
	}
	if t != "" {
		t = " (param" + t + ")"
	}
	if f.Result != "" {
		t += " (result " + f.Result + ")"
	}
	return t
}

// watCall calls the function with the arguments of the step at $at, and returns
// its result as an i64, 0 when it has none.
func (f function) watCall() string {
	c := "(call $host_" + f.Name
	for i, p := range f.Params {
		a := fmt.Sprintf("(call $arg (local.get $at) (i32.const %d))", i)
		if p.Type == "i32" {
			a = "(i32.wrap_i64 " + a + ")"
		}
		c += " " + a
	}
	c += ")"
	switch f.Result {
	case "":
		return c + " (return (i64.const 0))"
	case "i32":
		c = "(i64.extend_i32_s " + c + ")"
	}
	return "(return " + c + ")"
}
