// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"
)

// TestSpecification runs the WebAssembly specification's own tests, as they come
// with wazero, on the plain and on the metered form of each module, and demands
// that nobody can tell the difference. METERING_SPEC=full runs all of it, else
// one file in three.
func TestSpecification(t *testing.T) {
	corpus := specCorpus(t)
	for version, features := range map[string]api.CoreFeatures{"v1": api.CoreFeaturesV1, "v2": api.CoreFeaturesV2} {
		files, err := filepath.Glob(filepath.Join(corpus, version, "testdata", "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no specification tests below %s: %v", corpus, err)
		}
		for i, file := range files {
			if i%3 != 0 && os.Getenv("METERING_SPEC") != "full" {
				continue
			}
			t.Run(version+"/"+filepath.Base(file), func(t *testing.T) { runSpec(t, file, features) })
		}
	}
}

// specCorpus returns the folder with the specification's tests.
func specCorpus(t testing.TB) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	if err != nil {
		t.Fatalf("where is wazero: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "internal", "integration_test", "spectest")
}

// specCommand is one line of a test as wast2json writes it.
type specCommand struct {
	Type, Name, Filename, As string
	Line                     int
	ModuleType               string `json:"module_type"`
	Text                     string
	Action                   struct {
		Type, Field, Module string
		Args                []specValue
	}
}

func runSpec(t *testing.T, file string, features api.CoreFeatures) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var script struct{ Commands []specCommand }
	if err := json.Unmarshal(raw, &script); err != nil {
		t.Fatal(err)
	}
	p := newPair(t, context.Background(), features, filepath.Dir(file))
	for i, c := range script.Commands {
		p.run(c, script.Commands[i+1:])
	}
}

// run executes one command on both worlds.
func (p *pair) run(c specCommand, rest []specCommand) {
	switch c.Type {
	case "module":
		p.instantiate(c, registeredAs(c, rest), true)
	case "assert_unlinkable", "assert_uninstantiable":
		p.instantiate(c, "", false)
	case "assert_invalid", "assert_malformed":
		p.refuse(c)
	case "action", "assert_return", "assert_trap":
		p.act(c)
	case "assert_exhaustion":
		p.exhaust(c)
	case "register":
	default:
		p.t.Errorf("line %d: command %s", c.Line, c.Type)
	}
}

// registeredAs looks ahead for the name under which others import a module, for
// it has to be instantiated under it.
func registeredAs(c specCommand, rest []specCommand) string {
	for _, next := range rest {
		if next.Type == "register" && (next.Name == c.Name || next.Name == "") {
			return next.As
		}
		if next.Type == "module" && c.Name == "" {
			break
		}
	}
	return c.Name
}
