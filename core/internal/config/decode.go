// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

type prefix = netip.Prefix

// node is a block whose arguments are evaluated and defaulted.
type node struct {
	spec   *blockSpec
	labels []string
	rng    hcl.Range // its type and labels; of a block that is not there: its parent's
	args   map[string]value
	blocks []*node
	body   *hclsyntax.Body // of a free block
	config map[string]any  // of a free block, when checked
	schema *schema         // of a free block, nil when unchecked
}

// value is one argument of a node.
type value struct {
	v      any
	rng    hcl.Range
	given  bool // in the text, not by default
	secret bool
	expr   hclsyntax.Expression // nil when by default
}

// arg returns the value of an argument, the zero value when it has none or a
// faulty one.
func arg[T any](n *node, name string) T {
	v, _ := n.args[name].v.(T)
	return v
}

// has reports whether the argument stands in the text and is valid.
func (n *node) has(name string) bool {
	v := n.args[name]
	return v.given && v.v != nil
}

// set fills in an argument that was left out.
func (n *node) set(name string, v any) { n.args[name] = value{v: v, rng: n.rng} }

// name returns the last label.
func (n *node) name() string { return n.labels[len(n.labels)-1] }

// child returns the block of that type, nil if it is not there.
func (n *node) child(name string) *node {
	for _, b := range n.blocks {
		if b.spec.name == name {
			return b
		}
	}
	return nil
}

// children returns all blocks of that type.
func (n *node) children(name string) []*node {
	var out []*node
	for _, b := range n.blocks {
		if b.spec.name == name {
			out = append(out, b)
		}
	}
	return out
}

// decoder turns a syntax tree into nodes.
type decoder struct {
	*report
	dir       string // the configuration's folder, absolute
	grammar   *blockSpec
	lookup    functions
	functions *hcl.EvalContext // what expressions may call of lookup
	names     names
	server    Server // of what is decoded after it
}

// block decodes body by spec; rng is the place to report what is missing.
func (d *decoder) block(spec *blockSpec, labels []string, rng hcl.Range, body *hclsyntax.Body) *node {
	n := &node{spec: spec, labels: labels, rng: rng, args: map[string]value{}}
	if spec.free {
		n.body = body
		return n
	}
	d.arguments(n, body)
	for _, b := range body.Blocks {
		d.nested(n, b)
	}
	d.fillBlocks(n)
	return n
}

// arguments decodes the arguments in text order, then fills in the defaults.
func (d *decoder) arguments(n *node, body *hclsyntax.Body) {
	for _, a := range sortedAttributes(body) {
		spec, ok := n.spec.arg(a.Name)
		if !ok {
			d.unknownArgument(n.spec, a)
			continue
		}
		n.args[a.Name] = d.argument(spec, a.Expr)
	}
	for _, spec := range n.spec.args {
		if _, ok := n.args[spec.name]; !ok {
			d.absentArgument(n, spec)
		}
	}
}

func sortedAttributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	var out []*hclsyntax.Attribute
	for _, a := range body.Attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return out
}

func (d *decoder) argument(spec argSpec, x hclsyntax.Expression) value {
	v := value{rng: x.Range(), given: true, expr: x}
	if spec.kind.read == nil {
		return v
	}
	l := d.lit(x)
	if got, ok := spec.kind.read(d, spec.name, l); ok {
		v.v, v.secret = got, l.secret
	}
	return v
}

func (d *decoder) absentArgument(n *node, spec argSpec) {
	if spec.required {
		d.fault(n.rng, fmt.Sprintf("%s needs the argument %s", n.spec.name, spec.name), "expected "+spec.name+" = "+spec.kind.want)
	}
	if spec.def == "" {
		return
	}
	x, _ := hclsyntax.ParseExpression([]byte(spec.def), "default", hcl.InitialPos)
	v := d.argument(spec, x)
	n.args[spec.name] = value{v: v.v, rng: n.rng}
}

func (d *decoder) nested(parent *node, b *hclsyntax.Block) {
	spec, ok := parent.spec.block(b.Type)
	if !ok {
		d.unknownBlock(parent.spec, b)
		return
	}
	d.checkLabels(spec, b)
	if old := parent.child(b.Type); old != nil && spec.count != many {
		d.fault(b.TypeRange, fmt.Sprintf("there is a second %s block", b.Type),
			fmt.Sprintf("the first one stands in line %d; merge them", old.rng.Start.Line))
	}
	n := d.block(spec, b.Labels, b.DefRange(), b.Body)
	if len(b.Labels) >= len(spec.labels) {
		parent.blocks = append(parent.blocks, n)
	}
}

func (d *decoder) checkLabels(spec *blockSpec, b *hclsyntax.Block) {
	for i, label := range b.Labels {
		if i >= len(spec.labels) {
			d.fault(b.LabelRanges[i], fmt.Sprintf("%s takes %s", spec.name, labelCount(spec)), "remove "+quote(label))
			return
		}
		if !isName(label) {
			d.fault(b.LabelRanges[i], fmt.Sprintf("%q is not a name", label), "expected letters, digits, _ and -, a letter first, at most 64")
		}
	}
	if len(b.Labels) < len(spec.labels) {
		d.fault(b.TypeRange, fmt.Sprintf("%s takes %s", spec.name, labelCount(spec)), "expected "+header(spec))
	}
}

func labelCount(spec *blockSpec) string {
	switch len(spec.labels) {
	case 0:
		return "no label"
	case 1:
		return "one label, its " + spec.labels[0]
	}
	return "the labels " + strings.Join(spec.labels, " and ")
}

// header spells the first line of a block.
func header(spec *blockSpec) string {
	text := spec.name
	for _, l := range spec.labels {
		text += " " + quote(strings.ToUpper(l))
	}
	return text + " { … }"
}

// fillBlocks puts the blocks that were left out but have defaults before the
// others.
func (d *decoder) fillBlocks(n *node) {
	var filled []*node
	for _, spec := range n.spec.blocks {
		if spec.count == always && n.child(spec.name) == nil {
			b := d.block(spec, nil, n.rng, &hclsyntax.Body{})
			filled = append(filled, b)
		}
	}
	n.blocks = append(filled, n.blocks...)
}

func (d *decoder) unknownArgument(spec *blockSpec, a *hclsyntax.Attribute) {
	if _, ok := spec.block(a.Name); ok {
		d.fault(a.NameRange, a.Name+" is a block", fmt.Sprintf("write %s { … } without \"=\"", a.Name))
		return
	}
	args, blocks := spec.names()
	d.fault(a.NameRange, fmt.Sprintf("%s has no argument %q", spec.name, a.Name), expected(a.Name, append(args, blocks...)))
}

func (d *decoder) unknownBlock(spec *blockSpec, b *hclsyntax.Block) {
	if _, ok := spec.arg(b.Type); ok {
		d.fault(b.TypeRange, b.Type+" is an argument", fmt.Sprintf("write %s = …", b.Type))
		return
	}
	args, blocks := spec.names()
	d.fault(b.TypeRange, fmt.Sprintf("%s has no block %q", spec.name, b.Type), expected(b.Type, append(blocks, args...)))
}
