// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

func (d *decoder) pipeline(n *node, plugins map[string]*loadedPlugin, at place) Pipeline {
	p := Pipeline{Name: n.name(), Capture: buildCapture(n.child("capture"))}
	lines := map[string]int{}
	for _, s := range n.children("stage") {
		if first := lines[s.name()]; first > 0 {
			d.fault(s.rng, fmt.Sprintf("stage %q is defined twice in this pipeline", s.name()),
				fmt.Sprintf("the first one stands in line %d; give one of them another name", first))
		}
		lines[s.name()] = s.rng.Start.Line
		p.Stages = append(p.Stages, d.stage(s, plugins, at))
	}
	if c := n.child("capture"); c != nil && !at.listener && at.route {
		d.fault(c.rng, "nothing is captured here: the pipeline is used by a route", "put the block into the pipeline of a listener, where mail comes in")
	}
	return p
}

func buildCapture(n *node) *Capture {
	if n == nil {
		return nil
	}
	return &Capture{
		Share: arg[float64](n, "share"), Messages: int(arg[int64](n, "messages")), Size: arg[int64](n, "size"),
		Keep: arg[time.Duration](n, "keep"), Redact: arg[[]string](n, "redact"),
	}
}

func (d *decoder) stage(n *node, plugins map[string]*loadedPlugin, at place) Stage {
	b := n.child("breaker")
	s := Stage{
		Name: n.name(), Plugin: arg[string](n, "plugin"), OnError: arg[string](n, "on_error"),
		Always: arg[bool](n, "always"), Pos: d.pos(n.rng),
		Breaker: Breaker{int(arg[int64](b, "failures")), arg[time.Duration](b, "probe")},
	}
	p := plugins[s.Plugin]
	s.When = d.conditionOf(n, p, at)
	if p != nil {
		s.Config = d.stageConfig(n, p)
		d.reached(n, p, at)
		d.failOpen(n, p)
	}
	if c := n.child("candidate"); c != nil {
		s.Candidate = d.candidate(c, n, plugins, at)
	}
	return s
}

// conditionOf compiles the argument when of a stage or candidate.
func (d *decoder) conditionOf(n *node, p *loadedPlugin, at place) *Condition {
	v := n.args["when"]
	if v.expr == nil {
		return nil
	}
	c := d.when(v.expr, p, at)
	if c != nil {
		v.v = c
		n.args["when"] = v
	}
	return c
}

// failOpen warns of a stage that decides who may relay, or where mail goes,
// and is passed over when it fails.
func (d *decoder) failOpen(n *node, p *loadedPlugin) {
	g := p.Grant
	if arg[string](n, "on_error") != "skip" || len(g.Routes)+len(g.NextHops) == 0 && !slices.Contains(g.Write, "recipients") {
		return
	}
	d.warn(n.args["on_error"].rng, fmt.Sprintf("when plugin %q fails, mail goes on as if it had not been there, though it may choose recipients or routes", p.Name),
		`on_error = "tempfail" lets the sender try again`)
}

// hashStages fills in the hashes of all stages of a configuration without
// faults.
func hashStages(c *Config) {
	for i, p := range c.root.children("pipeline") {
		for j, s := range p.children("stage") {
			c.Pipelines[i].Stages[j].Hash = stageHash(s)
		}
	}
}

// stageHash is the SHA-256 of the stage's block as Dump prints it.
func stageHash(n *node) string {
	w := &writer{}
	w.block(n)
	sum := sha256.Sum256(hclwrite.Format([]byte(w.b.String())))
	return hex.EncodeToString(sum[:])
}

// stageConfig checks the config block of n, made if it is not there, by the
// schema of the plugin and returns it as a JSON object.
func (d *decoder) stageConfig(n *node, p *loadedPlugin) []byte {
	block := n.child("config")
	if block == nil {
		block = &node{spec: configSpec(""), rng: n.rng, body: &hclsyntax.Body{}}
		n.blocks = append(n.blocks, block)
	}
	return d.checkConfig(block, p)
}

// checkConfig fills block with its checked settings and returns them as JSON;
// nil after a fault.
func (d *decoder) checkConfig(block *node, p *loadedPlugin) []byte {
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
