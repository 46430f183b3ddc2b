// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
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
		Signature: arg[string](n, "signature"), PublicKey: arg[string](n, "public_key"),
		Mode: arg[string](n, "mode"), Strict: arg[bool](n, "strict_imports"),
		Phases: arg[[]string](n, "phases"), Limits: buildPluginLimits(n), Pos: d.pos(n.rng),
	}}
	if p.Source != "" && sourceScheme(p.Source) == "" {
		p.Path = d.absolute(p.Source)
	}
	vouched := d.signed(n, p)
	if g := n.child("grant"); g != nil {
		p.Grant = buildGrant(g)
		d.noSigning(g)
	}
	if opts.Manifest != nil && vouched && p.Source != "" && sourceScheme(p.Source) != "native" {
		d.manifest(n, p, opts)
	}
	d.neverCalled(n, p)
	d.secrets(n, p)
	return p
}

// sourceScheme returns what stands in front of the colon of a source: builtin,
// native or oci; empty for a file.
func sourceScheme(source string) string {
	scheme, _, found := strings.Cut(source, ":")
	if found && slices.Contains([]string{"builtin", "native", "oci"}, scheme) {
		return scheme
	}
	return ""
}

// signed checks that a signature has a public_key, and that both stand at a
// module that can have a signature. After a fault there is no use in reading the
// module.
func (d *decoder) signed(n *node, p *loadedPlugin) bool {
	_, signature := n.args["signature"]
	_, key := n.args["public_key"]
	switch scheme := sourceScheme(p.Source); {
	case !signature && !key:
		return true
	case scheme == "builtin" || scheme == "native":
		d.fault(n.rng, fmt.Sprintf("plugin %q is part of this program, which is not signed apart", p.Name), "remove signature and public_key")
	case key:
		return true
	default:
		d.fault(n.args["signature"].rng, "signature stands without public_key", `name the minisign key that must have signed: public_key = "RW…"`)
	}
	return false
}

// noSigning refuses grants of keys: there are none yet.
func (d *decoder) noSigning(grant *node) {
	if len(arg[[]string](grant, "dkim")) > 0 {
		d.fault(grant.args["dkim"].rng, "signing with DKIM comes with mail authentication; this version has no keys", "remove the argument")
	}
}

// secrets reads the values of the granted secrets.
func (d *decoder) secrets(n *node, p *loadedPlugin) {
	for _, name := range p.Grant.Secrets {
		if name == "*" {
			d.fault(n.child("grant").args["secrets"].rng, fmt.Sprintf("\"*\" stands for the secrets that a plugin names, and plugin %q names none", p.Name), "write out the names of the secrets that it may read")
			continue
		}
		value, err := d.lookup.secret(name)
		if err != nil {
			d.fault(n.child("grant").args["secrets"].rng, err.Error(), "")
			continue
		}
		if p.Secrets == nil {
			p.Secrets = map[string]string{}
		}
		p.Secrets[name] = value
	}
}

// wantedTick is the interval that the plugin asks for: any when it names none,
// none when it is not called in the phase tick.
func wantedTick(p *loadedPlugin, m Manifest) time.Duration {
	if !slices.Contains(p.Phases, "tick") {
		return 0
	}
	return cmp.Or(m.Wants.Tick, -1)
}

func buildPluginLimits(n *node) PluginLimits {
	l := n.child("limits")
	return PluginLimits{
		Memory: arg[int64](l, "memory"), Fuel: arg[int64](l, "fuel"), MessageFuel: arg[int64](l, "message_fuel"),
		Deadline: arg[time.Duration](l, "deadline"), MessageDeadline: arg[time.Duration](l, "message_deadline"),
		Depth: int(arg[int64](l, "depth")), Instances: int(arg[int64](l, "instances")),
		Emit: arg[Rate](l, "emit"), Isolation: arg[string](n, "isolation"),
	}
}

// manifest checks the plugin against what it says about itself.
func (d *decoder) manifest(n *node, p *loadedPlugin, opts Options) {
	rng := n.args["source"].rng
	m, err := opts.Manifest(d.server, p.Plugin)
	if err != nil {
		var of interface{ Argument() string }
		if errors.As(err, &of) && n.has(of.Argument()) {
			rng = n.args[of.Argument()].rng
		}
		d.fault(rng, fmt.Sprintf("plugin %q cannot be used: %s", p.Name, strings.TrimRight(err.Error(), "\n")), "")
		p.Grant.Secrets = slices.DeleteFunc(p.Grant.Secrets, func(name string) bool { return name == "*" }) // which it names is not known
		return
	}
	if len(m.Phases) == 0 {
		if n.child("grant") == nil { // it says nothing of itself: it gets what it is granted
			n.blocks = append(n.blocks, d.block(grantSpec(), nil, n.rng, &hclsyntax.Body{}))
		}
		return
	}
	p.schema, err = parseSchema(m.Schema)
	if err != nil {
		d.fault(rng, fmt.Sprintf("plugin %q has a faulty manifest: %s", p.Name, err), "this is a fault of the plugin, not of the configuration")
		return
	}
	if len(m.Wants.DKIM) > 0 {
		d.fault(rng, fmt.Sprintf("plugin %q asks for keys to sign with DKIM, which comes with mail authentication; this version has no keys", p.Name), "use a version of the plugin that does without")
		return
	}
	p.checked = true
	d.phases(n, p, m)
	m.Wants.Tick = wantedTick(p, m)
	d.grants(n, p, m)
}
