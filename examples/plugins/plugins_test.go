// SPDX-License-Identifier: Apache-2.0

// Package plugins_test builds the Go example as its README says and runs it on
// the real host.
package plugins_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

func TestGoHello(t *testing.T) {
	module := filepath.Join(t.TempDir(), "hello.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, "./go-hello")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p := plugintest.Load(t, module, plugintest.Setup{Plugin: "grant {\n  write = [\"headers\"]\n}"})
	for range 3 {
		r := p.Run(plugintest.Message{})
		if v, _ := r.Header("X-Hello"); r.Err != nil || r.Verdict != mail.Continue || v != "from Go" {
			t.Fatalf("verdict %v, error %v, message %q, log %s", r.Verdict, r.Err, r.Message, p.Log())
		}
	}
}
