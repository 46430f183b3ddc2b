// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// knowing is base with a rule for example.test that knows its recipients.
func knowing(block string) string {
	return strings.Replace(base("", ""), "rule { route = route.next }",
		"rule {\n domains = [\"example.test\"]\n accept = true\n route = route.next\n recipients {\n"+block+"\n }\n}\nrule { route = route.next }", 1)
}

func TestUnknownRecipientsAreRefusedAtRCPT(t *testing.T) {
	c := newRig(t, knowing(`known = ["ann"]`), nil).dial()
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(250, "RCPT TO:<ann@example.test>")
	c.cmd(550, "RCPT TO:<bob@example.test>")
	c.cmd(250, "RCPT TO:<Postmaster@example.test>")
	c.cmd(250, "RCPT TO:<bob@other.test>")
}

// TestTheNextHopKnowsTheRecipients, and what becomes of mail when it does not
// answer.
func TestTheNextHopKnowsTheRecipients(t *testing.T) {
	hop := testkit.NewSink(t, testkit.SinkOptions{Script: func(e testkit.Event) testkit.Action {
		if e.Verb == "RCPT" && !strings.Contains(e.Arg, "ann@") {
			return testkit.Action{Reply: "550 5.1.1 no such user"}
		}
		return testkit.Action{}
	}})
	c := newRig(t, knowing(`ask = "`+hop.Addr().String()+`"`), nil).dial()
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(250, "RCPT TO:<ann@example.test>")
	c.cmd(550, "RCPT TO:<bob@example.test>")

	nobody := testkit.FreeAddr(t)
	for policy, code := range map[string]int{"tempfail": 451, "accept": 250} {
		d := newRig(t, knowing(`ask = "`+nobody+`"`+"\non_fault = \""+policy+"\""), nil).dial()
		d.cmd(250, "MAIL FROM:<a@far.test>")
		d.cmd(code, "RCPT TO:<ann@example.test>")
	}
}
