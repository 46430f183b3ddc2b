// SPDX-License-Identifier: Apache-2.0

// Package kit_test holds the SDKs against the host: one guest per SDK uses every
// function and writes down what came of it, and all must write the same.
package kit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/plugintest"
)

func TestGo(t *testing.T) {
	module := filepath.Join(t.TempDir(), "kit.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, "./go")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	conform(t, module)
}

const (
	grants = `grant {
  read      = ["envelope", "headers", "body"]
  write     = ["headers", "recipients", "sender", "body", "queue", "ehlo"]
  routes    = [route.plugintest]
  next_hops = ["*.example.test:25"]
  kv        = [store.kept]
  buckets   = [bucket.slow]
  dns       = true
  http      = ["api.example.test"]
  emit      = true
  secrets   = ["key"]
}`
	blocks = `store "kept" {
  engine = "pebble"
  ttl    = "1h"
}
bucket "slow" {
  rate  = "1/1m"
  burst = 1
}`
	services = `{
  "dns": {"example.test": {"MX": ["10 mx.example.test", "20 backup.example.test"]}},
  "http": {"POST https://api.example.test/": {"status": 418, "header": {"X-Kind": ["teapot"]}, "body": "short"}},
  "secrets": {"key": "hush"}
}`
	eml = "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nX-A: one\n two\n\nhello\n"
)

func conform(t *testing.T, module string) {
	p := plugintest.Load(t, module, plugintest.Setup{Plugin: grants, Blocks: blocks, Services: services, JSON: []byte(`{"word":"é"}`)})
	r := p.Run(plugintest.Message{
		From: "ann@example.org", To: []string{"a@example.test", "b@example.test"}, EML: eml, Meta: map[string]string{"other.note": "seen"},
	})
	if r.Err != nil {
		t.Fatalf("%v, log %s", r.Err, p.Log())
	}
	transcript(t, p.Log())
	outcome(t, r)
	failures(t, p)
}

// transcript compares what the guest wrote down.
func transcript(t *testing.T, log string) {
	t.Helper()
	var got []string
	for _, m := range regexp.MustCompile(`(?:config|put)=[^\n]*\|`).FindAllString(log, -1) {
		got = append(got, strings.Split(strings.ReplaceAll(strings.TrimSuffix(m, "|"), `\"`, `"`), "|")...)
	}
	raw, err := os.ReadFile("testdata/transcript.txt")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i] != want[i] {
			t.Fatalf("line %d differs:\n got %q\nwant %q\nlog %s", i+1, got[min(i, len(got)):], want[min(i, len(want)):], log)
		}
	}
}

// outcome compares what the relay has afterwards.
func outcome(t *testing.T, r *plugintest.Result) {
	t.Helper()
	if r.Verdict != mail.Quarantine || r.Reply == nil || r.Reply.Line() != "550 5.7.0 kept for the kit" {
		t.Errorf("verdict %v, reply %v", r.Verdict, r.Reply)
	}
	const word = "X-New: =?utf-8?q?=C3=A9?=\r\n"
	if want := word + word + "X-A: changed\r\n" + word + word + "\r\nnew body\r\n"; r.Message != want {
		t.Errorf("message %q, want %q", r.Message, want)
	}
	var to, hops []string
	for _, rc := range r.Envelope.Recipients {
		to, hops = append(to, string(rc.Address)), append(hops, rc.Route+rc.NextHop)
	}
	if want := []string{"arg0@example.test", "arg1@example.test", "changed@example.test"}; !reflect.DeepEqual(to, want) {
		t.Errorf("recipients %v, want %v", to, want)
	}
	if hops[1] != "plugintest" || hops[2] != "mx.example.test:25" || !r.Envelope.Recipients[0].Removed {
		t.Errorf("recipients %+v", r.Envelope.Recipients)
	}
	if r.Envelope.Sender != "" || r.Envelope.Meta["kit.k"] != "v" {
		t.Errorf("sender %q, notes %v", r.Envelope.Sender, r.Envelope.Meta)
	}
}

// failures makes the guest fail: nothing of the hook stays, and the next message
// finds a working plugin.
func failures(t *testing.T, p *plugintest.Plugin) {
	t.Helper()
	for _, from := range []string{"panic@example.org", "error@example.org"} {
		r := p.Run(plugintest.Message{From: from})
		if r.Err == nil || r.Envelope.Sender != mail.Address(from) {
			t.Errorf("%s: error %v, sender %q", from, r.Err, r.Envelope.Sender)
		}
	}
	if !strings.Contains(p.Log(), "as asked") {
		t.Errorf("the panic is not in the log: %s", p.Log())
	}
	if r := p.Run(plugintest.Message{EML: eml}); r.Err != nil || r.Verdict != mail.Quarantine {
		t.Errorf("after failures: %v, %v", r.Verdict, r.Err)
	}
}
