// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/plugins"
)

// TestAModuleThatChangesDuringALoadGivesOneAnswer: the configuration is checked
// against the manifest of the code that then runs, and of no other.
func TestAModuleThatChangesDuringALoadGivesOneAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.wasm")
	put := func(builtin string) []byte {
		wasm, ok := plugins.Builtin(builtin)
		if !ok {
			t.Fatalf("no builtin %q", builtin)
		}
		if err := os.WriteFile(path, wasm, 0o600); err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	first := put("filter")
	p := config.Plugin{Name: "x", Source: "./x.wasm", Path: path}
	src := &sources{nothingKept: true}
	l := src.begin()
	if _, err := l.manifest(t.Context(), config.Server{}, p); err != nil {
		t.Fatal(err)
	}
	second := put("route")
	if c, err := l.read(t.Context(), "", &p); err != nil || !slices.Equal(c.Wasm, first) {
		t.Errorf("the load has two answers, %v", err)
	}
	if c, err := src.begin().read(t.Context(), "", &p); err != nil || !slices.Equal(c.Wasm, second) {
		t.Errorf("the next load has the code of the last one, %v", err)
	}
	p.SHA256 = "00"
	if _, err := l.read(t.Context(), "", &p); err == nil {
		t.Error("a plugin with the same file and another pin was not checked")
	}
}
