// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

func (d *decoder) pipeline(n *node, plugins map[string]*loadedPlugin) Pipeline {
	p := Pipeline{Name: n.name()}
	lines := map[string]int{}
	for _, s := range n.children("stage") {
		if first := lines[s.name()]; first > 0 {
			d.fault(s.rng, fmt.Sprintf("stage %q is defined twice in this pipeline", s.name()),
				fmt.Sprintf("the first one stands in line %d; give one of them another name", first))
		}
		lines[s.name()] = s.rng.Start.Line
		p.Stages = append(p.Stages, d.stage(s, plugins))
	}
	return p
}

func (d *decoder) stage(n *node, plugins map[string]*loadedPlugin) Stage {
	s := Stage{
		Name: n.name(), Plugin: arg[string](n, "plugin"), OnError: arg[string](n, "on_error"),
		Always: arg[bool](n, "always"), Pos: d.pos(n.rng),
	}
	p := plugins[s.Plugin]
	if v := n.args["when"]; v.expr != nil {
		s.When = d.when(v.expr, p)
		v.v = s.When
		n.args["when"] = v
	}
	if p != nil {
		s.Config = d.stageConfig(n, p)
	}
	return s
}

// stageConfig checks the config block by the schema of the plugin and returns
// it as a JSON object.
func (d *decoder) stageConfig(n *node, p *loadedPlugin) []byte {
	block := n.child("config")
	if block == nil {
		block = &node{spec: &blockSpec{name: "config", free: true}, rng: n.rng, body: &hclsyntax.Body{}}
		n.blocks = append(n.blocks, block)
	}
	l, ok := d.bodyLit(block.body, block.rng), true
	before := len(d.faults)
	if block.schema = p.schema; p.checked {
		block.config, ok = d.object(l, p.schema)
	} else {
		block.config, _ = d.unchecked(l).(map[string]any)
	}
	if !ok || len(d.faults) > before {
		return nil
	}
	text, err := json.Marshal(block.config)
	if err != nil {
		d.fault(block.rng, "the config cannot be written as JSON: "+err.Error(), "")
	}
	return text
}

// bodyLit evaluates a free block: arguments as they are, and the blocks of one
// name as a list.
func (d *decoder) bodyLit(body *hclsyntax.Body, rng hcl.Range) lit {
	l := lit{rng: rng, form: mapping, block: true}
	for _, a := range sortedAttributes(body) {
		l.keys, l.items = append(l.keys, key{a.Name, a.NameRange}), append(l.items, d.lit(a.Expr))
	}
	for _, b := range body.Blocks {
		d.addBlock(&l, b)
	}
	return l
}

func (d *decoder) addBlock(l *lit, b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		d.fault(b.LabelRanges[0], fmt.Sprintf("the block %s takes no label", b.Type), "write it as an argument inside the block")
	}
	v := d.bodyLit(b.Body, b.DefRange())
	i := slices.IndexFunc(l.keys, func(k key) bool { return k.name == b.Type })
	if i < 0 {
		l.keys = append(l.keys, key{b.Type, b.TypeRange})
		l.items = append(l.items, lit{rng: b.DefRange(), form: list, items: []lit{v}})
		return
	}
	l.items[i].items = append(l.items[i].items, v)
}

// unchecked returns the JSON value of a config that has no schema. References
// become the names they lead to.
func (d *decoder) unchecked(l lit) any {
	switch l.form {
	case list:
		out := make([]any, 0, len(l.items))
		for _, item := range l.items {
			out = append(out, d.unchecked(item))
		}
		return out
	case mapping:
		out := map[string]any{}
		for i, k := range l.keys {
			out[k.name] = d.unchecked(l.items[i])
		}
		return out
	case reference:
		v, _ := d.resolveAny("the argument", l, &schema{Type: "string"})
		return v
	case broken:
		return nil
	}
	return uncheckedScalar(l)
}

func uncheckedScalar(l lit) any {
	if n, ok := wholeNumber(l); ok && l.value.Type() == cty.Number {
		return n
	}
	if text, ok := l.text(); ok {
		if l.secret {
			return secretText(text)
		}
		return text
	}
	if b, ok := truth(l); ok {
		return b
	}
	f, _ := l.value.AsBigFloat().Float64()
	return f
}

// sourceText returns the text of an expression on one line, without comments.
func (d *decoder) sourceText(rng hcl.Range) string {
	text := rng.SliceBytes(d.src)
	tokens, _ := hclsyntax.LexExpression(text, "", hcl.InitialPos)
	var b strings.Builder
	gap := false
	for i, t := range tokens {
		gap = gap || i > 0 && tokens[i-1].Range.End.Byte != t.Range.Start.Byte
		switch t.Type {
		case hclsyntax.TokenOHeredoc:
			return string(text) // its lines matter
		case hclsyntax.TokenComment, hclsyntax.TokenNewline:
			gap = true
			continue
		}
		if gap && b.Len() > 0 && t.Type != hclsyntax.TokenEOF {
			b.WriteByte(' ')
		}
		b.Write(t.Bytes)
		gap = false
	}
	return b.String()
}
