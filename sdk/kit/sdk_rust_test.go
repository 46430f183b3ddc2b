// SPDX-License-Identifier: Apache-2.0

//go:build interop

package kit_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/plugintest"
)

// TestRust needs rustc with wasm32-unknown-unknown and wasm-ld-14, as sdk/rust's
// README says for Debian.
func TestRust(t *testing.T) {
	dir := t.TempDir()
	rustc(t, dir, "postroad", "--crate-type", "rlib", "../rust/src/lib.rs")
	rustc(t, dir, "kit", "--crate-type", "cdylib", "-C", "linker=wasm-ld-14", "-C", "strip=symbols",
		"--extern", "postroad="+filepath.Join(dir, "libpostroad.rlib"), "rust/lib.rs")
	conform(t, filepath.Join(dir, "kit.wasm"))
}

func TestRustHello(t *testing.T) {
	dir := t.TempDir()
	rustc(t, dir, "postroad", "--crate-type", "rlib", "../rust/src/lib.rs")
	rustc(t, dir, "hello", "--crate-type", "cdylib", "-C", "linker=wasm-ld-14", "-C", "strip=symbols",
		"--extern", "postroad="+filepath.Join(dir, "libpostroad.rlib"), "../../examples/plugins/rust-hello/src/lib.rs")
	p := plugintest.Load(t, filepath.Join(dir, "hello.wasm"), plugintest.Setup{Plugin: "grant {\n  write = [\"headers\"]\n}"})
	r := p.Run(plugintest.Message{})
	if v, _ := r.Header("X-Hello"); r.Err != nil || v != "from Rust" {
		t.Errorf("error %v, message %q", r.Err, r.Message)
	}
}

func rustc(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	args = append([]string{
		"--edition", "2021", "--target", "wasm32-unknown-unknown", "-C", "opt-level=s", "-C", "panic=abort",
		"--crate-name", name, "--out-dir", dir,
	}, args...)
	if out, err := exec.Command("/usr/bin/rustc", args...).CombinedOutput(); err != nil {
		t.Fatalf("rustc %s: %v\n%s", name, err, out)
	}
}
