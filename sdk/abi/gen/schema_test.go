// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schema compiles one definition of a schema file.
func schema(t *testing.T, file, def string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(filepath.Join(root, "sdk/abi", file) + def)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(v)
}

func TestOutputOfACommand(t *testing.T) {
	s := schema(t, "command.schema.json", "#/$defs/output")
	for _, text := range []string{
		`{}`,
		`{"verdict":"reject","code":550,"enhanced":"5.7.1","text":"no","ops":[],"body":"replace"}`,
		`{"ops":[{"op":"hdr_add","name":"X","value":"y"},{"op":"hdr_add","pos":-1,"name":"X","value_b64":"/w=="}]}`,
		`{"ops":[{"op":"rcpt_del","rcpt":"a@b"},{"op":"rcpt_del","idx":0},{"op":"rcpt_verdict","idx":1,"verdict":"tempfail","code":451}]}`,
		`{"ops":[{"op":"split","rcpts":[0,1]},{"op":"use","handle":1},{"op":"route_set","route":"bulk"},{"op":"route_set","idx":0,"next_hop":"mx:25"}]}`,
		`{"ops":[{"op":"emit","recipients":["a@b"],"header":"Subject: x\r\n","body_of_message":true},{"op":"queue_set","key":"priority","value":-5}]}`,
		`{"ops":[{"op":"meta_set","key":"k","value":"v"},{"op":"meta_set","scope":"session","key":"k","value":"v"},{"op":"metric","kind":"gauge","name":"n","value":1}]}`,
		`{"ops":[{"op":"http","url":"https://a/","method":"POST","body":"x"},{"op":"ehlo_set","action":"remove","line":"CHUNKING"}]}`,
	} {
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		`[]`, `{"verdict":"no"}`, `{"verdict":2}`, `{"code":150}`, `{"text":"without a code"}`, `{"body":"append"}`, `{"headers":[]}`,
		`{"ops":[{}]}`, `{"ops":[{"op":"hdr_find","name":"X"}]}`, `{"ops":[{"op":"hdr_add","name":"X"}]}`,
		`{"ops":[{"op":"hdr_add","name":"X","value":"y","value_b64":"eQ=="}]}`, `{"ops":[{"op":"hdr_add","name":"X","value":"y","at":1}]}`,
		`{"ops":[{"op":"rcpt_del"}]}`, `{"ops":[{"op":"rcpt_del","idx":0,"rcpt":"a@b"}]}`, `{"ops":[{"op":"rcpt_verdict","idx":0,"verdict":"2"}]}`,
		`{"ops":[{"op":"route_set","route":"a","next_hop":"b:25"}]}`, `{"ops":[{"op":"queue_set","key":"3","value":1}]}`, `{"ops":[{"op":"score","symbol":"A","milli":"1"}]}`,
		`{"ops":[{"op":"emit","recipients":["a@b"],"header":"S: x\r\n","body":"x","body_of_message":true}]}`,
	} {
		if valid(t, s, text) == nil {
			t.Errorf("%s is valid", text)
		}
	}
}

// TestEveryOpHasItsFunction: ops are functions that edit, and have no operand
// twice.
func TestEveryOpHasItsFunction(t *testing.T) {
	s, err := load(filepath.Join(root, "sdk/abi/abi.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range s.Functions {
		seen := map[string]bool{}
		for _, a := range f.Op {
			if seen[a.Name] || a.Name == "op" {
				t.Errorf("%s: operand %q twice", f.Name, a.Name)
			}
			seen[a.Name] = true
		}
		if len(f.Op) > 0 && !f.Served {
			t.Errorf("%s has an op and is not served", f.Name)
		}
	}
}

// TestSnapshotsAreInputs: the golden snapshots are what a command may read.
func TestSnapshotsAreInputs(t *testing.T) {
	s, err := load(filepath.Join(root, "sdk/abi/abi.json"))
	if err != nil {
		t.Fatal(err)
	}
	input, n := schema(t, "command.schema.json", "#/$defs/input"), 0
	for _, v := range s.Vectors {
		if v.Of != "snapshot" {
			continue
		}
		n++
		var o object
		if err := json.Unmarshal(v.JSON, &o); err != nil {
			t.Fatal(err)
		}
		o["phase"], o["config"] = "message", object{}
		text, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, input, string(text)); err != nil {
			t.Errorf("%s: %v", v.Name, err)
		}
		o["phase"] = "nothing"
		if text, _ = json.Marshal(o); valid(t, input, string(text)) == nil {
			t.Errorf("%s: an unknown phase is valid", v.Name)
		}
	}
	if n == 0 {
		t.Error("no snapshot among the vectors")
	}
}

// TestFixtures: every fixture of the repository is one, and what is none is not.
func TestFixtures(t *testing.T) {
	s := schema(t, "fixture.schema.json", "")
	files, err := filepath.Glob(filepath.Join(root, "plugins/*/fixtures/*.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d fixtures found, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(t, s, string(raw)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, text := range []string{
		`{"about":"x","runs":[{"expect":{"calls":["mail continue","rcpt 0 reject: 550 5.7.1 no","message quarantine"]}}]}`,
		`{"about":"x","config":{"a":1},"stores":{"s":{"k":"v"}},"dns":{"x.test":{"MX":["10 mx.x.test"]}},"http":{"GET https://x/":{"status":200}},"runs":[]}`,
		`{"about":"x","runs":[{"tick":true,"expect":{"calls":["tick continue"],"edits":["emit a@b c@d"]}}]}`,
		`{"about":"x","runs":[{"delivery":{"outcomes":{"0":{"status":"failed","code":550,"enhanced":"5.1.1"}}},"expect":{"calls":[]}}]}`,
	} {
		if err := valid(t, s, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		`{}`, `{"about":"x"}`, `{"about":"x","runs":[{}]}`, `{"about":"x","runs":[{"expect":{"calls":["message perhaps"]}}]}`,
		`{"about":"x","runs":[{"expect":{"calls":["later continue"]}}]}`, `{"about":"x","runs":[{"expect":{"calls":[],"edits":["hdr_put a b"]}}]}`,
		`{"about":"x","runs":[{"form":"a@b","expect":{"calls":[]}}]}`, `{"about":"x","config":"text","runs":[]}`,
		`{"about":"x","runs":[{"delivery":{"outcomes":{"0":{"status":"lost"}}},"expect":{"calls":[]}}]}`,
	} {
		if valid(t, s, text) == nil {
			t.Errorf("%s is valid", text)
		}
	}
}
