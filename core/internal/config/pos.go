// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/postroad-mail/postroad/core/mail"
)

// Pos is a place in the text of a configuration, for what is found out about it
// after it has been read.
type Pos struct{ at Diagnostic }

// String returns "file:line".
func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.at.File, p.at.Line) }

// Fault returns an error at that place.
func (p Pos) Fault(summary, detail string) Diagnostic {
	p.at.Summary, p.at.Detail = summary, detail
	return p.at
}

// Warning returns a warning at that place.
func (p Pos) Warning(summary, detail string) Diagnostic {
	p.at.Warning = true
	return p.Fault(summary, detail)
}

// ArgPos is the place of an argument of a block at the top level, or in a block of
// that: c.ArgPos("format", "server", "log"). A block that is one of many is named
// by its type and label: "store greylist". What is not in the text has the place
// of what it belongs to.
func (c *Config) ArgPos(arg string, blocks ...string) Pos {
	n := c.root
	for _, name := range blocks {
		if b := n.named(name); b != nil {
			n = b
		}
	}
	if v := n.args[arg]; v.given {
		return c.text.pos(v.rng)
	}
	return c.text.pos(n.rng)
}

// named returns a block by its type, or its type and last label.
func (n *node) named(name string) *node {
	kind, label, labelled := strings.Cut(name, " ")
	for _, b := range n.children(kind) {
		if !labelled || b.name() == label {
			return b
		}
	}
	return nil
}

// AskedFor fills in, for Dump, the phases that the plugin of that name asked for
// where the text and a manifest name none.
func (c *Config) AskedFor(plugin string, phases mail.PhaseSet) {
	n := c.root.named("plugin " + plugin)
	if names := namesOf(phases); n != nil && len(arg[[]string](n, "phases")) == 0 && len(names) > 0 {
		n.set("phases", names)
	}
}

// pos is the place of a block.
func (r *report) pos(rng hcl.Range) Pos { return Pos{r.at(rng)} }
