// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// grantArg ties one argument of a grant block to its field.
type grantArg struct {
	name  string
	field func(*Grant) *[]string
	what  string // the block type that its names refer to; empty: plain words
}

func grantArgs() []grantArg {
	return []grantArg{
		{"read", func(g *Grant) *[]string { return &g.Read }, ""},
		{"write", func(g *Grant) *[]string { return &g.Write }, ""},
		{"routes", func(g *Grant) *[]string { return &g.Routes }, "route"},
		{"next_hops", func(g *Grant) *[]string { return &g.NextHops }, ""},
		{"kv", func(g *Grant) *[]string { return &g.Stores }, "store"},
		{"buckets", func(g *Grant) *[]string { return &g.Buckets }, "bucket"},
	}
}

func buildGrant(n *node) Grant {
	var g Grant
	for _, a := range grantArgs() {
		*a.field(&g) = arg[[]string](n, a.name)
	}
	return g
}

// grants computes what the plugin may touch: what it wants and was granted. A
// builtin is granted what it wants unless its block says less.
func (d *decoder) grants(n *node, p *loadedPlugin, m Manifest) {
	block := n.child("grant")
	if block == nil {
		block = d.block(grantSpec(), nil, n.rng, &hclsyntax.Body{})
		n.blocks = append(n.blocks, block)
	}
	builtin := strings.HasPrefix(p.Source, "builtin:")
	lacking := false
	for _, a := range grantArgs() {
		wants := *a.field(&m.Wants)
		if _, given := block.args[a.name]; builtin && !given {
			d.grantAll(block, a, wants)
		}
		granted := arg[[]string](block, a.name)
		lacking = lacking || len(d.lack(block, a, wants, granted)) > 0
		*a.field(&p.Grant) = d.effective(block, a, wants, granted)
	}
	if lacking && !builtin {
		d.missingGrant(n, block, m.Wants)
	}
}

// grantAll gives a builtin what it wants.
func (d *decoder) grantAll(block *node, a grantArg, wants []string) {
	given := slices.Clone(wants)
	if a.what != "" {
		given = d.expand(a.what, wants)
		d.names.use(a.what, given...)
	}
	block.set(a.name, given)
}

// expand replaces "*" by all names, and drops names that are not defined.
func (d *decoder) expand(what string, wants []string) []string {
	all := d.names.list(what)
	if slices.Contains(wants, "*") {
		return all
	}
	return slices.DeleteFunc(all, func(name string) bool { return !slices.Contains(wants, name) })
}

// lack returns what is wanted but not granted. A wish for any name is met by
// an argument that is there, whatever it holds.
func (d *decoder) lack(block *node, a grantArg, wants, granted []string) []string {
	_, given := block.args[a.name]
	if slices.Contains(wants, "*") {
		if given || a.what != "" && len(d.names.list(a.what)) == 0 {
			return nil
		}
		return []string{"*"}
	}
	return slices.DeleteFunc(slices.Clone(wants), func(w string) bool { return slices.Contains(granted, w) })
}

// effective returns what is both wanted and granted, and warns of grants that
// the plugin did not ask for.
func (d *decoder) effective(block *node, a grantArg, wants, granted []string) []string {
	if slices.Contains(wants, "*") {
		return granted
	}
	var out []string
	for _, g := range granted {
		if slices.Contains(wants, g) {
			out = append(out, g)
		} else {
			d.warn(block.args[a.name].rng, fmt.Sprintf("the plugin does not ask for %s %q: this grant has no effect", a.name, g), "")
		}
	}
	return out
}

// missingGrant prints the grant block that the plugin asks for.
func (d *decoder) missingGrant(n, block *node, wants Grant) {
	var lines, define []string
	for _, a := range grantArgs() {
		granted := arg[[]string](block, a.name)
		lack := d.lack(block, a, *a.field(&wants), granted)
		if all := append(slices.Clone(granted), lack...); len(all) > 0 {
			lines = append(lines, "    "+grantLine(a, all))
		}
		define = append(define, d.undefined(a, lack)...)
	}
	detail := "it is not a builtin, so it may do only what is granted; if you trust it with this, let the plugin block hold\n" +
		string(hclwrite.Format([]byte("  grant {\n"+strings.Join(lines, "\n")+"\n  }")))
	if len(define) > 0 {
		detail += "\nand define " + strings.Join(define, ", ")
	}
	d.fault(n.rng, fmt.Sprintf("plugin %q asks for grants that it does not have", n.name()), detail)
}

// undefined returns the first lines of the blocks that are missing for names.
func (d *decoder) undefined(a grantArg, names []string) []string {
	var out []string
	for _, name := range names {
		if a.what != "" && name != "*" && d.names.find(a.what, name) == nil {
			out = append(out, a.what+" "+quote(name)+" { … }")
		}
	}
	return out
}

// grantLine spells an argument of a grant block.
func grantLine(a grantArg, names []string) string {
	spell := quote
	if a.what != "" {
		spell = func(name string) string {
			if name == "*" {
				return `"*"`
			}
			return a.what + "." + name
		}
	}
	return a.name + " = " + printList(names, spell)
}
