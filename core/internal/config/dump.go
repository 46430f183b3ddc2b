// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// Dump prints c, which Load or Parse returned, as HCL with every default and
// every grant filled in. What it prints means the same configuration when it
// stands in the same folder, but for secrets: they print as "(secret)".
func Dump(c *Config) string {
	w := &writer{}
	w.node(c.root)
	return string(hclwrite.Format([]byte(w.b.String())))
}

// writer prints blocks.
type writer struct {
	b     strings.Builder
	depth int
}

// node prints what a block holds: arguments in the order of the grammar, then
// blocks in text order.
func (w *writer) node(n *node) {
	for _, spec := range n.spec.args {
		if v := n.args[spec.name]; v.v != nil {
			w.arg(spec.name, printValue(spec.kind, v))
		}
	}
	for _, b := range n.blocks {
		if w.depth == 0 && w.b.Len() > 0 {
			w.b.WriteByte('\n')
		}
		w.block(b)
	}
}

func printValue(k kind, v value) string {
	if !v.secret {
		return k.print(v.v)
	}
	if strings.HasPrefix(k.print(v.v), "[") {
		return `["(secret)"]`
	}
	return `"(secret)"`
}

func (w *writer) block(n *node) {
	if n.spec.free && len(n.config) == 0 {
		return
	}
	head := n.spec.name
	for _, label := range n.labels {
		head += " " + quote(label)
	}
	w.braces(head, func() {
		if n.spec.free {
			w.config(n.config, n.schema)
		} else {
			w.node(n)
		}
	})
}

func (w *writer) braces(head string, inside func()) {
	w.line(head + " {")
	w.depth++
	inside()
	w.depth--
	w.line("}")
}

func (w *writer) arg(name, value string) { w.line(name + " = " + value) }

func (w *writer) line(s string) { w.b.WriteString(strings.Repeat("  ", w.depth) + s + "\n") }

// config prints the settings of a plugin: arguments first, then blocks, each
// by name. s is nil when the plugin brought no schema.
func (w *writer) config(config map[string]any, s *schema) {
	var blocks []string
	for _, name := range slices.Sorted(maps.Keys(config)) {
		if s != nil && s.Properties[name].isBlock() && !emptyList(config[name]) {
			blocks = append(blocks, name)
			continue
		}
		w.arg(name, s.property(name).hcl(config[name]))
	}
	for _, name := range blocks {
		w.configBlocks(name, config[name], s.Properties[name])
	}
}

func emptyList(v any) bool {
	items, ok := v.([]any)
	return ok && len(items) == 0
}

func (w *writer) configBlocks(name string, v any, s *schema) {
	items, many := v.([]any)
	if !many {
		items = []any{v}
	}
	for s.Type == "array" {
		s = s.Items
	}
	for _, item := range items {
		object, _ := item.(map[string]any)
		w.braces(name, func() { w.config(object, s) })
	}
}

// property returns the schema of a property, nil when there is none.
func (s *schema) property(name string) *schema {
	if s == nil {
		return nil
	}
	return s.Properties[name]
}

// hcl prints a checked value; s is nil when it was not checked.
func (s *schema) hcl(v any) string {
	switch v := v.(type) {
	case secretText:
		return `"(secret)"`
	case []any:
		return printList(v, s.itemsSchema().hcl)
	case map[string]any:
		return s.hclMap(v)
	}
	if s != nil {
		if f := formats()[s.Format]; f.print != nil {
			return f.print(v)
		}
	}
	if text, ok := v.(string); ok {
		return quote(text)
	}
	b, err := json.Marshal(v) // a number or bool: JSON and HCL spell them alike
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

func (s *schema) itemsSchema() *schema {
	if s == nil {
		return nil
	}
	return s.Items
}

func (s *schema) hclMap(v map[string]any) string {
	parts := make([]string, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		value := s.property(name)
		if s != nil && value == nil {
			value = s.values()
		}
		parts = append(parts, quoteKey(name)+" = "+value.hcl(v[name]))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

func quoteKey(name string) string {
	if hclsyntax.ValidIdentifier(name) {
		return name
	}
	return quote(name)
}

// quote writes s as an HCL string.
func quote(s string) string {
	return string(hclwrite.TokensForValue(cty.StringVal(s)).Bytes())
}
