// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// lit is the value of an expression that keeps its places in the text: a
// scalar, a list, a map or a reference.
type lit struct {
	rng    hcl.Range
	form   form
	value  cty.Value // of a scalar: string, number or bool, never null
	items  []lit     // of a list, or the values of a map
	keys   []key     // of a map, in text order
	root   string    // of a reference "root.name"
	name   string
	steps  int  // of a reference: how many names it has
	secret bool // must not be printed
	block  bool // written as a block, not as an argument
}

type form int

const (
	scalar form = iota
	list
	mapping
	reference
	broken // reported already: nothing more is said about it
)

type key struct {
	name string
	rng  hcl.Range
}

// what names the form and type of l for people.
func (l lit) what() string {
	switch {
	case l.block:
		return "a block"
	case l.form == list:
		return "a list"
	case l.form == mapping:
		return "an object"
	case l.form == reference:
		return "a reference"
	case l.value.Type() == cty.String:
		return "a string"
	case l.value.Type() == cty.Bool:
		return "true or false"
	}
	return "a number"
}

// text returns the string that l is.
func (l lit) text() (string, bool) {
	if l.form != scalar || l.value.Type() != cty.String {
		return "", false
	}
	return l.value.AsString(), true
}

// lit evaluates x. What cannot be evaluated is reported, and broken.
func (d *decoder) lit(x hcl.Expression) lit {
	switch x := x.(type) {
	case *hclsyntax.ParenthesesExpr:
		return d.lit(x.Expression)
	case *hclsyntax.ScopeTraversalExpr:
		return referenceLit(x)
	case *hclsyntax.TupleConsExpr:
		return d.listLit(x)
	case *hclsyntax.ObjectConsExpr:
		return d.mapLit(x)
	}
	return d.evaluate(x)
}

func referenceLit(x *hclsyntax.ScopeTraversalExpr) lit {
	l := lit{rng: x.Range(), form: reference, root: x.Traversal.RootName(), steps: len(x.Traversal)}
	if len(x.Traversal) > 1 {
		if step, ok := x.Traversal[1].(hcl.TraverseAttr); ok {
			l.name = step.Name
		}
	}
	return l
}

func (d *decoder) listLit(x *hclsyntax.TupleConsExpr) lit {
	l := lit{rng: x.Range(), form: list}
	for _, item := range x.Exprs {
		l.items = append(l.items, d.lit(item))
	}
	return l
}

func (d *decoder) mapLit(x *hclsyntax.ObjectConsExpr) lit {
	l := lit{rng: x.Range(), form: mapping}
	seen := map[string]bool{}
	for _, item := range x.Items {
		k, ok := d.mapKey(item.KeyExpr)
		if ok && seen[k.name] {
			d.fault(k.rng, fmt.Sprintf("the key %q stands here twice", k.name), "")
		}
		if ok && !seen[k.name] {
			seen[k.name] = true
			l.keys, l.items = append(l.keys, k), append(l.items, d.lit(item.ValueExpr))
		}
	}
	return l
}

func (d *decoder) mapKey(x hcl.Expression) (key, bool) {
	v := d.evaluate(x)
	name, isText := v.text()
	if !isText && v.form != broken {
		d.fault(x.Range(), "the key of an object must be a string", "")
	}
	return key{name, x.Range()}, isText
}

// evaluate computes an expression in which names have no meaning.
func (d *decoder) evaluate(x hcl.Expression) lit {
	if vars := x.Variables(); len(vars) > 0 {
		d.fault(vars[0].SourceRange(), fmt.Sprintf("%q cannot be used inside this expression", vars[0].RootName()),
			"a reference stands alone; a text stands in quotes")
		return lit{rng: x.Range(), form: broken}
	}
	v, diags := x.Value(d.functions)
	if diags.HasErrors() {
		d.failedCall(x, diags)
		return lit{rng: x.Range(), form: broken}
	}
	return d.literal(v, x.Range())
}

// failedCall reports errors of evaluation. The reason of a function's error
// may hold its argument, which must not be printed when it may be a secret.
func (d *decoder) failedCall(x hcl.Expression, diags hcl.Diagnostics) {
	for _, diag := range diags {
		call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](diag)
		switch {
		case !ok || call.FunctionCallError() == nil:
			d.hcl(hcl.Diagnostics{diag})
		case calls(x, "secret") && call.CalledFunctionName() != "secret":
			d.fault(x.Range(), call.CalledFunctionName()+": the argument is not valid", "the reason is not shown, for it may hold a secret")
		default:
			d.fault(x.Range(), fmt.Sprintf("%s: %s", call.CalledFunctionName(), call.FunctionCallError()), "")
		}
	}
}

// calls reports whether x calls one of the functions.
func calls(x hcl.Expression, names ...string) bool {
	node, ok := x.(hclsyntax.Node)
	if !ok {
		return false
	}
	found := false
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		call, ok := n.(*hclsyntax.FunctionCallExpr)
		found = found || ok && slices.Contains(names, call.Name)
		return nil
	})
	return found
}

// literal converts a computed value; all of its parts have the place rng.
func (d *decoder) literal(v cty.Value, rng hcl.Range) lit {
	v, marks := v.UnmarkDeep()
	l, ok := fromValue(v, rng)
	if !ok {
		d.fault(rng, "this value is null", "leave the argument out to get its default")
		return lit{rng: rng, form: broken}
	}
	if len(marks) > 0 {
		l.hide()
	}
	return l
}

func (l *lit) hide() {
	l.secret = true
	for i := range l.items {
		l.items[i].hide()
	}
}

func fromValue(v cty.Value, rng hcl.Range) (lit, bool) {
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return lit{}, false
	}
	if v.Type().IsPrimitiveType() {
		return lit{rng: rng, value: v}, true
	}
	if !v.CanIterateElements() {
		return lit{}, false
	}
	l := lit{rng: rng, form: list}
	for k, item := range v.Elements() {
		if v.Type().IsObjectType() || v.Type().IsMapType() {
			l.form = mapping
			l.keys = append(l.keys, key{k.AsString(), rng})
		}
		i, ok := fromValue(item, rng)
		if !ok {
			return lit{}, false
		}
		l.items = append(l.items, i)
	}
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		l.form = mapping
	}
	return l, true
}
