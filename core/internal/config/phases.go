// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// phaseNames returns all phases in the order of a message's way.
func phaseNames() []string {
	var out []string
	for _, p := range mail.AllPhases() {
		out = append(out, p.String())
	}
	return out
}

// deliveryPhases are those of a pipeline that a route uses; all others but
// tick are those of a pipeline that a listener uses.
func deliveryPhases() []string { return []string{"route", "predeliver", "result", "bounce"} }

// place is where a pipeline is used.
type place struct{ listener, route bool }

// places returns where each pipeline is used, by its name.
func places(c *Config) map[string]place {
	out := map[string]place{}
	for _, l := range c.Listeners {
		out[l.Pipeline] = place{true, out[l.Pipeline].route}
	}
	for _, r := range c.Routes {
		out[r.Pipeline] = place{out[r.Pipeline].listener, true}
	}
	return out
}

// calls reports whether stages are called in a phase there. What is not used
// yet may be used anywhere.
func (p place) calls(phase string) bool {
	switch {
	case phase == "tick" || p == place{}:
		return true
	case slices.Contains(deliveryPhases(), phase):
		return p.route
	}
	return p.listener
}

// of returns those of a plugin's phases in which it is called there.
func (p place) of(phases []string) []string {
	return slices.DeleteFunc(slices.Clone(phases), func(phase string) bool { return !p.calls(phase) })
}

// reached reports a plugin that would never be called where its stage stands.
func (d *decoder) reached(n *node, p *loadedPlugin, at place) {
	if len(p.Phases) == 0 || len(at.of(p.Phases)) > 0 {
		return
	}
	user, other := "a listener", "let a route name this pipeline, or move the stage to the pipeline of a route"
	if at.route {
		user, other = "a route", "let a listener name this pipeline, or move the stage to the pipeline of a listener"
	}
	d.fault(n.args["plugin"].rng, fmt.Sprintf("this %s is never called: plugin %q serves %s, and the pipeline is used by %s",
		n.spec.name, p.Name, phrase(p.Phases), user), other)
}

func phrase(phases []string) string {
	if len(phases) == 1 {
		return "the phase " + phases[0]
	}
	return "the phases " + strings.Join(phases, ", ")
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

// needs says of a phase why it is not called, and the remedy; both empty when
// it is.
func (p *loadedPlugin) needs(phase string) (why, remedy string) {
	switch isolation := p.Limits.Isolation; {
	case phase == "tick" && p.Grant.Tick == 0 && !p.checked: // else it is reported as a missing grant
		return "no tick is granted to it", `write tick = "1m" into its grant block`
	case (phase == "body" || phase == "reset") && isolation != "message" && isolation != "session":
		return fmt.Sprintf("its instances keep nothing between two calls (isolation = %q)", isolation), `write isolation = "message" or isolation = "session"; a command is not called in this phase at all`
	}
	return "", ""
}

// neverCalled takes out the phases whose conditions are not met, with a
// warning; a phase that the text asks for is a fault.
func (d *decoder) neverCalled(n *node, p *loadedPlugin) {
	kept := make([]string, 0, len(p.Phases))
	for _, phase := range p.Phases {
		why, remedy := p.needs(phase)
		if why == "" {
			kept = append(kept, phase)
			continue
		}
		say, rng := d.warn, n.rng
		if n.has("phases") {
			say, rng = d.fault, n.args["phases"].rng
		}
		say(rng, fmt.Sprintf("plugin %q is not called in the phase %s: %s", p.Name, phase, why), remedy)
	}
	if len(kept) == len(p.Phases) || n.has("phases") {
		return
	}
	if len(kept) == 0 {
		d.fault(n.rng, fmt.Sprintf("no stage of plugin %q would ever be called", p.Name), "")
	}
	p.Phases = kept
	n.set("phases", kept)
}
