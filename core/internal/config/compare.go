// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// comparison compiles a comparison. Only == and < are compiled: the others are
// their negation or mirror image, so that the truth table knows them as one.
func (c *compiler) comparison(x *hclsyntax.BinaryOpExpr, a, b operand) *test {
	a, b, ok := c.alike(x, a, b)
	if !ok {
		return nil
	}
	switch x.Op {
	case hclsyntax.OpEqual:
		return c.equal(x, a, b)
	case hclsyntax.OpNotEqual:
		return negation(c.equal(x, a, b))
	case hclsyntax.OpLessThan:
		return c.less(x, a, b)
	case hclsyntax.OpGreaterThan:
		return c.less(x, b, a)
	case hclsyntax.OpLessThanOrEqual:
		return negation(c.less(x, b, a))
	case hclsyntax.OpGreaterThanOrEqual:
		return negation(c.less(x, a, b))
	}
	c.fault(x.Range(), "a condition does not compute", "expected a comparison: == != < <= > >=")
	return nil
}

func negation(t *test) *test {
	if t == nil {
		return nil
	}
	return not(t)
}

// alike brings both sides to one kind: a text beside a size is a size, a number
// beside a score is a score.
func (c *compiler) alike(x *hclsyntax.BinaryOpExpr, a, b operand) (operand, operand, bool) {
	a, b = asScore(a, b), asScore(b, a)
	if a.kind == kindSize && b.kind != kindSize {
		b = c.asSize(x.RHS, a, b)
	} else if b.kind == kindSize && a.kind != kindSize {
		a = c.asSize(x.LHS, b, a)
	}
	if a.number == nil && a.kind == kindSize || b.number == nil && b.kind == kindSize {
		return a, b, false
	}
	if a.kind == kindList || b.kind == kindList {
		list := a
		if b.kind == kindList {
			list = b
		}
		c.fault(x.Range(), list.key+" is a list and cannot be compared", remedyFor(list))
		return a, b, false
	}
	if a.kind != b.kind && (a.decimal() || b.decimal()) {
		c.fault(x.Range(), "a condition knows only whole numbers, but beside message.score", "")
		return a, b, false
	}
	if a.kind != b.kind {
		c.fault(x.Range(), fmt.Sprintf("%s is %s, but %s is %s", a.key, a.kind, b.key, b.kind), "both sides of a comparison must be of one kind")
		return a, b, false
	}
	return a, b, true
}

// decimal reports whether o is a constant with decimals.
func (o operand) decimal() bool { return o.constant && o.kind == kindScore }

// asScore returns o in thousandths when it is a constant number beside a score.
func asScore(o, beside operand) operand {
	if beside.kind != kindScore || o.kind != kindNumber || !o.constant {
		return o
	}
	n, _ := o.number(nil)
	n = max(-math.MaxInt32, min(n, math.MaxInt32)) * 1000 // no score is beyond
	o.kind, o.number = kindScore, func(Lookup) (int64, error) { return n, nil }
	return o
}

// asSize reads constant o, which stands beside size, as a size. Its number is
// nil when that was reported as a fault.
func (c *compiler) asSize(x hclsyntax.Expression, size, o operand) operand {
	want := fmt.Sprintf("expected a size with a unit, such as \"1MiB\", beside %s", size.key)
	if !o.constant || o.kind != kindString {
		c.fault(x.Range(), fmt.Sprintf("%s is %s", o.key, o.kind), want)
		return operand{kind: kindSize}
	}
	text, _ := o.text(nil)
	n, err := parseSize(text)
	if err != nil {
		c.fault(x.Range(), err.Error(), want)
		return operand{kind: kindSize}
	}
	return operand{kind: kindSize, key: o.key, constant: true, number: func(Lookup) (int64, error) { return n, nil }}
}

func (c *compiler) equal(x *hclsyntax.BinaryOpExpr, a, b operand) *test {
	t := &test{key: a.key + " == " + b.key}
	switch a.kind {
	case kindString:
		t.atom = both(a.text, b.text, func(x, y string) bool { return x == y })
	case kindBool:
		t.atom = both(a.decide.eval, b.decide.eval, func(x, y bool) bool { return x == y })
	default:
		t.atom = both(a.number, b.number, func(x, y int64) bool { return x == y })
	}
	return c.fold(x, t, a, b)
}

func (c *compiler) less(x *hclsyntax.BinaryOpExpr, a, b operand) *test {
	if a.number == nil {
		c.fault(x.Range(), fmt.Sprintf("%s and %s cannot be ordered", a.key, b.key), "texts and truth values know only == and !=")
		return nil
	}
	t := &test{key: a.key + " < " + b.key, atom: both(a.number, b.number, func(x, y int64) bool { return x < y })}
	return c.fold(x, t, a, b)
}

// both makes a decision about two operands.
func both[T any](a, b func(Lookup) (T, error), decide func(x, y T) bool) func(Lookup) (bool, error) {
	return func(facts Lookup) (bool, error) {
		x, err := a(facts)
		if err != nil {
			return false, err
		}
		y, err := b(facts)
		if err != nil {
			return false, err
		}
		return decide(x, y), nil
	}
}

// fold computes a decision about constants, and about a thing and itself.
func (c *compiler) fold(x *hclsyntax.BinaryOpExpr, t *test, a, b operand) *test {
	if a.key == b.key {
		c.fault(x.Range(), "both sides of this comparison are the same", "")
		return nil
	}
	if !a.constant || !b.constant {
		return t
	}
	v, _ := t.atom(nil)
	return &test{op: opConst, value: v}
}
