// SPDX-License-Identifier: Apache-2.0

package plugintest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/fixture"
)

// Fixtures runs every fixture in a folder, each *.json file as a test of its own,
// against the module at path. With update, what happens now is written into the
// files instead: read the difference. The format is in sdk/abi/fixture.schema.json;
// the same fixtures can stand in a module, as its self-test.
func Fixtures(t *testing.T, path, dir string, update bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("plugintest: %s has no fixtures (%v)", dir, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			t.Parallel()
			runFixture(t, path, file, update)
		})
	}
}

func runFixture(t *testing.T, path, file string, update bool) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, err := fixture.ParseFile(raw)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	p := Load(t, path, setupOf(f))
	for n := range f.Runs {
		m := &f.Runs[n]
		p.Advance(m.Wait())
		got, err := fixture.Observe(p.runner.Run(t.Context(), m))
		if err != nil {
			t.Fatalf("message %d: %v\nlog %s", n+1, err, p.Log())
		}
		if diff := fixture.Differ(m.Expect, got); diff != "" && !update {
			t.Errorf("message %d: %s\nall that happened: %s\nlog %s", n+1, diff, indented(t, got), p.Log())
		}
		m.Expect = got
	}
	if !update {
		return
	}
	if err := os.WriteFile(file, indented(t, f), 0o644); err != nil {
		t.Fatal(err)
	}
}

// setupOf returns the place of a plugin that a fixture describes.
func setupOf(f *fixture.Fixture) Setup {
	s := Setup{Blocks: f.Blocks.Text(), serve: f}
	if hcl, ok := f.HCL(); ok {
		s.Config = hcl
		return s
	}
	s.JSON, _ = f.JSON()
	return s
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
