// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// referable is what references lead to.
func referable() []string {
	return []string{"users", "acme", "plugin", "store", "bucket", "pipeline", "route", "source"}
}

// definition is one named block at the top level.
type definition struct {
	name string
	rng  hcl.Range
	used bool
}

// names holds the definitions by block type, in text order.
type names map[string][]*definition

// collect notes every named block, so that references may lead forward.
func (d *decoder) collect(body *hclsyntax.Body) {
	for _, b := range body.Blocks {
		spec, ok := d.grammar.block(b.Type)
		if ok && len(spec.labels) > 0 && len(b.Labels) == len(spec.labels) {
			last := len(b.Labels) - 1
			d.define(b.Type, b.Labels[last], b.LabelRanges[last])
		}
	}
}

func (d *decoder) define(what, name string, rng hcl.Range) {
	if old := d.names.find(what, name); old != nil {
		d.fault(rng, fmt.Sprintf("%s %q is defined twice", what, name),
			fmt.Sprintf("the first one stands in line %d; give one of them another name", old.rng.Start.Line))
		return
	}
	d.names[what] = append(d.names[what], &definition{name: name, rng: rng})
}

func (n names) find(what, name string) *definition {
	for _, def := range n[what] {
		if def.name == name {
			return def
		}
	}
	return nil
}

func (n names) list(what string) []string {
	out := []string{}
	for _, def := range n[what] {
		out = append(out, def.name)
	}
	return out
}

// use marks names as used.
func (n names) use(what string, names ...string) {
	for _, name := range names {
		if def := n.find(what, name); def != nil {
			def.used = true
		}
	}
}

// unused warns about what no reference leads to. Behind an error it says nothing:
// the reference may be what is faulty.
func (d *decoder) unused() {
	if d.failed() {
		return
	}
	for _, what := range referable() {
		for _, def := range d.names[what] {
			if !def.used {
				d.warn(def.rng, fmt.Sprintf("%s %q is defined but not used", what, def.name), "use it or remove it")
			}
		}
	}
}

// refKind reads a reference to a block of type what, as its name.
func refKind(what string) kind {
	k := kind{name: what + " reference", want: fmt.Sprintf("a reference, such as %s.NAME", what)}
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		name, ok := d.resolve(arg, what, l)
		return name, ok
	}
	k.print = func(v any) string { return what + "." + v.(string) }
	return k
}

// refsKind reads a list of references, as names; ["*"] stands for all.
func refsKind(what string) kind {
	one := refKind(what)
	plain := listKind[string](one, "list of "+what+" references")
	k := plain
	k.want += `, or ["*"] for all`
	k.read = func(d *decoder, arg string, l lit) (any, bool) {
		if isAll(l) {
			all := d.names.list(what)
			d.names.use(what, all...)
			return all, true
		}
		return plain.read(d, arg, l)
	}
	return k
}

func isAll(l lit) bool {
	if l.form != list || len(l.items) != 1 {
		return false
	}
	s, ok := l.items[0].text()
	return ok && s == "*"
}

// resolve returns the name that a reference to a block of type what leads to.
func (d *decoder) resolve(arg, what string, l lit) (string, bool) {
	if l.form == broken {
		return "", false
	}
	if s, ok := l.text(); ok && !l.secret {
		d.fault(l.rng, fmt.Sprintf("%s is a reference, not a text", arg), "write it without quotes: "+d.suggestRef(what, s))
		return "", false
	}
	if l.form != reference || l.root != what || l.steps != 2 || l.name == "" {
		d.fault(l.rng, fmt.Sprintf("%s cannot be %s", arg, l.describe()),
			fmt.Sprintf("expected a reference to a %s, such as %s", what, d.suggestRef(what, cmp.Or(l.name, l.root))))
		return "", false
	}
	if d.names.find(what, l.name) == nil {
		d.unknownName(what, l.name, l.rng)
		return "", false
	}
	d.names.use(what, l.name)
	return l.name, true
}

func (d *decoder) unknownName(what, name string, rng hcl.Range) {
	valid := d.names.list(what)
	if len(valid) == 0 {
		d.fault(rng, fmt.Sprintf("there is no %s %q", what, name), fmt.Sprintf("define it: %s %q { … }", what, name))
		return
	}
	for i := range valid {
		valid[i] = what + "." + valid[i]
	}
	d.fault(rng, fmt.Sprintf("there is no %s %q", what, name), expected(what+"."+name, valid))
}

// suggestRef spells the reference that s may have meant, else any that leads
// somewhere.
func (d *decoder) suggestRef(what, s string) string {
	s = strings.TrimPrefix(s, what+".")
	valid := d.names.list(what)
	switch near := nearest(s, valid); {
	case near != "":
		s = near
	case len(valid) > 0:
		s = valid[0]
	case !isName(s) || s == what:
		s = "NAME"
	}
	return what + "." + s
}
