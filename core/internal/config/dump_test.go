// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// sameConfig compares all values but places in the text.
func sameConfig() cmp.Options {
	return cmp.Options{
		cmpopts.IgnoreUnexported(Config{}),
		cmpopts.IgnoreFields(Config{}, "Warnings"),
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Pos" }, cmp.Ignore()),
		cmp.Comparer(func(a, b *Condition) bool { return (a == nil) == (b == nil) && (a == nil || a.String() == b.String()) }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmpopts.EquateEmpty(),
	}
}

// parseIn parses as if the file stood in a fixed folder, so that absolute paths
// do not depend on where the tests run.
func parseIn(t *testing.T, src []byte) *Config {
	t.Helper()
	c, err := Parse("/etc/postroad/pipeline.hcl", src, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestDump shows that a dump holds every default and means the same when it is
// parsed again, and that dumping that changes nothing.
func TestDump(t *testing.T) {
	files, _ := filepath.Glob("testdata/good/*.hcl")
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c := parseIn(t, src)
			text := Dump(c)
			golden(t, strings.TrimSuffix(file, ".hcl")+".dump", text)
			again := parseIn(t, []byte(text))
			if diff := cmp.Diff(hideSecret(c), hideSecret(again), sameConfig()); diff != "" {
				t.Errorf("parsed again it differs: %s", diff)
			}
			if Dump(again) != text {
				t.Error("its dump differs from itself")
			}
		})
	}
}

// hideSecret replaces the one secret of the testdata by what Dump prints.
func hideSecret(c *Config) *Config {
	for i := range c.Pipelines {
		for j := range c.Pipelines[i].Stages {
			s := &c.Pipelines[i].Stages[j]
			s.Config = []byte(strings.ReplaceAll(string(s.Config), "s3cret", "(secret)"))
			if c := s.Candidate; c != nil {
				c.Config = []byte(strings.ReplaceAll(string(c.Config), "s3cret", "(secret)"))
			}
		}
	}
	return c
}

func TestDumpHidesSecrets(t *testing.T) {
	c := goodConfig(t, "host.hcl")
	if text := Dump(c); strings.Contains(text, "s3cret") || !strings.Contains(text, `["known"]`) {
		t.Error("a granted secret is printed, or its name is not")
	}
	for _, p := range c.Plugins {
		if want := len(p.Grant.Secrets); len(p.Secrets) != want || want > 0 && p.Secrets["known"] != "s3cret" {
			t.Errorf("plugin %s gets the secrets %v", p.Name, p.Secrets)
		}
	}
	c = goodConfig(t, "full.hcl")
	if text := Dump(c); strings.Contains(text, "s3cret") || !strings.Contains(text, `"(secret)"`) {
		t.Error("the secret is printed, or its place is not shown")
	}
	if !strings.Contains(string(c.Pipelines[0].Stages[0].Config), "s3cret") {
		t.Error("the plugin does not get the secret")
	}
}

func goodConfig(t *testing.T, name string) *Config {
	t.Helper()
	src, err := os.ReadFile(filepath.Join("testdata/good", name))
	if err != nil {
		t.Fatal(err)
	}
	return parseIn(t, src)
}

// TestStageHash shows what a stage's hash depends on: an override of the
// running relay is void as soon as it changes.
func TestStageHash(t *testing.T) {
	src, err := os.ReadFile("testdata/good/host.hcl")
	if err != nil {
		t.Fatal(err)
	}
	hash := func(old, new string) string {
		t.Helper()
		text := strings.Replace(string(src), old, new, 1)
		if text == string(src) && old != new {
			t.Fatalf("%q is not in the text", old)
		}
		return parseIn(t, []byte(text)).Pipelines[0].Stages[3].Hash
	}
	first := hash("", "")
	if len(first) != 64 {
		t.Errorf("the hash is %q", first)
	}
	for old, new := range map[string]string{
		`config { deny_sender = ["*@example.net"] }`: "config {\n deny_sender =   [\"*@example.net\"] # comment\n}",
		`mode = "canary"`:                   `mode="canary"`,
		`redact = ["addresses", "subject"]`: `redact = []`,
		`limits { emit = "5/1m" }`:          `limits { emit = "6/1m" }`,
	} {
		if hash(old, new) != first {
			t.Errorf("%s in place of %s changes the hash", new, old)
		}
	}
	for old, new := range map[string]string{
		`deny_sender = ["*@example.net"]`: `deny_sender = ["*@example.org"]`,
		`share = "12.5%"`:                 `share = "12%"`,
		`plugin = plugin.filter_message`:  `plugin = plugin.filter`,
		`message.score >= 4.5`:            `message.score >= 4`,
	} {
		if hash(old, new) == first {
			t.Errorf("%s in place of %s does not change the hash", new, old)
		}
	}
}

func formatted(src []byte) string { return string(hclwrite.Format(src)) }
