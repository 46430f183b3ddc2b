// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestParseRcpt(t *testing.T) {
	o := Options{Hostname: "mx.example.org"}.withDefaults()
	for arg, want := range map[string]string{
		"TO:<b@example.org>":                      "b@example.org",
		"to:  <B@Example.org>":                    "B@Example.org",
		`TO:<"a b>\" @c"@example.org>`:            `"a b>\" @c"@example.org`,
		"TO:<@a.example:b@example.org>":           "b@example.org",
		"TO:<@a.example,@[IPv6:::1]:b@c.example>": "b@c.example",
		"TO:<POSTmaster>":                         "POSTmaster@mx.example.org",
		"TO:<b@[IPv6:2001:db8::1]>":               "b@[IPv6:2001:db8::1]",
		"TO:<user%example.net@example.org>":       "user%example.net@example.org",
		"TO:<b@example.org> ":                     "b@example.org",
		"TO:<b@example.org>x":                     "501 5.1.3",
		"TO:<@a.example b@example.org>":           "501 5.1.3",
		"TO:<@:b@example.org>":                    "501 5.1.3",
		"TO:<a.example:b@example.org>":            "501 5.1.3",
		"TO:<@a.example,:b@example.org>":          "501 5.1.3",
		"TO:<b@example.org>,<c@example.org>":      "501 5.1.3",
		"TO:<b@example.org@example.net>":          "501 5.1.3",
		`TO:<"b@example.org>`:                     "501 5.1.3",
		"TO:<b@example.org> ORCPT=rfc822;x":       "b@example.org",
		"TO:<b@example.org> NOTIFY=NEVER,DELAY":   "501 5.5.4",
		"TO:<b@example.org> SIZE=1":               "555 5.5.4",
		"TO:<ü@example.org>":                      "553 5.6.7",
		"TO:<b@exämple.org>":                      "553 5.6.7",
		"TO":                                      "501 5.5.4",
		"FROM:<b@example.org>":                    "501 5.5.4",
	} {
		c, bad := parseRcpt(arg, false, offered(&o, false), o.Hostname)
		got := string(c.to)
		if bad != nil {
			got = bad.reply.Line()[:9]
		}
		equal(t, arg, got, want)
	}
}

// Replies are one harmless line with a code that fits, whatever they were.
func TestWireText(t *testing.T) {
	long := make([]byte, 2000)
	for r, want := range map[*mail.Reply]string{
		mail.NewReply(550, mail.Enhanced{5, 7, 1}, "a\r\nb\x00ä"): "550 5.7.1 a??b???\r\n",
		mail.NewReply(450, mail.Enhanced{5, 7, 1}, "x"):           "450 4.0.0 x\r\n",
		mail.NewReply(250, mail.Enhanced{}, ""):                   "250 2.0.0 \r\n",
		mail.NewReply(550, mail.Enhanced{5, 1000, -1}, "x"):       "550 5.0.0 x\r\n",
	} {
		equal(t, r.Text, wireText(r), want)
	}
	if n := len(wireText(mail.NewReply(550, mail.Enhanced{}, string(long)))); n != maxReplyLine {
		t.Errorf("long reply has %d octets", n)
	}
}
