// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// checkConfig checks the text of a config block against a schema and returns
// the JSON that the plugin gets, or the faults.
func checkConfig(t *testing.T, schemaText, text string) (string, error) {
	t.Helper()
	s, err := parseSchema([]byte(schemaText))
	if err != nil {
		t.Fatal(err)
	}
	r := newReport("config", []byte(text))
	body := parseBody(r, "config", []byte(text))
	d := newDecoder(r, "/", testOptions())
	d.define("bucket", "slow", hcl.Range{})
	v, ok := d.object(d.bodyLit(body, hcl.Range{}), s)
	if err := r.result(); err != nil || !ok {
		return "", err
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), nil
}

func properties(s string) string { return fmt.Sprintf(`{"type": "object", "properties": {%s}}`, s) }

func TestSchemaValues(t *testing.T) {
	tests := []struct{ schema, text, want string }{
		{`"a": {"type": "string"}`, `a = "x"`, `{"a":"x"}`},
		{`"a": {"type": "string"}`, `a = env("UNSET", "y")`, `{"a":"y"}`},
		{`"a": {"type": "string"}`, `a = bucket.slow`, `{"a":"slow"}`},
		{`"a": {"type": "string", "format": "bucket"}`, `a = bucket.slow`, `{"a":"slow"}`},
		{`"a": {"type": "integer"}`, `a = 9007199254740993`, `{"a":9007199254740993}`},
		{`"a": {"type": "integer"}`, `a = env("UNSET", "12")`, `{"a":12}`},
		{`"a": {"type": "integer", "minimum": 1, "maximum": 3}`, `a = 3`, `{"a":3}`},
		{`"a": {"type": "number"}`, `a = 0.25`, `{"a":0.25}`},
		{`"a": {"type": "boolean"}`, `a = true`, `{"a":true}`},
		{`"a": {"type": "boolean"}`, `a = env("UNSET", "true")`, `{"a":true}`},
		{`"a": {"type": "string", "format": "duration"}`, `a = "1m"`, `{"a":60000}`},
		{`"a": {"type": "integer", "format": "duration"}`, `a = "2s"`, `{"a":2000}`},
		{`"a": {"type": "string", "format": "size"}`, `a = "1KiB"`, `{"a":1024}`},
		{`"a": {"type": "string", "format": "rate"}`, `a = "5/1s"`, `{"a":"5/1s"}`},
		{`"a": {"type": "string", "format": "cidr"}`, `a = "192.0.2.0/24"`, `{"a":"192.0.2.0/24"}`},
		{`"a": {"type": "string", "enum": ["x", "y"]}`, `a = "y"`, `{"a":"y"}`},
		{`"a": {"type": "integer", "enum": [1, 2]}`, `a = 2`, `{"a":2}`},
		{`"a": {"type": "array", "items": {"type": "string"}}`, `a = []`, `{"a":[]}`},
		{`"a": {"type": "array", "items": {"type": "string"}}`, `a = split(",", "x, y")`, `{"a":["x","y"]}`},
		{`"a": {"type": "array", "items": {"type": "string", "format": "duration"}}`, `a = ["1s", "2s"]`, `{"a":[1000,2000]}`},
		{`"a": {"type": "object", "additionalProperties": {"type": "integer"}}`, `a = { x = 1, "y z" = 2 }`, `{"a":{"x":1,"y z":2}}`},
		{`"a": {"type": "object", "properties": {"b": {"type": "integer", "default": 5}}}`, "a {}", `{"a":{"b":5}}`},
		{`"a": {"type": "object", "properties": {"b": {"type": "integer", "default": 5}}}`, "", `{}`},
		{`"a": {"type": "object", "default": {}, "properties": {"b": {"type": "integer", "default": 5}}}`, "", `{"a":{"b":5}}`},
		{`"a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer"}}}}`, "a {\n b = 1\n}\na {}", `{"a":[{"b":1},{}]}`},
		{`"a": {"type": "array", "items": {"type": "object", "properties": {"b": {"type": "integer"}}}}`, "a = [{ b = 1 }]", `{"a":[{"b":1}]}`},
		{`"a": {"type": "string", "format": "duration", "default": "1s"}, "b": {"type": "string", "format": "size", "default": 7}`, "", `{"a":1000,"b":7}`},
		{`"a": {"type": "array", "items": {"type": "string"}, "default": ["x"]}`, "", `{"a":["x"]}`},
		{`"a": {"type": "object", "additionalProperties": {"type": "string"}, "default": {"k": "v"}}`, "", `{"a":{"k":"v"}}`},
	}
	for _, tt := range tests {
		got, err := checkConfig(t, properties(tt.schema), tt.text)
		if err != nil || got != tt.want {
			t.Errorf("%s with %q = %s, want %s\n%v", tt.schema, tt.text, got, tt.want, err)
		}
	}
}

func TestSchemaFaults(t *testing.T) {
	tests := []struct{ schema, text, want string }{
		{`"a": {"type": "string"}`, `a = 5`, "a cannot be 5"},
		{`"a": {"type": "string"}`, `a = ["x"]`, "a cannot be a list"},
		{`"a": {"type": "string"}`, `a {}`, "a cannot be a block"},
		{`"a": {"type": "string"}`, `b = 5`, `has no "b" here`},
		{`"a": {"type": "string"}`, `a = secret("known")` + "\nb = 1", `has no "b" here`},
		{`"a": {"type": "string", "enum": ["x"]}`, `a = secret("known")`, `a cannot be "(secret)"`},
		{`"a": {"type": "integer"}`, `a = 1.5`, "a cannot be 1.5"},
		{`"a": {"type": "integer"}`, `a = true`, "a cannot be true"},
		{`"a": {"type": "integer", "maximum": 3}`, `a = 4`, "up to 3"},
		{`"a": {"type": "boolean"}`, `a = 1`, "a cannot be 1"},
		{`"a": {"type": "boolean"}`, `a = "perhaps"`, `a cannot be "perhaps"`},
		{`"a": {"type": "string", "format": "duration"}`, `a = 60`, "a bare number does not say of what"},
		{`"a": {"type": "string", "format": "regexp"}`, `a = "("`, "missing closing )"},
		{`"a": {"type": "string", "format": "glob"}`, `a = "["`, "is not a pattern"},
		{`"a": {"type": "string", "format": "bucket"}`, `a = "slow"`, "write bucket.slow without quotes"},
		{`"a": {"type": "string", "format": "bucket"}`, `a = bucket.fast`, `there is no bucket "fast"`},
		{`"a": {"type": "array", "items": {"type": "string"}}`, `a = "x"`, `write one value as a list too: ["x"]`},
		{`"a": {"type": "array", "items": {"type": "string"}}`, "a {}\na {}", "a cannot be a block"},
		{`"a": {"type": "object", "additionalProperties": {"type": "integer"}}`, `a = { x = "y" }`, `a "x" cannot be "y"`},
		{`"a": {"type": "object", "properties": {"b": {"type": "integer"}}}`, `a = 1`, "expected a block"},
		{`"a": {"type": "object", "properties": {"b": {"type": "integer"}}}`, "a {}\na {}", "there is a second a block"},
		{`"a": {"type": "object", "required": ["b"], "properties": {"b": {"type": "integer", "description": "how many"}}}`, "a {}", "how many"},
	}
	for _, tt := range tests {
		_, err := checkConfig(t, properties(tt.schema), tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %q: %v, want %q", tt.schema, tt.text, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the fault shows the secret: %v", err)
		}
	}
}

// TestFaultySchema shows that a plugin cannot bring a schema that would be
// understood only in part.
func TestFaultySchema(t *testing.T) {
	for text, want := range map[string]string{
		`[]`:                                "cannot unmarshal",
		`{"type": "string"}`:                "must be object",
		`{"type": "object", "oneOf": []}`:   "unknown field",
		properties(`"a": {"type": "text"}`): "unknown type",
		properties(`"a": {}`):               "unknown type",
		properties(`"a": {"type": "string", "pattern": "x"}`):                       "unknown field",
		properties(`"a": {"type": "string", "format": "uuid"}`):                     "unknown format",
		properties(`"a": {"type": "array"}`):                                        "without items",
		properties(`"a": {"type": "object", "required": ["b"]}`):                    "unknown property",
		properties(`"a": {"type": "object", "additionalProperties": true}`):         "not true",
		properties(`"a": {"type": "string", "default": 5}`):                         "the default of config.a",
		properties(`"a": {"type": "string", "enum": ["x"], "default": "y"}`):        "the default of config.a",
		properties(`"a": {"type": "string", "format": "duration", "default": "x"}`): "the default of config.a",
		properties(`"a": null`):                                                     "config.a is null",
	} {
		if _, err := parseSchema([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "null", `{"type": "object"}`} {
		if _, err := parseSchema([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}
