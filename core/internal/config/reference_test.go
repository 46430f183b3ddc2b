// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// TestReference keeps core/docs/config.md in step with the grammar.
func TestReference(t *testing.T) {
	golden(t, "../../docs/config.md", Reference())
}

// TestDefaults shows that every default in the grammar is valid there.
func TestDefaults(t *testing.T) {
	d := newDecoder(newReport("defaults", nil), "/", testOptions())
	var walk func(b *blockSpec)
	walk = func(b *blockSpec) {
		if b.doc == "" {
			t.Errorf("block %s has no documentation", b.name)
		}
		for _, a := range b.args {
			if a.doc == "" || a.kind.name == "" || a.required && a.def != "" {
				t.Errorf("%s.%s is incomplete", b.name, a.name)
			}
		}
		if !b.free {
			d.block(b, b.labels, hcl.Range{}, &hclsyntax.Body{})
		}
		for _, inner := range b.blocks {
			walk(inner)
		}
	}
	for _, b := range d.grammar.blocks {
		walk(b)
	}
	for _, f := range d.faults {
		if f.Excerpt != "" || f.Line != 0 {
			t.Errorf("a default is faulty: %s", f)
		}
	}
}
