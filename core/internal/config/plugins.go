// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// loadedPlugin is a plugin with what its stages are checked against.
type loadedPlugin struct {
	Plugin
	schema  *schema // nil: its config is not checked
	checked bool    // there was a manifest
}

// plugins reads all plugin blocks and their manifests.
func (d *decoder) plugins(c *Config, root *node, opts Options) map[string]*loadedPlugin {
	loaded := map[string]*loadedPlugin{}
	for _, n := range root.children("plugin") {
		p := d.plugin(n, opts)
		if loaded[p.Name] == nil {
			loaded[p.Name] = p
		}
		c.Plugins = append(c.Plugins, p.Plugin)
	}
	return loaded
}

func (d *decoder) plugin(n *node, opts Options) *loadedPlugin {
	p := &loadedPlugin{Plugin: Plugin{
		Name: n.name(), Source: arg[string](n, "source"), SHA256: arg[string](n, "sha256"),
		Phases: arg[[]string](n, "phases"), Limits: buildPluginLimits(n), Pos: d.pos(n.rng),
	}}
	if scheme, _, ok := strings.Cut(p.Source, ":"); p.Source != "" && (!ok || scheme != "builtin" && scheme != "native") {
		p.Path = d.absolute(p.Source)
	}
	if g := n.child("grant"); g != nil {
		p.Grant = buildGrant(g)
	}
	if opts.Manifest != nil && p.Source != "" && !strings.HasPrefix(p.Source, "native:") {
		d.manifest(n, p, opts)
	}
	return p
}

func buildPluginLimits(n *node) PluginLimits {
	l := n.child("limits")
	return PluginLimits{
		Memory: arg[int64](l, "memory"), Fuel: arg[int64](l, "fuel"), MessageFuel: arg[int64](l, "message_fuel"),
		Deadline: arg[time.Duration](l, "deadline"), MessageDeadline: arg[time.Duration](l, "message_deadline"),
		Depth: int(arg[int64](l, "depth")), Instances: int(arg[int64](l, "instances")), Isolation: arg[string](n, "isolation"),
	}
}

// manifest checks the plugin against what it says about itself.
func (d *decoder) manifest(n *node, p *loadedPlugin, opts Options) {
	rng := n.args["source"].rng
	m, err := opts.Manifest(p.Plugin)
	if err != nil {
		d.fault(rng, fmt.Sprintf("plugin %q cannot be used: %s", p.Name, strings.TrimRight(err.Error(), "\n")), "")
		return
	}
	if len(m.Phases) == 0 {
		return // it says nothing of itself: it gets what it is granted
	}
	p.schema, err = parseSchema(m.Schema)
	if err != nil {
		d.fault(rng, fmt.Sprintf("plugin %q has a faulty manifest: %s", p.Name, err), "this is a fault of the plugin, not of the configuration")
		return
	}
	p.checked = true
	d.phases(n, p, m)
	d.grants(n, p, m)
}

// phases narrows the phases of the manifest to those of the block.
func (d *decoder) phases(n *node, p *loadedPlugin, m Manifest) {
	for _, phase := range p.Phases {
		if !slices.Contains(m.Phases, phase) {
			d.fault(n.args["phases"].rng, fmt.Sprintf("plugin %q does not serve the phase %q", p.Name, phase), "expected "+oneOf(quoted(m.Phases)))
		}
	}
	if !n.has("phases") {
		p.Phases = slices.Clone(m.Phases)
		n.set("phases", p.Phases)
	} else if len(p.Phases) == 0 {
		d.fault(n.args["phases"].rng, "phases is empty: no stage of this plugin would ever be called", "expected "+oneOf(quoted(m.Phases)))
	}
}
