// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadFaults(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.hcl")
	if err := os.WriteFile(large, make([]byte, maxSource+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none.hcl"): "there is no such configuration file",
		dir:                            "it is not a file",
		large:                          "it is larger than 1MiB",
	} {
		_, err := Load(path, testOptions())
		var ds Diagnostics
		if !errors.As(err, &ds) || len(ds) != 1 || !strings.HasPrefix(err.Error(), path+": error: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestRelativePaths shows that they start at the configuration's folder, and a
// Maildir at data_dir.
func TestRelativePaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.hcl")
	src, err := os.ReadFile("testdata/good/least.hcl")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, src, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "data"); c.Server.DataDir != want || c.Routes[0].Maildir.Root != filepath.Join(want, "mail") {
		t.Errorf("data in %s, mail in %s", c.Server.DataDir, c.Routes[0].Maildir.Root)
	}
}

// TestNesting shows that no text makes the parser follow it into the depth.
func TestNesting(t *testing.T) {
	for name, text := range map[string]string{
		"parentheses": "a = " + strings.Repeat("(", 20_000),
		"blocks":      strings.Repeat("a {\n", 20_000),
		"lists":       "a = " + strings.Repeat("[", 20_000),
		"templates":   "a = " + strings.Repeat(`"${`, 20_000),
		"nots":        "a = " + strings.Repeat("!", 20_000) + "true",
		"minus":       "a = " + strings.Repeat("-", 20_000) + "1",
		"questions":   "a = " + strings.Repeat("true ? 1 : ", 20_000) + "1",
	} {
		_, err := Parse("test.hcl", []byte(text), testOptions())
		if err == nil || !strings.Contains(err.Error(), "brackets are open") {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

func TestSecretSources(t *testing.T) {
	files := map[string]string{"/etc/postroad/secrets/a": "beside\n", "/run/credentials/a": "systemd\r\n", "/etc/postroad/secrets/b": "two\n\n"}
	env := map[string]string{"POSTROAD_SECRET_C_D": "variable"}
	f := newFunctions(Options{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(path string) ([]byte, error) {
			if s, ok := files[path]; ok {
				return []byte(s), nil
			}
			return nil, io.EOF
		},
	}, "/etc/postroad")
	expect := func(name, want string) {
		t.Helper()
		if got, err := f.secret(name); err != nil || got != want {
			t.Errorf("secret %s is %q, %v; want %q", name, got, err, want)
		}
	}
	expect("a", "beside")
	expect("b", "two\n")
	expect("c-d", "variable")
	env["CREDENTIALS_DIRECTORY"] = "/run/credentials"
	expect("a", "systemd")
	for _, name := range []string{"", "../a", "none", "a/b"} {
		if got, err := f.secret(name); err == nil {
			t.Errorf("secret %q is %q", name, got)
		}
	}
}

// TestUnused shows which definitions are warned of in a valid configuration.
func TestUnused(t *testing.T) {
	src, err := os.ReadFile("testdata/good/least.hcl")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("test.hcl", append(src, "\nstore \"s\" {}\npipeline \"p\" {}\n"...), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	text := c.Warnings.Error()
	if len(c.Warnings) != 2 || !strings.Contains(text, `store "s" is defined but not used`) || !strings.Contains(text, "warning:") {
		t.Errorf("warnings: %s", text)
	}
}

// TestWithoutManifests shows that an embedder may leave plugins unchecked.
func TestWithoutManifests(t *testing.T) {
	src, err := os.ReadFile("testdata/good/full.hcl")
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Manifest = nil
	c, err := Parse("test.hcl", src, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Pipelines[0].Stages[2].Config); !strings.Contains(got, `"deny_header":[{"match":"^\\[spam\\]","name":"Subject"},{"name":"X-Spam"}]`) {
		t.Errorf("blocks became %s", got)
	}
}

// FuzzParse shows that no text crashes the parser, and that what is accepted
// can be printed and means the same again.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.hcl", "testdata/bad/*.hcl"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("/fuzz/pipeline.hcl", src, testOptions())
		if err != nil {
			if c != nil || err.Error() == "" {
				t.Fatal("an error without a text, or with a configuration")
			}
			return
		}
		text := Dump(c)
		again, err := Parse("/fuzz/pipeline.hcl", []byte(text), testOptions())
		if err != nil {
			t.Fatalf("the dump is refused: %v\n%s", err, text)
		}
		if Dump(again) != text {
			t.Fatalf("the dump changes:\n%s\n%s", text, Dump(again))
		}
	})
}
