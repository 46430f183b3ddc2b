// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// A stage that nothing calls passed as good.
func TestStageThatIsNeverCalledIsDoubted(t *testing.T) {
	c := &Config{
		Listeners: []Listener{{Pipeline: "plain"}, {Pipeline: "crypt", TLS: &TLS{}}},
		Plugins:   []Plugin{{Name: "p", Phases: []string{"rcpt"}}},
	}
	set := mail.Phases
	for _, k := range []struct {
		pipeline       string
		asked, allowed mail.PhaseSet
		want           string // empty: it is called
	}{
		{"plain", set(mail.PhaseRcpt, mail.PhaseMessage), set(mail.PhaseRcpt), ""},
		{"plain", 0, 0, `with this configuration plugin "p" asks for no phase`},
		{"plain", set(mail.PhaseMessage), 0, `plugin "p" asks for the phase message, and is called in the phase rcpt alone`},
		{"plain", set(mail.PhaseAuth), set(mail.PhaseAuth), "it waits for the phase auth, and at no listener of this pipeline can clients log in"},
		{"crypt", set(mail.PhaseAuth), set(mail.PhaseAuth), "it waits for the phase auth, and at no listener of this pipeline can clients log in"},
		{"plain", set(mail.PhaseTLS), set(mail.PhaseTLS), "it waits for the phase tls, and no listener of this pipeline offers STARTTLS"},
		{"crypt", set(mail.PhaseTLS), set(mail.PhaseTLS), ""},
		{"plain", set(mail.PhaseAuth, mail.PhaseMail), set(mail.PhaseAuth, mail.PhaseMail), ""},
	} {
		got, _ := c.Idle(k.pipeline, "p", k.asked, k.allowed)
		if got != "" && k.want == "" || !strings.HasSuffix(got, k.want) {
			t.Errorf("in %s, asked for %v, allowed %v: %q, want %q", k.pipeline, namesOf(k.asked), namesOf(k.allowed), got, k.want)
		}
	}
}

// A module without a manifest says only when it is loaded which phases it wants.
func TestStageThatAsksForPhasesInWhichItIsNotCalled(t *testing.T) {
	c := &Config{
		Listeners: []Listener{{Pipeline: "in"}, {Pipeline: "both"}}, Routes: []Route{{Pipeline: "out"}, {Pipeline: "both"}},
		Plugins: []Plugin{{Name: "plain"}, {Name: "ticks", Grant: Grant{Tick: 1}}},
	}
	size := &Condition{facts: []string{"message.size"}}
	for _, k := range []struct {
		pipeline, plugin string
		phases           []mail.Phase
		when             *Condition
		want             string // of the error; empty: none
	}{
		{"in", "plain", []mail.Phase{mail.PhaseMessage}, size, ""},
		{"in", "plain", nil, size, ""},
		{"in", "plain", []mail.Phase{mail.PhaseMessage, mail.PhaseTick}, nil, ""},
		{"in", "plain", []mail.Phase{mail.PhaseResult}, nil, "serves the phase result, and the pipeline is used by a listener; let a route name"},
		{"out", "plain", []mail.Phase{mail.PhaseMail, mail.PhaseMessage}, nil, "serves the phases mail, message, and the pipeline is used by a route; let a listener name"},
		{"both", "plain", []mail.Phase{mail.PhaseResult}, nil, ""},
		{"nowhere", "plain", []mail.Phase{mail.PhaseResult}, nil, ""},
		{"in", "plain", []mail.Phase{mail.PhaseTick}, nil, `no tick is granted to it; write tick = "1m"`},
		{"in", "ticks", []mail.Phase{mail.PhaseTick}, size, ""},
		{"in", "plain", []mail.Phase{mail.PhaseRcpt, mail.PhaseMessage}, size, "message.size, which is not known in the phase rcpt, in which plugin \"plain\" is called too; use another fact, or let a plugin block say phases = [\"message\"]"},
		{"in", "plain", []mail.Phase{mail.PhaseRcpt}, size, "use another fact"},
		{"out", "plain", []mail.Phase{mail.PhaseRcpt, mail.PhaseRoute}, size, ""},
	} {
		err := c.Called(k.pipeline, k.plugin, mail.Phases(k.phases...), nil, k.when)
		if k.want == "" && err != nil || k.want != "" && (err == nil || !strings.Contains(err.Error(), k.want)) {
			t.Errorf("%s in %s, %v: error %v, want %q", k.plugin, k.pipeline, k.phases, err, k.want)
		}
	}
}
