// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
)

// candidate reads the candidate block n of a stage.
func (d *decoder) candidate(n, stage *node, plugins map[string]*loadedPlugin, at place) *Candidate {
	c := &Candidate{Plugin: arg[string](n, "plugin"), Mode: arg[string](n, "mode"), Share: arg[float64](n, "share"), Pos: d.pos(n.rng)}
	d.candidateShare(n, c)
	p := plugins[c.Plugin]
	c.When = d.conditionOf(n, p, at)
	d.wholeMessages(n, c)
	if p == nil {
		return c
	}
	d.reached(n, p, at)
	if live := plugins[arg[string](stage, "plugin")]; live != nil {
		d.samePhases(n, p, live, at)
	}
	d.knownToBoth(n, stage, p, at)
	if n.child("config") != nil {
		c.Config = d.stageConfig(n, p)
	} else {
		c.Config = d.inheritedConfig(n, stage, p)
	}
	if c.Plugin == arg[string](stage, "plugin") && n.child("config") == nil {
		d.warn(n.args["plugin"].rng, "the candidate is what the stage is: the same plugin with the same config", "name the next version of the plugin, or give the candidate a config block")
	}
	return c
}

// candidateShare checks that a canary, and only it, says how much it gets.
func (d *decoder) candidateShare(n *node, c *Candidate) {
	_, share := n.args["share"]
	_, when := n.args["when"]
	switch {
	case c.Mode == "shadow" && (share || when):
		name := "share"
		if !share {
			name = "when"
		}
		d.fault(n.args[name].rng, name+" is for a canary; this candidate is a shadow, which is compared for all mail of the stage",
			"remove "+name+", or write mode = \"canary\"")
	case c.Mode == "canary" && !share && !when:
		d.fault(n.rng, "a canary must say which mail it gets", "expected share = \"10%\", or when = a condition")
	case c.Mode == "canary" && !share:
		c.Share = 1
		n.set("share", c.Share)
	}
}

// wholeMessages refuses a canary for some of a message's recipients.
func (d *decoder) wholeMessages(n *node, c *Candidate) {
	if c.When != nil && c.When.PerRecipient() {
		d.fault(n.args["when"].rng, "a canary takes whole messages: its `when` cannot ask about recipients", "use another fact, or a share")
	}
}

// samePhases warns of phases in which only the live plugin is called: there the
// candidate has nothing to say.
func (d *decoder) samePhases(n *node, p, live *loadedPlugin, at place) {
	missing := slices.DeleteFunc(at.of(live.Phases), func(phase string) bool { return slices.Contains(p.Phases, phase) })
	if len(p.Phases) > 0 && len(missing) > 0 {
		d.warn(n.args["plugin"].rng, fmt.Sprintf("the candidate does not serve %s, in which the stage's plugin %q is called", phrase(missing), live.Name), "")
	}
}

// knownToBoth reports facts of the stage's `when` that are not known in a phase
// of the candidate.
func (d *decoder) knownToBoth(n, stage *node, p *loadedPlugin, at place) {
	when := arg[*Condition](stage, "when")
	if when == nil {
		return
	}
	called := at.of(p.Phases)
	for _, name := range when.facts {
		if early := tooEarly(name, called); len(early) > 0 {
			d.fault(n.args["plugin"].rng, fmt.Sprintf("the stage's `when` asks for %s, which is not known in %s, in which plugin %q is called too", name, phrase(early), p.Name),
				phaseRemedy(called, factTable[name].phases))
		}
	}
}

// inheritedConfig returns the settings of the stage, checked as the
// candidate's. They are printed with the candidate.
func (d *decoder) inheritedConfig(n, stage *node, p *loadedPlugin) []byte {
	own := stage.child("config")
	if own == nil {
		return nil // the stage's plugin was reported
	}
	block := &node{spec: own.spec, rng: n.rng, body: own.body}
	before := len(d.faults)
	text := d.checkConfig(block, p)
	if faults := slices.Clone(d.faults[before:]); text == nil && len(faults) > 0 {
		d.faults = d.faults[:before]
		if own.config != nil {
			d.fault(n.rng, fmt.Sprintf("plugin %q does not take the config of the stage: %s", p.Name, faults[0].Summary), "give the candidate a config block of its own")
		}
	}
	n.blocks = append(n.blocks, block)
	return text
}
