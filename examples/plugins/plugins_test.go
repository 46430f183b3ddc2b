// SPDX-License-Identifier: Apache-2.0

// Package plugins_test builds the Go examples as their README says and runs them
// on the real host.
package plugins_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

// build builds an example and returns the path of its module.
func build(t *testing.T, folder string, flags ...string) string {
	t.Helper()
	module := filepath.Join(t.TempDir(), "plugin.wasm")
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-ldflags=-s -w", "-o", module, folder)...)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return module
}

func TestGoHello(t *testing.T) {
	p := plugintest.Load(t, build(t, "./go-hello", "-buildmode=c-shared"), plugintest.Setup{Plugin: "grant {\n  write = [\"headers\"]\n}"})
	for range 3 {
		r := p.Run(plugintest.Message{})
		if v, _ := r.Header("X-Hello"); r.Err != nil || r.Verdict != mail.Continue || v != "from Go" {
			t.Fatalf("verdict %v, error %v, message %q, log %s", r.Verdict, r.Err, r.Message, p.Log())
		}
	}
}

func TestGoCommand(t *testing.T) {
	p := plugintest.Load(t, build(t, "./go-command"), plugintest.Setup{Plugin: "grant {\n  read = [\"headers\"]\n  write = [\"headers\"]\n}"})
	r := p.Run(plugintest.Message{EML: "Subject: lunch\r\n\r\nAt noon?\r\n"})
	if v, _ := r.Header("X-Subject-Was"); r.Err != nil || r.Verdict != mail.Continue || v != "lunch" {
		t.Errorf("verdict %v, error %v, message %q, log %s", r.Verdict, r.Err, r.Message, p.Log())
	}
	r = p.Run(plugintest.Message{EML: "From: anna@example.org\r\n\r\nAt noon?\r\n"})
	if r.Err != nil || r.Verdict != mail.Reject || r.Reply == nil || r.Reply.Text != "a Subject is wanted here" {
		t.Errorf("verdict %v, reply %v, error %v, log %s", r.Verdict, r.Reply, r.Err, p.Log())
	}
}

func TestGoFilter(t *testing.T) {
	p := plugintest.Load(t, build(t, "./go-filter"), plugintest.Setup{Plugin: "mode = \"filter\"\ngrant {\n  read = [\"headers\", \"body\"]\n  write = [\"headers\", \"body\"]\n}"})
	r := p.Run(plugintest.Message{EML: "Subject: lunch\r\n\r\nAt noon?\r\n"})
	if r.Err != nil || r.Verdict != mail.Continue || !strings.HasSuffix(r.Message, "At noon?\r\n-- \r\nSent by way of Postroad\r\n") {
		t.Errorf("verdict %v, error %v, message %q, log %s", r.Verdict, r.Err, r.Message, p.Log())
	}
}
