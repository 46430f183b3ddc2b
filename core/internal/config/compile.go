// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// compiler turns the expression of a `when` into a tree of tests. It does not
// use the HCL evaluator for what depends on facts: that allocates for every
// value, and a condition runs for every message.
type compiler struct {
	*decoder
	facts   map[string]hcl.Range // each fact, where it is first asked for
	usesEnv bool
}

// when compiles a condition and checks that its facts are known in the phases
// of plugin p, which may be nil, that are called at its place. It returns nil
// when the condition is faulty.
func (d *decoder) when(x hclsyntax.Expression, p *loadedPlugin, at place) *Condition {
	c := &compiler{decoder: d, facts: map[string]hcl.Range{}}
	before := len(d.faults)
	root := c.test(x)
	if root == nil || len(d.faults) > before {
		return nil
	}
	if value, is := root.constant(); is && !(c.usesEnv && len(c.facts) > 0) {
		d.fault(x.Range(), fmt.Sprintf("this condition is always %t", value), "a stage without `when` always runs; remove the stage if it never should")
		return nil
	}
	if p != nil && p.checked {
		c.checkPhases(p, at.of(p.Phases))
	}
	return &Condition{text: d.sourceText(x.Range()), facts: slices.Sorted(maps.Keys(c.facts)), root: root}
}

// checkPhases reports facts that are not known in one of the phases in which
// the plugin is called.
func (c *compiler) checkPhases(p *loadedPlugin, called []string) {
	for _, name := range slices.Sorted(maps.Keys(c.facts)) {
		if early := tooEarly(name, called); len(early) > 0 {
			c.fault(c.facts[name], fmt.Sprintf("%s is not known in %s, in which plugin %q is called too", name, phrase(early), p.Name),
				phaseRemedy(called, factTable[name].phases))
		}
	}
}

// tooEarly returns those of the phases in which conditions are asked, but the
// fact is not known.
func tooEarly(fact string, called []string) []string {
	return slices.DeleteFunc(slices.Clone(called), func(phase string) bool {
		return !slices.Contains(factPhases(), phase) || slices.Contains(factTable[fact].phases, phase)
	})
}

func phaseRemedy(called, known []string) string {
	keep := slices.DeleteFunc(slices.Clone(called), func(phase string) bool { return !slices.Contains(known, phase) })
	if len(keep) == 0 {
		return "it is known in " + knownText(known) + " only: use another fact"
	}
	return "use another fact, or let a plugin block say\n  phases = " + printList(keep, quote)
}

// test compiles an expression that must decide; nil when it was reported as
// faulty.
func (c *compiler) test(x hclsyntax.Expression) *test {
	switch x := x.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.test(x.Expression)
	case *hclsyntax.UnaryOpExpr:
		if x.Op == hclsyntax.OpLogicalNot {
			return c.negated(x)
		}
	case *hclsyntax.BinaryOpExpr:
		return c.binary(x)
	}
	o, ok := c.operand(x)
	if ok && o.kind != kindBool {
		c.fault(x.Range(), fmt.Sprintf("a condition needs true or false here, but this is %s", o.kind), remedyFor(o))
		ok = false
	}
	if !ok {
		return nil
	}
	return o.decide
}

func remedyFor(o operand) string {
	switch o.kind {
	case kindList:
		return fmt.Sprintf("a header field can repeat; ask contains(%s, \"…\"), matches(\"…\", %s) or length(%s) > 0", o.key, o.key, o.key)
	case kindSize:
		return fmt.Sprintf("compare it: %s > \"1MiB\"", o.key)
	case kindNumber, kindScore:
		return fmt.Sprintf("compare it: %s > 1", o.key)
	}
	return fmt.Sprintf("compare it: %s == \"…\"", o.key)
}

func (c *compiler) negated(x *hclsyntax.UnaryOpExpr) *test {
	t := c.test(x.Val)
	if t == nil {
		return nil
	}
	return not(t)
}

func (c *compiler) binary(x *hclsyntax.BinaryOpExpr) *test {
	switch x.Op {
	case hclsyntax.OpLogicalAnd:
		return c.chain(opAnd, x)
	case hclsyntax.OpLogicalOr:
		return c.chain(opOr, x)
	}
	left, okLeft := c.operand(x.LHS)
	right, okRight := c.operand(x.RHS)
	if !okLeft || !okRight {
		return nil
	}
	return c.comparison(x, left, right)
}

// chain compiles both sides, so that all faults are found.
func (c *compiler) chain(op testOp, x *hclsyntax.BinaryOpExpr) *test {
	left, right := c.test(x.LHS), c.test(x.RHS)
	if left == nil || right == nil {
		return nil
	}
	t := &test{op: op}
	for _, arg := range []*test{left, right} {
		if arg.op == op {
			t.args = append(t.args, arg.args...)
		} else {
			t.args = append(t.args, arg)
		}
	}
	return t
}

// operand compiles an expression of any kind.
func (c *compiler) operand(x hclsyntax.Expression) (operand, bool) {
	if len(x.Variables()) == 0 && !c.callsOwn(x) {
		return c.constant(x)
	}
	switch x := x.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.operand(x.Expression)
	case *hclsyntax.ScopeTraversalExpr:
		return c.fact(x)
	case *hclsyntax.IndexExpr:
		return c.indexed(x)
	case *hclsyntax.FunctionCallExpr:
		return c.call(x)
	case *hclsyntax.UnaryOpExpr, *hclsyntax.BinaryOpExpr:
		return c.inner(x)
	}
	c.fault(x.Range(), "a condition cannot hold this", "expected facts, texts, numbers, ( ) ! && || == != < <= > >= and functions")
	return operand{}, false
}

// inner compiles a comparison inside another one, as in (a == b) == c.
func (c *compiler) inner(x hclsyntax.Expression) (operand, bool) {
	switch x := x.(type) {
	case *hclsyntax.UnaryOpExpr:
		if x.Op != hclsyntax.OpLogicalNot {
			c.fault(x.Range(), "a condition does not compute", "")
			return operand{}, false
		}
	}
	t := c.test(x)
	return operand{kind: kindBool, decide: t, key: c.sourceText(x.Range())}, t != nil
}

// constant computes an expression without facts.
func (c *compiler) constant(x hclsyntax.Expression) (operand, bool) {
	c.noteEnv(x)
	l := c.lit(x)
	if l.form == broken {
		return operand{}, false
	}
	o := operand{constant: true, key: c.sourceText(x.Range())}
	switch {
	case l.form == list:
		return c.constantList(o, l)
	case l.form != scalar:
		c.fault(l.rng, "a condition cannot hold "+l.describe(), "")
		return o, false
	case l.value.Type() == cty.Bool:
		o.kind, o.decide = kindBool, &test{op: opConst, value: l.value.True()}
	case l.value.Type() == cty.Number:
		return c.constantNumber(o, l)
	default:
		text := l.value.AsString()
		o.kind, o.text = kindString, func(Lookup) (string, error) { return text, nil }
	}
	return o, true
}

func (c *compiler) constantNumber(o operand, l lit) (operand, bool) {
	if n, ok := wholeNumber(l); ok {
		o.kind, o.number = kindNumber, func(Lookup) (int64, error) { return n, nil }
		return o, true
	}
	n, ok := thousandths(l)
	if !ok {
		c.fault(l.rng, "a condition knows only whole numbers, and scores with up to three decimals", "")
	}
	o.kind, o.number = kindScore, func(Lookup) (int64, error) { return n, nil }
	return o, ok
}

// thousandths returns a number as a score, false when it has more than three
// decimals.
func thousandths(l lit) (int64, bool) {
	f, _ := l.value.AsBigFloat().Float64()
	n := math.Round(f * 1000)
	return int64(n), math.Abs(f*1000-n) < 1e-6 && math.Abs(n) < 1e15
}

func (c *compiler) constantList(o operand, l lit) (operand, bool) {
	items := make([]string, 0, len(l.items))
	for _, item := range l.items {
		text, ok := item.text() // broken ones were reported
		if !ok {
			c.fault(item.rng, "a list in a condition holds texts, not "+item.what(), "")
			return o, false
		}
		items = append(items, text)
	}
	o.kind, o.list = kindList, func(Lookup) ([]string, error) { return items, nil }
	return o, true
}

// noteEnv remembers that a constant comes from outside the text.
func (c *compiler) noteEnv(x hclsyntax.Expression) {
	c.usesEnv = c.usesEnv || calls(x, "env", "secret")
}

// fact compiles a name such as client.ip or message.header["Subject"].
func (c *compiler) fact(x *hclsyntax.ScopeTraversalExpr) (operand, bool) {
	name, index := traversalName(x.Traversal)
	if name == messageHeader {
		return c.headerFact(x, index)
	}
	f, ok := factTable[name]
	if !ok {
		c.fault(x.Range(), fmt.Sprintf("there is no fact %q", name), expected(name, slices.Sorted(maps.Keys(factTable))))
		return operand{}, false
	}
	if index != nil || len(x.Traversal) > 2 {
		c.fault(x.Range(), name+" has no parts", "it is "+f.kind.String())
		return operand{}, false
	}
	c.note(name, x.Range())
	return factOperand(name, f, name), true
}

// traversalName returns the first two names, and the index behind them.
func traversalName(t hcl.Traversal) (string, *cty.Value) {
	name := t.RootName()
	if len(t) > 1 {
		if step, ok := t[1].(hcl.TraverseAttr); ok {
			name += "." + step.Name
		}
	}
	if len(t) == 3 {
		if step, ok := t[2].(hcl.TraverseIndex); ok {
			return name, &step.Key
		}
	}
	return name, nil
}

func (c *compiler) headerFact(x hclsyntax.Expression, index *cty.Value) (operand, bool) {
	if index == nil || index.Type() != cty.String {
		c.fault(x.Range(), messageHeader+" needs the name of a field", `expected message.header["Subject"]`)
		return operand{}, false
	}
	c.note(messageHeader, x.Range())
	return headerOperand(index.AsString(), fmt.Sprintf("message.header[%q]", index.AsString())), true
}

// indexed compiles message.header[…] whose key is computed.
func (c *compiler) indexed(x *hclsyntax.IndexExpr) (operand, bool) {
	t, ok := x.Collection.(*hclsyntax.ScopeTraversalExpr)
	if name := ""; ok {
		name, _ = traversalName(t.Traversal)
		ok = name == messageHeader && len(t.Traversal) == 2 && len(x.Key.Variables()) == 0
	}
	if !ok {
		c.fault(x.Range(), "only message.header takes a name in brackets, and that must not depend on facts", `expected message.header["Subject"]`)
		return operand{}, false
	}
	c.noteEnv(x.Key)
	l := c.lit(x.Key)
	if l.form != scalar {
		return operand{}, false
	}
	return c.headerFact(x, &l.value)
}

func (c *compiler) note(name string, rng hcl.Range) {
	if _, ok := c.facts[name]; !ok {
		c.facts[name] = rng
	}
}
