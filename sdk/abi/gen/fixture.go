// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// renderFixture returns sdk/abi/fixture.schema.json: what a plugin is expected to
// make of messages, in a file beside it, or as an item of its section
// postroad.fixtures.
func renderFixture(s *spec) ([]byte, error) {
	fixture := object{
		"about":   text("what it shows; its name in errors"),
		"config":  object{"description": "the config block: an object as the guest reads it, or lines of HCL", "oneOf": []any{object{"type": "object"}, ref("lines")}},
		"blocks":  described(ref("lines"), "other blocks of pipeline.hcl, in HCL; not in a module"),
		"stores":  described(mapOf(mapOf(object{"type": "string"})), "what key-value stores hold at first, by name and key"),
		"buckets": described(mapOf(ref("bucket")), "token buckets by name; others never run dry"),
		"dns":     described(mapOf(mapOf(strs())), "what the DNS knows, by name and type: {\"example.org\": {\"MX\": [\"10 mx.example.org\"]}}"),
		"http":    described(mapOf(ref("response")), "answers by \"METHOD URL\""),
		"secrets": described(mapOf(object{"type": "string"}), "by name"),
		"runs":    object{"type": "array", "items": ref("message"), "description": "messages, and ticks, in turn"},
	}
	return encode(object{
		"$schema": draft, "$comment": generated, "$id": "urn:postroad:" + s.Module + ":fixture",
		"title":       "Fixtures of plugins of " + s.Module,
		"description": "What a plugin is expected to make of messages: a file in its folder fixtures, or an item of the list in the custom section postroad.fixtures.",
		"$ref":        "#/$defs/fixture",
		"$defs": object{
			"fixture": closed(fixture, "about", "runs"), "section": object{"type": "array", "items": ref("fixture"), "maxItems": 100},
			"lines":    object{"type": "array", "items": object{"type": "string"}, "description": "text as a list of its lines"},
			"bucket":   closed(object{"rate": number("tokens that it gets"), "per": text("in this time, \"1m\""), "burst": number("tokens that it holds; absent: rate")}, "rate", "per"),
			"response": closed(object{"status": number(""), "header": mapOf(strs()), "body": text("")}, "status"),
			"message":  message(), "attempt": attempt(), "outcome": outcome(), "expect": s.expect(),
		},
	})
}

func text(doc string) object { return described(object{"type": "string"}, doc) }

func number(doc string) object { return described(object{"type": "integer", "minimum": 0}, doc) }

func flag(doc string) object { return described(object{"type": "boolean"}, doc) }

func strs() object { return object{"type": "array", "items": object{"type": "string"}} }

func mapOf(values object) object { return object{"type": "object", "additionalProperties": values} }

func described(o object, doc string) object {
	if doc != "" {
		o["description"] = doc
	}
	return o
}

// closed is an object that has no members but those.
func closed(members object, required ...string) object {
	o := object{"type": "object", "properties": members, "additionalProperties": false}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func message() object {
	return closed(object{
		"advance": text("moves the clock first, \"90s\""), "client": text("address; 192.0.2.1"), "rdns": text("its verified name; none"),
		"helo": text("client.example.org"), "listener": text("inbound"), "tls": text("version, \"TLS1.3\"; none"), "user": text("authenticated; nobody"),
		"mechanism": text("SASL mechanism; PLAIN for a user"), "password": text("given in AUTH"), "ehlo": described(strs(), "what EHLO would answer"),
		"from": text("reverse-path; \"<>\" is the null sender; sender@example.org"), "to": described(strs(), "forward-paths; rcpt@example.test"),
		"smtputf8": flag("MAIL said SMTPUTF8"), "meta": described(mapOf(object{"type": "string"}), "notes of stages before, by \"stage.key\""),
		"eml": described(ref("lines"), "header, empty line, body; a short text"), "chunk": number("octets of a chunk in phase body; 16384"),
		"delivery": described(ref("attempt"), "the phases of delivery follow, when the message was taken"), "tick": flag("phase tick instead of a message"),
		"expect": ref("expect"),
	}, "expect")
}

func attempt() object {
	return closed(object{
		"route": text(""), "next_hop": text(""), "attempt": number("its number; 1"),
		"outcomes": described(mapOf(ref("outcome")), "by the recipient's index; others are delivered"), "last": described(mapOf(ref("outcome")), "of the attempt before"),
	})
}

func outcome() object {
	return closed(object{
		"status": object{"enum": []string{"delivered", "deferred", "failed"}}, "code": number(""), "enhanced": enhanced(), "text": text(""),
	}, "status")
}

// expect is what happened: calls and edits begin with names of abi.json.
func (s *spec) expect() object {
	call := `^(` + strings.Join(phaseNames(s), "|") + `)( \d+)? (` + strings.Join(names(s.Verdicts), "|") + `)(: .*)?$`
	var ops []string
	for _, f := range s.Functions {
		if f.Served {
			ops = append(ops, f.Name)
		}
	}
	edit := `^(` + strings.Join(ops, "|") + `)( |$)`
	return closed(object{
		"calls":  object{"type": "array", "items": object{"type": "string", "pattern": call}, "description": "\"PHASE [INDEX] VERDICT[: REPLY]\", in order"},
		"edits":  object{"type": "array", "items": object{"type": "string", "pattern": edit}, "description": "the journal, \"OP TARGET VALUE\", in order"},
		"sender": text("when it changed"), "to": described(strs(), "when recipients changed; \"-\" was removed"),
		"routes": described(strs(), "when some were chosen; by recipient"), "ehlo": described(strs(), "when the list changed"),
		"message": described(ref("lines"), "must be here when header or body were edited"),
	}, "calls")
}
