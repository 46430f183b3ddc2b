// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// evil is text that would be a command, a field or the end of a message.
var evil = []string{"a\rb", "a\nb", "a\r\nX-Evil: b", "a\r\n.\r\nMAIL FROM:<evil@x.test>", "a\n.\nQUIT", "a\r.\rQUIT", "\n", "\r", "a\x00b", "a\r\n\r\nb"}

// writer is a stage that writes evil text wherever a plugin can write.
type writer struct {
	text string
	t    *testing.T
}

// Phases implements relay.PhaseStage.
func (writer) Phases() []mail.Phase {
	return []mail.Phase{mail.PhaseHelo, mail.PhasePredeliver, mail.PhaseBounce}
}

// Phase implements relay.PhaseStage.
func (w writer) Phase(_ context.Context, p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
	switch p {
	case mail.PhaseHelo:
		w.refused("EHLO", m.SetEHLO(abi.EHLOAdd, "X"+w.text))
	case mail.PhasePredeliver:
		w.edit(m)
	case mail.PhaseBounce:
		_, err := m.AddHeader(0, "X-Bounce", w.text)
		w.refused("field of a bounce", err)
		w.refused("reply of a bounce", m.SetReply(550, mail.Enhanced{5, 0, 0}, w.text))
	}
	return mail.Continue, nil
}

// Message implements relay.Stage.
func (w writer) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	w.edit(m)
	w.refused("reply", m.SetReply(550, mail.Enhanced{5, 0, 0}, w.text))
	w.refused("tenant", m.SetLabel(abi.LabelTenant, w.text))
	_, err := m.AddRecipient(mail.Address("x" + w.text + "@far.test"))
	w.refused("recipient", err)
	w.refused("next hop", m.SetRoute(0, "", w.text+":25"))
	// An emitted message is taken or refused, and never leaves as it is.
	err = m.Emit(relay.Emission{Recipients: []mail.Address{"emitted@far.test"}, Header: []byte("X-Emitted: " + w.text + "\r\n"), Body: []byte(w.text)})
	if err != nil {
		err = m.Emit(relay.Emission{Recipients: []mail.Address{"emitted@far.test"}, Header: []byte("X-Emitted: y\r\n"), Body: []byte(w.text)})
	}
	_ = err
	return mail.Continue, nil
}

// edit writes into header, sender and body.
func (w writer) edit(m relay.Message) {
	_, err := m.AddHeader(0, "X-Top", w.text)
	w.refused("field", err)
	_, err = m.AddHeader(0, "X"+w.text, "y")
	w.refused("field name", err)
	w.refused("changed field", m.SetHeader(m.Header().Find("Subject", -1), w.text))
	w.refused("sender", m.SetSender(mail.Address("s"+w.text+"@here.test")))
	if err := m.WriteBody([]byte("body "+w.text), true); err != nil && !strings.Contains(w.text, "\x00") {
		w.t.Errorf("body %q: %v", w.text, err)
	}
}

func (w writer) refused(where string, err error) {
	if err == nil {
		w.t.Errorf("%q was taken as %s", w.text, where)
	}
}

// Output never has a bare CR or LF, whatever a plugin wrote: not in the EHLO reply,
// a header field, a report or an envelope, and a body has lines.
func TestNoPluginBreaksALine(t *testing.T) {
	for _, text := range evil {
		for _, extensions := range [][]string{{"PIPELINING"}, {"CHUNKING", "BINARYMIME"}} {
			stages := map[string]relay.NewStage{"test": func([]byte) (relay.Stage, error) { return writer{text, t}, nil }}
			g := newRig(t, testkit.SinkOptions{Extensions: extensions, Script: testkit.RefuseRcpt("bad", "550 5.1.1 no")}, stages,
				setting{"retry  =", "pipeline = pipeline.in\n  retry  ="})
			c := g.dial("in")
			c.send("", "b@far.test", "bad@far.test")
			c.sendBinary("Subject: x\r\n\r\nbody", "", "c@far.test")
			g.idle()
			if n := len(g.reports()); n < 1 {
				t.Errorf("%q: %d reports", text, n)
			}
			for _, m := range g.sink.Messages() {
				if rest := bytes.ReplaceAll(m.Content, []byte("\r\n"), nil); bytes.ContainsAny(rest, "\r\n") {
					t.Errorf("%q: %q", text, m.Content)
				}
				head, _, _ := bytes.Cut(m.Content, []byte("\r\n\r\n"))
				if bytes.Contains(head, []byte("\r\nX-Evil:")) && !bytes.Contains(head, []byte("\r\nX-Emitted:")) { // there the header is the stage's
					t.Errorf("%q: %q", text, head)
				}
			}
			for _, commands := range g.sink.Commands() {
				for _, line := range commands {
					if strings.Contains(line, "evil") {
						t.Errorf("%q: command %q", text, line)
					}
				}
			}
			if g.sink.Bare() != 0 {
				t.Errorf("%q: bare line ends left", text)
			}
		}
	}
}
