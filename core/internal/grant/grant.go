// SPDX-License-Identifier: Apache-2.0

// Package grant compares the words of grants: what a plugin's manifest asks for
// with what the operator gave. config asks when it reads pipeline.hcl, wasmhost
// when it makes a stage and when a guest calls, outhttp at each connection, and all
// must get one answer.
//
// A word of the operator's stays as it was written. A pattern that covers a name
// of the manifest's does not become that name: a name says more than a pattern,
// see rationale.md.
package grant

import "slices"

// Kind is how the words of one argument are compared.
type Kind int

// The kinds of arguments.
const (
	Names Kind = iota // words; "*" stands for any
	Hosts             // of http, "[scheme://]host[:port]"
	Hops              // of next_hops, "host:port"
)

// Lacking returns the words of wants that has does not meet. A wanted "*" asks
// for whatever is given, and lacks nothing.
func (k Kind) Lacking(wants, has []string) []string {
	var out []string
	for _, w := range wants {
		if w != "*" && !slices.ContainsFunc(has, func(h string) bool { return k.covers(h, w) }) {
			out = append(out, w)
		}
	}
	return out
}

// Narrow returns what is wanted and given. Hosts and next hops stay as the
// operator wrote them; who uses them asks for both lists.
func (k Kind) Narrow(wants, has []string) []string {
	switch {
	case len(wants) == 0:
		return nil
	case k != Names || slices.Contains(wants, "*"):
		return has
	case slices.Contains(has, "*"):
		return wants
	}
	var out []string
	for _, w := range wants {
		if slices.Contains(has, w) {
			out = append(out, w)
		}
	}
	return out
}

// Idle returns the words of has that nothing of wants has a use for.
func (k Kind) Idle(wants, has []string) []string {
	var out []string
	for _, h := range has {
		if !slices.ContainsFunc(wants, func(w string) bool { return k.covers(h, w) || k.covers(w, h) }) {
			out = append(out, h)
		}
	}
	return out
}

// covers reports whether all that word allows is allowed by the word or pattern
// by.
func (k Kind) covers(by, word string) bool {
	if by == "*" || by == word {
		return true
	}
	switch k {
	case Hosts:
		return parseHost(by).covers(parseHost(word))
	case Hops:
		return parseHop(by).covers(parseHop(word))
	}
	return false
}

// Allows reports whether a list of names allows name.
func Allows(list []string, name string) bool {
	return slices.ContainsFunc(list, func(word string) bool { return Names.covers(word, name) })
}
