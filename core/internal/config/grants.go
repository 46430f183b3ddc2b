// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/postroad-mail/postroad/core/internal/grant"
)

// grantArg ties one argument of a grant block to its field. Whatever its type,
// it is compared as a list of words.
type grantArg struct {
	name  string
	words func(*Grant) []string
	set   func(*Grant, []string)
	value func(words []string) any // as the block holds it
	spell func(words []string) string
	kind  grant.Kind // how its words are compared
	what  string     // the block type that its names refer to; empty: plain words
	any   bool       // whatever value is granted meets the wish, and none is spelled
}

func grantArgs() []grantArg {
	return []grantArg{
		listGrant("read", func(g *Grant) *[]string { return &g.Read }, ""),
		listGrant("write", func(g *Grant) *[]string { return &g.Write }, ""),
		listGrant("routes", func(g *Grant) *[]string { return &g.Routes }, "route"),
		listGrant("next_hops", func(g *Grant) *[]string { return &g.NextHops }, "").of(grant.Hops),
		listGrant("kv", func(g *Grant) *[]string { return &g.Stores }, "store"),
		listGrant("buckets", func(g *Grant) *[]string { return &g.Buckets }, "bucket"),
		flagGrant("dns", func(g *Grant) *bool { return &g.DNS }),
		listGrant("http", func(g *Grant) *[]string { return &g.HTTP }, "").of(grant.Hosts),
		flagGrant("emit", func(g *Grant) *bool { return &g.Emit }),
		listGrant("secrets", func(g *Grant) *[]string { return &g.Secrets }, ""),
		tickGrant(),
	}
}

func listGrant(name string, field func(*Grant) *[]string, what string) grantArg {
	a := grantArg{name: name, what: what}
	a.words = func(g *Grant) []string { return *field(g) }
	a.set = func(g *Grant, words []string) { *field(g) = words }
	a.value = func(words []string) any { return words }
	a.spell = func(words []string) string { return printList(words, a.word) }
	return a
}

// of sets how the words of the argument are compared.
func (a grantArg) of(k grant.Kind) grantArg {
	a.kind = k
	return a
}

// word spells a name: as a reference where it is one.
func (a grantArg) word(name string) string {
	if a.what == "" || name == "*" {
		return quote(name)
	}
	return a.what + "." + name
}

func flagGrant(name string, field func(*Grant) *bool) grantArg {
	return grantArg{
		name: name,
		words: func(g *Grant) []string {
			if *field(g) {
				return []string{"true"}
			}
			return nil
		},
		set:   func(g *Grant, words []string) { *field(g) = len(words) > 0 },
		value: func(words []string) any { return len(words) > 0 },
		spell: func(words []string) string { return words[0] },
	}
}

// anyTick is what a plugin is granted that is content with any interval.
const anyTick = time.Minute

func tickGrant() grantArg {
	return grantArg{
		name: "tick", any: true,
		words: func(g *Grant) []string {
			switch {
			case g.Tick == 0:
				return nil
			case g.Tick < 0:
				return []string{formatDuration(anyTick)}
			}
			return []string{formatDuration(g.Tick)}
		},
		set:   func(g *Grant, words []string) { g.Tick = tickOf(words) },
		value: func(words []string) any { return tickOf(words) },
		spell: func(words []string) string { return quote(words[0]) },
	}
}

func tickOf(words []string) time.Duration {
	if len(words) == 0 {
		return 0
	}
	d, _ := parseDuration(words[0]) // formatDuration wrote it
	return d
}

// granted returns the words that an argument of the block holds.
func (a grantArg) granted(block *node) []string {
	g := buildGrant(block)
	return a.words(&g)
}

func buildGrant(n *node) Grant {
	return Grant{
		Read: arg[[]string](n, "read"), Write: arg[[]string](n, "write"),
		Routes: arg[[]string](n, "routes"), NextHops: arg[[]string](n, "next_hops"),
		Stores: arg[[]string](n, "kv"), Buckets: arg[[]string](n, "buckets"),
		DNS: arg[bool](n, "dns"), HTTP: arg[[]string](n, "http"), Emit: arg[bool](n, "emit"),
		Secrets: arg[[]string](n, "secrets"), Tick: arg[time.Duration](n, "tick"),
	}
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
		wants := a.words(&m.Wants)
		if _, given := block.args[a.name]; builtin && !given {
			d.grantAll(block, a, wants)
		}
		granted := a.granted(block)
		lacking = lacking || len(d.lack(block, a, wants, granted)) > 0
		a.set(&p.Grant, d.effective(block, a, wants, granted))
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
	if len(given) > 0 || !a.any {
		block.set(a.name, a.value(given))
	}
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
	if a.any && given {
		return nil
	}
	if slices.Contains(wants, "*") {
		if given || a.what != "" && len(d.names.list(a.what)) == 0 {
			return nil
		}
		return []string{"*"}
	}
	return a.kind.Lacking(wants, granted)
}

// effective returns what is both wanted and granted, hosts and next hops as they
// were written, and warns of grants that the plugin did not ask for.
func (d *decoder) effective(block *node, a grantArg, wants, granted []string) []string {
	if a.any && len(wants) > 0 {
		return granted
	}
	for _, g := range a.kind.Idle(wants, granted) {
		d.warn(block.args[a.name].rng, fmt.Sprintf("the plugin does not ask for %s: this grant has no effect", a.call(g)), "")
	}
	return a.kind.Narrow(wants, granted)
}

// missingGrant prints the grant block that the plugin asks for.
func (d *decoder) missingGrant(n, block *node, wants Grant) {
	var lines, define []string
	for _, a := range grantArgs() {
		granted := a.granted(block)
		lack := d.lack(block, a, a.words(&wants), granted)
		if all := append(slices.Clone(granted), lack...); len(all) > 0 {
			lines = append(lines, "    "+a.name+" = "+a.spell(all))
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

// call names one word of the argument in a sentence.
func (a grantArg) call(word string) string {
	if word == "true" {
		return a.name
	}
	return a.name + " " + strconv.Quote(word)
}
