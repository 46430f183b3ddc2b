// SPDX-License-Identifier: Apache-2.0

package config

import "slices"

// test is a node of a compiled condition.
type test struct {
	op    testOp
	value bool    // of opConst
	args  []*test // of opNot, opAnd, opOr
	atom  func(facts Lookup) (bool, error)
	key   string // of opAtom: equal keys decide alike
}

type testOp int

const (
	opAtom testOp = iota
	opConst
	opNot
	opAnd
	opOr
)

// eval decides t, from left to right, no further than it matters.
func (t *test) eval(facts Lookup) (bool, error) {
	switch t.op {
	case opConst:
		return t.value, nil
	case opNot:
		v, err := t.args[0].eval(facts)
		return !v, err
	case opAnd, opOr:
		return t.chain(facts)
	}
	return t.atom(facts)
}

// chain stops at the first part that decides: false of opAnd, true of opOr.
func (t *test) chain(facts Lookup) (bool, error) {
	decisive := t.op == opOr
	for _, arg := range t.args {
		v, err := arg.eval(facts)
		if err != nil || v == decisive {
			return v, err
		}
	}
	return !decisive, nil
}

func not(t *test) *test { return &test{op: opNot, args: []*test{t}} }

// keys adds the keys of all atoms to into, each once.
func (t *test) keys(into []string) []string {
	if t.op == opAtom && !slices.Contains(into, t.key) {
		into = append(into, t.key)
	}
	for _, arg := range t.args {
		into = arg.keys(into)
	}
	return into
}

// maxAtoms bounds the truth table of constant.
const maxAtoms = 10

// constant reports whether t decides alike however its atoms do, as far as a
// truth table of at most maxAtoms atoms shows it.
func (t *test) constant() (value, is bool) {
	keys := t.keys(nil)
	if len(keys) > maxAtoms {
		return false, false
	}
	value = t.under(keys, 0)
	for row := 1; row < 1<<len(keys); row++ {
		if t.under(keys, row) != value {
			return false, false
		}
	}
	return value, true
}

// under decides t when the atoms of keys are true where row has a bit.
func (t *test) under(keys []string, row int) bool {
	switch t.op {
	case opConst:
		return t.value
	case opNot:
		return !t.args[0].under(keys, row)
	case opAnd, opOr:
		found := slices.ContainsFunc(t.args, func(arg *test) bool { return arg.under(keys, row) == (t.op == opOr) })
		return found == (t.op == opOr)
	}
	return row&(1<<slices.Index(keys, t.key)) != 0
}
