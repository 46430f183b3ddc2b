// SPDX-License-Identifier: Apache-2.0

package kit_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

// exchange is what a command reads and answers in one phase: an item of
// testdata/command.json.
type exchange struct {
	Phase   string          `json:"phase"`
	Input   map[string]any  `json:"input"`             // but for its member config
	Output  json.RawMessage `json:"output"`            // what it answers
	Message string          `json:"message,omitempty"` // what it writes behind
}

const commandGrants = `phases = [%s]
grant {
  read   = ["envelope", "headers", "body", "auth"]
  write  = ["headers", "recipients", "sender", "body", "queue", "ehlo"]
  routes = [route.plugintest]
  kv     = [store.kept]
  emit   = true
  http   = ["api.example.test"]
  tick   = "1m"
}`

// TestCommand holds what a command reads and writes against the schema and
// against the transcript.
func TestCommand(t *testing.T) {
	want := exchanges(t)
	p := plugintest.Load(t, buildCommand(t), commandSetup(t, want))
	r := p.Run(plugintest.Message{
		From: "ann@example.org", To: []string{"a@example.test", "b@example.test"}, EML: eml, Meta: map[string]string{"other.note": "seen"},
		Client: mail.Client{User: "ann", Mechanism: "PLAIN", Authenticated: true}, Password: "hush",
		Delivery: &plugintest.Attempt{Route: "plugintest", NextHop: "mx.example.test", Outcomes: map[string]plugintest.Outcome{"1": {Status: "failed", Code: 550, Text: "no"}}},
	})
	if r.Err != nil {
		t.Fatalf("%v, log %s", r.Err, p.Log())
	}
	if r := p.Tick(); r.Err != nil {
		t.Fatalf("%v, log %s", r.Err, p.Log())
	}
	compareInputs(t, want, p.Log())
	commandOutcome(t, r)
}

func exchanges(t *testing.T) []exchange {
	t.Helper()
	raw, err := os.ReadFile("testdata/command.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	output := commandSchema(t, "output")
	for _, e := range all {
		if err := conforms(t, output, string(e.Output)); err != nil {
			t.Errorf("output of %s: %v", e.Phase, err)
		}
	}
	return all
}

func commandSchema(t *testing.T, def string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile("../abi/command.schema.json#/$defs/" + def)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func conforms(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s.Validate(v)
}

func buildCommand(t *testing.T) string {
	t.Helper()
	module := filepath.Join(t.TempDir(), "kit.wasm")
	build := exec.Command("go", "build", "-ldflags=-s -w", "-o", module, "./command")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return module
}

// commandSetup makes the command answer as the transcript says.
func commandSetup(t *testing.T, all []exchange) plugintest.Setup {
	t.Helper()
	answers, messages, phases := map[string]json.RawMessage{}, map[string]string{}, []string{}
	for _, e := range all {
		if answers[e.Phase] == nil {
			phases = append(phases, `"`+e.Phase+`"`)
		}
		answers[e.Phase], messages[e.Phase] = e.Output, e.Message
	}
	config, err := json.Marshal(map[string]any{"answers": answers, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	return plugintest.Setup{
		Plugin: strings.Replace(commandGrants, "%s", strings.Join(phases, ", "), 1), JSON: config, Services: services,
		Blocks: "store \"kept\" {\n  engine = \"memory\"\n}",
	}
}

// compareInputs finds in the log what the command has read.
func compareInputs(t *testing.T, want []exchange, log string) {
	t.Helper()
	input := commandSchema(t, "input")
	for n, line := range inputs(t, log) {
		if err := conforms(t, input, line); err != nil {
			t.Errorf("input %d: %v\n%s", n, err, line)
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "config")
		if n >= len(want) || !reflect.DeepEqual(got, want[n].Input) {
			text, _ := json.MarshalIndent(got, "", "  ")
			t.Errorf("input %d is another than in testdata/command.json:\n%s", n, text)
		}
	}
	if got := len(inputs(t, log)); got != len(want) {
		t.Errorf("the command was called %d times, want %d", got, len(want))
	}
}

func inputs(t *testing.T, log string) []string {
	t.Helper()
	var lines []string
	whole := true
	for _, m := range regexp.MustCompile(`kit [a-z]+ ([A-Za-z0-9+/]+=*)"`).FindAllStringSubmatch(log, -1) {
		if whole {
			lines = append(lines, "")
		}
		lines[len(lines)-1] += m[1]
		whole = len(m[1]) < 800
	}
	for n, line := range lines {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			t.Fatalf("input %d: %v", n, err)
		}
		lines[n] = string(b)
	}
	return lines
}

// commandOutcome is what the answers of the transcript do.
func commandOutcome(t *testing.T, r *plugintest.Result) {
	t.Helper()
	if want := "X-New: top\r\nSubject: new\r\n\r\nnew body\r\n"; r.Message != want {
		t.Errorf("message %q, want %q", r.Message, want)
	}
	if r.Verdict != mail.Continue || r.Envelope.Sender != "mapped@example.org" || r.Envelope.Meta["kit.k"] != "v" || r.Envelope.Score() != 1500 || r.Envelope.Priority != 5 {
		t.Errorf("verdict %v, envelope %+v", r.Verdict, r.Envelope)
	}
	if a := r.Envelope.Recipients; !a[0].Removed || a[1].Address != "changed@example.test" || a[1].Route != "plugintest" {
		t.Errorf("recipients %+v", a)
	}
}
