// SPDX-License-Identifier: Apache-2.0

//go:build interop

package plugins_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

func TestCHello(t *testing.T) {
	module := filepath.Join(t.TempDir(), "hello.wasm")
	if out, err := exec.Command("clang-19", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-o", module, "c-hello/hello.c").CombinedOutput(); err != nil {
		t.Fatalf("clang: %v\n%s", err, out)
	}
	p := plugintest.Load(t, module, plugintest.Setup{Plugin: "grant {\n  write = [\"headers\"]\n}"})
	r := p.Run(plugintest.Message{})
	if v, _ := r.Header("X-Hello"); r.Err != nil || r.Verdict != mail.Continue || v != "from C" {
		t.Fatalf("verdict %v, error %v, message %q, log %s", r.Verdict, r.Err, r.Message, p.Log())
	}
}
