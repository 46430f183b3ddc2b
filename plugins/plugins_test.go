// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/postroad-mail/postroad/plugins"
	"github.com/postroad-mail/postroad/plugins/internal/lock"
	"github.com/postroad-mail/postroad/sdk/abi"
)

const maxModule = 150_000 // octets

// TestLock fails when a committed module is not the one in the lock, or when
// sources changed and the module was not rebuilt.
func TestLock(t *testing.T) {
	l, err := lock.Read("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range plugins.Names() {
		module, _ := plugins.Builtin(name)
		want := l.Modules[name]
		source, err := lock.Source("..", name)
		if err != nil {
			t.Fatal(err)
		}
		if lock.Sum(module) != want.Module || len(module) != want.Size {
			t.Errorf("%s.wasm is not the module in lock.json: run `go run ./plugins/build`", name)
		}
		if source != want.Source {
			t.Errorf("the sources of %s changed, its module did not: run `go run ./plugins/build`", name)
		}
	}
	if len(l.Modules) != len(plugins.Names()) {
		t.Errorf("lock.json has %d modules, there are %d plugins", len(l.Modules), len(plugins.Names()))
	}
}

func TestModuleSize(t *testing.T) {
	for _, name := range plugins.Names() {
		if module, _ := plugins.Builtin(name); len(module) == 0 || len(module) > maxModule {
			t.Errorf("%s.wasm has %d octets, at most %d are wanted", name, len(module), maxModule)
		}
	}
}

// TestModuleNamesNoMachine fails when a path of the machine that built a module
// is in it. The path that a compiler release gives to its own standard library
// is the same on all machines and permitted.
func TestModuleNamesNoMachine(t *testing.T) {
	roots := regexp.MustCompile(`/(bin|builds?|etc|home|mnt|opt|private|root|run|srv|tmp|usr|var|work|workspace|Users)/[!-~]+`)
	compiler := regexp.MustCompile(`^/usr/src/rustc-[0-9.]+/(library|vendor)/`)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range plugins.Names() {
		module, _ := plugins.Builtin(name)
		for _, found := range roots.FindAll(module, -1) {
			if !compiler.Match(found) {
				t.Errorf("%s.wasm contains the path %q", name, found)
			}
		}
		if bytes.Contains(module, []byte(here)) {
			t.Errorf("%s.wasm contains the path %q", name, here)
		}
	}
}

// TestModuleManifest fails when the manifest in a module is not manifest.json.
func TestModuleManifest(t *testing.T) {
	for _, name := range plugins.Names() {
		raw, err := os.ReadFile(name + "/manifest.json")
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := json.Compact(&want, raw); err != nil {
			t.Fatalf("%s/manifest.json: %v", name, err)
		}
		module, _ := plugins.Builtin(name)
		section := append([]byte(abi.ManifestSection), want.Bytes()...)
		if !bytes.HasSuffix(module, section) {
			t.Errorf("%s.wasm does not end with its manifest: run `go run ./plugins/build`", name)
		}
	}
}

func TestBuiltin(t *testing.T) {
	for _, name := range plugins.Names() {
		if _, ok := plugins.Builtin(name); !ok {
			t.Errorf("no module for %s", name)
		}
	}
	if _, ok := plugins.Builtin("nosuch"); ok {
		t.Error("a module for a plugin that does not exist")
	}
}
