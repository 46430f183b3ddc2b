// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"strings"
	"testing"
)

// TestBothSpellingsOfOurDomainAreOurs: mail for A-labels and for U-labels of a domain
// goes by one rule, and a stranger's mail for others by none.
func TestBothSpellingsOfOurDomainAreOurs(t *testing.T) {
	hcl := strings.Replace(base("", ""), `relay_from = ["127.0.0.0/8"]`, "", 1)
	hcl = strings.Replace(hcl, "rule { route = route.next }", "rule {\n domains = [\"bücher.test\", \"xn--mnchen-3ya.test\"]\n accept = true\n route = route.next\n}\nrule { route = route.next }", 1)
	c := newRig(t, hcl, nil).dial()
	c.cmd(250, "EHLO localhost")
	c.cmd(250, "MAIL FROM:<a@far.test> SMTPUTF8")
	for to, code := range map[string]int{
		"a@bücher.test": 250, "b@BÜCHER.test": 250, "c@xn--bcher-kva.test": 250, "d@münchen.test": 250, "e@XN--MNCHEN-3YA.test": 250,
		"a@bucher.test": 554, "a@x.bücher.test": 554, "a@bücher.test@far.test": 501, "a%bücher.test@far.test": 554, "bücher.test!a@far.test": 554,
		"\"a@bücher.test\"@far.test": 554, "@bücher.test:a@far.test": 554, "a@bücher.test:25": 501, "a@[127.0.0.1]": 554, "a@bücher.test＠far.test": 554,
	} {
		c.cmd(code, "RCPT TO:<%s>", to)
	}
}
