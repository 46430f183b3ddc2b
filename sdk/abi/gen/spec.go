// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// spec is abi.json.
type spec struct {
	Module          string
	Minor           int
	ManifestSection string `json:"manifest_section"`
	Absent          string // what get_int returns for an absent field, decimal
	Phases          []phase
	Verdicts        []item
	Errors          []item
	Fields          []field
	Enums           []enum
	Functions       []function
	Exports         []export
	Vectors         []vector
}

// item is a number with a name.
type item struct {
	Number int
	Name   string
	Go     string // name in Go and Rust, without a prefix; empty: made from Name
	Text   string // of errors: the words
	Doc    string
}

type phase struct {
	Number   int
	Name     string
	Arg      string // what pr_on's second argument means
	Verdicts []int  // that may be returned
	Doc      string
	Served   bool // this minor of the host calls it
}

type field struct {
	Number  int
	Name    string
	Go      string
	Type    string // text, bytes, int
	Known   string // the first moment at which it is known
	Indexed bool   // idx is a recipient index
	Doc     string
}

type enum struct {
	Name   string
	Doc    string
	Values []item
}

type function struct {
	Name   string
	Params []param
	Result string   // i32, i64 or empty
	Phases []string // where it may be called; "init" is pr_init
	Grant  string
	Served bool
	Op     []operand // what an op of command mode gives it; none: there is no such op
	Doc    string
}

type param struct{ Name, Type string }

// operand is a member of an op of command mode.
type operand struct {
	Name     string
	Type     string // text, octets, int, flag, ints, texts, enhanced, verdict, or the name of an enum
	Optional bool
	OneOf    string `json:"one_of"` // of the operands with the same word exactly one is given; when they are optional, at most one
}

type export struct {
	Name     string
	Type     string
	Required bool
	Doc      string
}

func load(path string) (*spec, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	s := &spec{}
	if err := d.Decode(s); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// phaseNumber returns the number of a phase by name, -1 for pr_init.
func (s *spec) phaseNumber(name string) int {
	for _, p := range s.Phases {
		if p.Name == name {
			return p.Number
		}
	}
	return -1
}

// mask returns the phases of f as bits and whether pr_init is among them.
func (s *spec) mask(f function) (bits uint64, init bool) {
	for _, name := range f.Phases {
		n := s.phaseNumber(name)
		if n < 0 {
			init = true
			continue
		}
		bits |= 1 << uint(n)
	}
	return bits, init
}

// signature returns "(field, idx, b, c) -> i32" with the types that are not i32.
func (f function) signature() string {
	var ps []string
	for _, p := range f.Params {
		if p.Type != "i32" {
			p.Name += " " + p.Type
		}
		ps = append(ps, p.Name)
	}
	sig := "(" + strings.Join(ps, ", ") + ")"
	if f.Result != "" {
		sig += " -> " + f.Result
	}
	return sig
}

// camel returns "NotFound" for "not_found".
func camel(name string) string {
	var b strings.Builder
	for _, w := range strings.Split(name, "_") {
		switch w {
		case "io", "id", "tls", "kv", "dns", "http", "ehlo":
			b.WriteString(strings.ToUpper(w))
		default:
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

// screaming returns "PART_CONTENT_ID" for the path of names.
func screaming(names ...string) string { return strings.ToUpper(strings.Join(names, "_")) }
