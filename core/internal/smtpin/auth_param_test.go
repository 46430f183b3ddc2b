// SPDX-License-Identifier: Apache-2.0

package smtpin

import "testing"

// TestMailOfALoggedInPostfixIsTaken: Postfix says AUTH=<> in each MAIL to a server
// that offers AUTH (RFC 4954 section 5).
func TestMailOfALoggedInPostfixIsTaken(t *testing.T) {
	_, addr := serve(t, Options{Backend: &backend{mechanisms: []string{"PLAIN"}}})
	d := dial(t, addr).hello()
	d.cmd("AUTH PLAIN dXNlciBhbm4=", "235")
	d.cmd("MAIL FROM:<a@example.com> SIZE=5 AUTH=<>", "250")
	d.cmd("RCPT TO:<b@example.org>", "250")
}

func TestTheSubmitterInMail(t *testing.T) {
	o := Options{}.withDefaults()
	without := offered(&o, true)
	with := without.with("mx.test", "AUTH PLAIN")
	for params, want := range map[string]string{
		"AUTH=<>":                      "",
		"auth=<>":                      "",
		"AUTH=ann@example.org":         "",
		"AUTH=ann+2Bnews@example.org":  "",
		"AUTH=ann+3Dx@example.org":     "",
		"AUTH=<ann@example.org>":       "501 5.5.4",
		"AUTH=ann=x@example.org":       "501 5.5.4",
		"AUTH=ann+0D+0A@example.org":   "501 5.5.4",
		"AUTH=ann+2@example.org":       "501 5.5.4",
		"AUTH=ann":                     "501 5.5.4",
		"AUTH=":                        "501 5.5.4",
		"AUTH":                         "501 5.5.4",
		"AUTH=<> AUTH=ann@example.org": "501 5.5.4",
	} {
		equal(t, params, paramFault(params, with), want)
	}
	equal(t, "not offered", paramFault("AUTH=<>", without), "555 5.5.4")
}

// paramFault returns the codes with which MAIL with these parameters is refused.
func paramFault(params string, o *offer) string {
	if _, bad := parseMail("FROM:<a@x.test> "+params, o); bad != nil {
		return bad.reply.Line()[:9]
	}
	return ""
}

func FuzzSubmitter(f *testing.F) {
	for _, s := range []string{"<>", "ann@example.org", "ann+2Bnews@example.org", "+", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if bad := checkSubmitter(value); bad != nil && bad.reply.Code != 501 {
			t.Errorf("%q: %v", value, bad.reply)
		}
	})
}
