// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Called checks what is known only when a stage has been loaded: the phases that
// its plugin, or its candidate's, asks for. An error says that it would never be
// called where it stands, or that a condition asks for a fact which is not known
// in one of them. A plugin that asks for no phase at all, which its settings may
// have told it, is no error.
func (c *Config) Called(pipeline, plugin string, phases mail.PhaseSet, whens ...*Condition) error {
	at := places(c)[pipeline]
	asked, called := namesOf(phases), at.of(namesOf(phases))
	if i := slices.Index(called, "tick"); i >= 0 && !c.ticks(plugin) {
		called = slices.Delete(called, i, i+1)
	}
	if len(asked) > 0 && len(called) == 0 {
		return neverCalled(plugin, asked, at)
	}
	for _, w := range whens {
		if err := w.known(plugin, called); err != nil {
			return err
		}
	}
	return nil
}

// Idle says of a stage that was loaded why it is never called, and the remedy:
// its plugin asks for no phase, or for none that is allowed and comes to pass.
// Both are empty when it is called.
func (c *Config) Idle(pipeline, plugin string, asked, allowed mail.PhaseSet) (summary, remedy string) {
	var only []string
	if i := slices.IndexFunc(c.Plugins, func(p Plugin) bool { return p.Name == plugin }); i >= 0 {
		only = c.Plugins[i].Phases
	}
	switch called := allowed &^ c.noSuch(pipeline); {
	case asked == 0:
		return fmt.Sprintf("is never called: with this configuration plugin %q asks for no phase", plugin),
			"give the stage a config block that says what it is for, or correct the one that it has"
	case allowed == 0:
		return fmt.Sprintf("is never called: plugin %q asks for %s, and is called in %s alone", plugin, phrase(namesOf(asked)), phrase(only)),
			fmt.Sprintf("correct phases in its plugin block: expected %s", oneOf(quoted(namesOf(asked))))
	case called == 0 && allowed.Has(mail.PhaseAuth):
		return fmt.Sprintf("is never called: it waits for %s, and at no listener of this pipeline can clients log in", phrase(namesOf(allowed))),
			"give the listener an auth block"
	case called == 0:
		return fmt.Sprintf("is never called: it waits for %s, and no listener of this pipeline offers STARTTLS", phrase(namesOf(allowed))),
			"give the listener a tls block"
	}
	return "", ""
}

// noSuch returns the phases that no client can bring about in a pipeline: only a
// listener with a tls block offers TLS, and only one with an auth block AUTH.
func (c *Config) noSuch(pipeline string) mail.PhaseSet {
	none := mail.Phases(mail.PhaseAuth, mail.PhaseTLS)
	for _, l := range c.Listeners {
		if l.Pipeline == pipeline && l.TLS != nil {
			none &^= mail.Phases(mail.PhaseTLS)
		}
		if l.Pipeline == pipeline && l.Auth != nil {
			none &^= mail.Phases(mail.PhaseAuth)
		}
	}
	return none
}

func neverCalled(plugin string, asked []string, at place) error {
	switch {
	case slices.Equal(asked, []string{"tick"}):
		return fmt.Errorf("it would never be called: plugin %q serves the phase tick alone, and no tick is granted to it; write tick = \"1m\" into its grant block", plugin)
	case at.route:
		return fmt.Errorf("it would never be called: plugin %q serves %s, and the pipeline is used by a route; let a listener name this pipeline, or move the stage to the pipeline of a listener", plugin, phrase(asked))
	}
	return fmt.Errorf("it would never be called: plugin %q serves %s, and the pipeline is used by a listener; let a route name this pipeline, or move the stage to the pipeline of a route", plugin, phrase(asked))
}

// known checks that every fact of a condition is known in the phases; w may be
// nil.
func (w *Condition) known(plugin string, called []string) error {
	if w == nil {
		return nil
	}
	for _, name := range w.facts {
		if early := tooEarly(name, called); len(early) > 0 {
			return fmt.Errorf("its `when` asks for %s, which is not known in %s, in which plugin %q is called too; %s",
				name, phrase(early), plugin, strings.ReplaceAll(phaseRemedy(called, factTable[name].phases), "\n ", ""))
		}
	}
	return nil
}

func (c *Config) ticks(plugin string) bool {
	return slices.ContainsFunc(c.Plugins, func(p Plugin) bool { return p.Name == plugin && p.Grant.Tick > 0 })
}

// namesOf spells phases, in the order of a message's way.
func namesOf(set mail.PhaseSet) []string {
	var out []string
	for _, p := range mail.AllPhases() {
		if set.Has(p) {
			out = append(out, p.String())
		}
	}
	return out
}
