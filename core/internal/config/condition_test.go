// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// condition compiles a `when` for a plugin of the phase message.
func condition(t testing.TB, when string) *Condition {
	t.Helper()
	src := fmt.Sprintf(`
plugin "p" {
  source = "builtin:footer"
}
pipeline "p" {
  stage "s" {
    plugin = plugin.p
    when   = %s
  }
}
routing {
  rule {
    route = route.r
  }
}
route "r" {
  discard {}
}
`, when)
	c, err := Parse("test.hcl", []byte(src), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c.Pipelines[0].Stages[0].When
}

// someFacts is a message as conditions see it. Facts that it is asked for are
// noted.
func someFacts(asked *[]string) Lookup {
	facts := map[string]any{
		"client.ip": "192.0.2.7", "client.name": "mx.example.org", "client.helo": "MX.example.org",
		"client.authenticated": false, "client.user": "", "session.tls": true, "session.listener": "inbound",
		"envelope.sender": "Alice@example.org", "envelope.sender_domain": "example.org", "envelope.size": int64(2 << 20),
		"envelope.recipients": 3, "recipient.address": "bob@example.net", "recipient.domain": "example.net", "recipient.local": "bob",
		"message.size": int64(1 << 20), "message.score": int64(4500), "delivery.attempt": 2,
		"message.header": func(name string) []string {
			if strings.EqualFold(name, "X-Spam") {
				return []string{"no", "yes: 7.5"}
			}
			return nil
		},
	}
	return func(name string) (any, bool) {
		if asked != nil {
			*asked = append(*asked, name)
		}
		v, ok := facts[name]
		return v, ok
	}
}

func TestConditionEval(t *testing.T) {
	tests := []struct {
		when string
		want bool
	}{
		{`session.tls`, true},
		{`message.score >= 4.5`, true},
		{`message.score > 4.501`, false},
		{`message.score == 4.5`, true},
		{`message.score > 4`, true},
		{`5 <= message.score`, false},
		{`message.score < -2`, false},
		{`message.score > -0.5`, true},
		{`message.score < 9007199254740993`, true},
		{`!session.tls`, false},
		{`client.authenticated || session.tls`, true},
		{`client.authenticated && session.tls`, false},
		{`client.authenticated || session.tls && session.listener == "inbound"`, true},
		{`(client.authenticated || session.tls) && session.listener == "outbound"`, false},
		{`!(client.authenticated || !session.tls)`, true},
		{`client.authenticated == session.tls`, false},
		{`client.authenticated != true`, true},
		{`(client.ip == "x") == client.authenticated`, true},
		{`envelope.sender == "alice@example.org"`, false},
		{`lower(envelope.sender) == "alice@example.org"`, true},
		{`envelope.sender_domain != recipient.domain`, true},
		{`message.size == "1MiB"`, true},
		{`message.size > "1MiB"`, false},
		{`message.size >= "1MiB"`, true},
		{`"1MiB" <= message.size`, true},
		{`message.size < envelope.size`, true},
		{`message.size < "1025KiB"`, true},
		{`envelope.recipients == 3`, true},
		{`envelope.recipients > 3`, false},
		{`3 >= envelope.recipients`, true},
		{`2 < envelope.recipients`, true},
		{`cidr_contains("192.0.2.0/24", client.ip)`, true},
		{`cidr_contains("198.51.100.0/24", client.ip)`, false},
		{`cidr_contains("192.0.2.7", client.ip)`, true},
		{`contains(message.header["x-spam"], "no")`, true},
		{`contains(message.header["X-Spam"], "yes")`, false},
		{`contains(["example.com", "example.net"], recipient.domain)`, true},
		{`contains(split(",", "example.com,example.org"), recipient.domain)`, false},
		{`matches("^yes", message.header["X-Spam"])`, true},
		{`matches("^yes", message.header["X-Ham"])`, false},
		{`matches("(?i)^ALICE@", envelope.sender)`, true},
		{`length(message.header["X-Spam"]) == 2`, true},
		{`length(message.header["X-Ham"]) > 0`, false},
		{`starts_with(client.helo, "MX.")`, true},
		{`ends_with(recipient.address, "@example.net")`, true},
		{`ends_with(recipient.address, recipient.local)`, false},
		{`session.listener == env("UNSET", "inbound")`, true},
		{`env("UNSET", "no") == "yes" || session.tls`, true},
		{`env("UNSET", "no") == "yes" && session.tls`, false},
		{`contains(message.header["X-${"Spam"}"], "no")`, true},
	}
	for _, tt := range tests {
		got, err := condition(t, tt.when).Eval(someFacts(nil))
		if err != nil || got != tt.want {
			t.Errorf("%s = %v, %v; want %v", tt.when, got, err, tt.want)
		}
	}
}

// TestConditionOrder shows that facts are asked for from left to right, and no
// further than they matter.
func TestConditionOrder(t *testing.T) {
	tests := []struct {
		when string
		want []string
	}{
		{`client.authenticated && session.tls`, []string{"client.authenticated"}},
		{`session.tls || client.authenticated`, []string{"session.tls"}},
		{`session.tls && client.helo == "x" && client.authenticated`, []string{"session.tls", "client.helo"}},
		{`env("UNSET", "") == "1" && session.tls`, nil},
		{`(client.authenticated || session.tls) && client.ip == "x"`, []string{"client.authenticated", "session.tls", "client.ip"}},
	}
	for _, tt := range tests {
		var asked []string
		if _, err := condition(t, tt.when).Eval(someFacts(&asked)); err != nil {
			t.Error(err)
		}
		if !slices.Equal(asked, tt.want) {
			t.Errorf("%s asked for %q, want %q", tt.when, asked, tt.want)
		}
	}
}

func TestConditionFacts(t *testing.T) {
	c := condition(t, `session.tls && contains(message.header["A"], client.helo) && !session.tls == false`)
	if want := []string{"client.helo", "message.header", "session.tls"}; !slices.Equal(c.Facts(), want) {
		t.Errorf("facts %q, want %q", c.Facts(), want)
	}
	if c.PerRecipient() {
		t.Error("it does not ask about recipients")
	}
	if !condition(t, `session.tls || recipient.local == "postmaster"`).PerRecipient() {
		t.Error("it asks about recipients")
	}
}

func TestConditionErrors(t *testing.T) {
	none := func(string) (any, bool) { return nil, false }
	odd := func(string) (any, bool) { return struct{}{}, true }
	for _, when := range []string{
		`session.tls`, `client.helo == "x"`, `message.size > "1B"`, `length(message.header["A"]) > 1`,
		`cidr_contains("192.0.2.0/24", client.ip)`, `contains(["a"], client.helo)`, `matches("a", client.helo)`,
		`matches("a", message.header["A"])`, `lower(client.helo) == "x"`, `starts_with("x", client.helo)`,
	} {
		c := condition(t, when)
		for name, facts := range map[string]Lookup{"none": none, "odd": odd} {
			if v, err := c.Eval(facts); err == nil || v {
				t.Errorf("%s with facts %s: %v, %v; want an error", when, name, v, err)
			}
		}
	}
}

func TestConditionAddress(t *testing.T) {
	c := condition(t, `cidr_contains("192.0.2.0/24", client.ip) && client.ip != "192.0.2.1"`)
	facts := func(string) (any, bool) { return netip.MustParseAddr("192.0.2.7"), true }
	if v, err := c.Eval(facts); err != nil || !v {
		t.Errorf("%v, %v with an address as a value", v, err)
	}
	mapped := func(string) (any, bool) { return "::ffff:192.0.2.7", true }
	if v, err := c.Eval(mapped); err != nil || !v {
		t.Errorf("%v, %v with a mapped address", v, err)
	}
}

// TestConstant shows which conditions a truth table finds out. Parts that are
// alike, mirrored or negated count as one.
func TestConstant(t *testing.T) {
	tests := map[string]string{
		`true`:                        "always true",
		`1 == 2`:                      "always false",
		`session.tls || !session.tls`: "always true",
		`message.size > "1MiB" && message.size <= "1MiB"`:                              "always false",
		`client.ip == "a" || client.ip != "a"`:                                         "always true",
		`session.tls && client.authenticated || !session.tls || !client.authenticated`: "always true",
		`contains(message.header["A"], "x") && !contains(message.header["A"],   "x")`:  "always false",
		`env("UNSET", "") == ""`:                                                       "always true",
		`client.helo == client.helo`:                                                   "both sides",
	}
	for when, want := range tests {
		_, err := Parse("test.hcl", []byte(`
plugin "p" {
  source = "builtin:footer"
}
pipeline "p" {
  stage "s" {
    plugin = plugin.p
    when   = `+when+`
  }
}
routing {
  rule {
    route = route.r
  }
}
route "r" {
  discard {}
}`), testOptions())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", when, err, want)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	facts := func(name string) (any, bool) {
		switch name {
		case "client.authenticated":
			return false, true
		case "client.ip":
			return "192.0.2.7", true
		case "recipient.domain":
			return "example.org", true
		}
		return nil, false
	}
	for name, when := range map[string]string{
		"bool":   `!client.authenticated`,
		"string": `recipient.domain == "example.net"`,
		"cidr":   `!client.authenticated && !cidr_contains("198.51.100.0/24", client.ip)`,
		"three":  `!client.authenticated && !cidr_contains("198.51.100.0/24", client.ip) && recipient.domain == "example.org"`,
	} {
		c := condition(b, when)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Eval(facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
