// SPDX-License-Identifier: Apache-2.0

// Package docs runs what the documentation shows: a snippet that does not work
// fails the build.
//
// Fenced blocks are found by their language:
//
//	hcl               a configuration: it is loaded with its plugins; what every
//	                  configuration needs (a listener, routing, …) is added where it
//	                  is missing, and a plugin "./file.wasm" or "oci:…" counts as there
//	                  and as signed, and asks for no phase
//	go, rust          must be, line for line, part of the file that the line
//	                  above the block names
//	sh                lines that begin with "go" must name packages that exist
//	console, text, …  not run
package docs

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

const root = "../../.."

// block is one fenced block of a page.
type block struct {
	page, lang, text string
	line             int
	before           string // the last line of text in front of it
}

func pages(t *testing.T) []string {
	t.Helper()
	var ps []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch e.Name() {
		case ".git", "node_modules", "target", "third_party", "results", "data":
			if e.IsDir() { // a work tree has a file .git
				return filepath.SkipDir
			}
		}
		if strings.HasSuffix(path, ".md") {
			rel, _ := filepath.Rel(root, path)
			ps = append(ps, rel)
		}
		return nil
	})
	if err != nil || len(ps) < 5 {
		t.Fatalf("%d pages found, %v", len(ps), err)
	}
	return ps
}

func blocks(t *testing.T) []block {
	t.Helper()
	var bs []block
	for _, p := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		bs = append(bs, fenced(p, string(text))...)
	}
	return bs
}

func fenced(page, text string) []block {
	var bs []block
	var cur *block
	before := ""
	for i, line := range strings.Split(text, "\n") {
		lang, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && cur == nil:
			cur = &block{page: page, lang: lang, line: i + 1, before: before}
		case fence:
			bs = append(bs, *cur)
			cur = nil
		case cur != nil:
			cur.text += line + "\n"
		case strings.TrimSpace(line) != "":
			before = line
		}
	}
	return bs
}

// frame is what every configuration needs, by the beginning of a line that shows
// that a snippet has it.
var frame = []struct{ block, text string }{
	{"server ", "server { hostname = \"docs.test\" }\n"},
	{"listener ", "listener \"smtp\" \"in\" {\n  address = \"127.0.0.1:0\"\n  pipeline = pipeline.PIPELINE\n}\n"},
	{"pipeline ", "pipeline \"inbound\" {}\n"},
	{"routing ", "routing {\n  rule { route = route.ROUTE }\n}\n"},
	{"route \"", "route \"out\" {\n  discard {}\n}\n"},
}

// idle is a module that asks for no phase: whatever a snippet says of phases
// and conditions is held against nothing but the text.
const idle = "\x00asm\x01\x00\x00\x00" +
	"\x01\x0b\x02\x60\x00\x01\x7e\x60\x02\x7f\x7f\x01\x7f" + // () -> i64, (i32 i32) -> i32
	"\x03\x03\x02\x00\x01" +
	"\x05\x03\x01\x00\x01" +
	"\x07\x1c\x03\x06memory\x02\x00\x07pr_init\x00\x00\x05pr_on\x00\x01" +
	"\x0a\x0b\x02\x04\x00\x42\x00\x0b\x04\x00\x41\x00\x0b" // both return 0

// complete adds to a snippet what it lacks. Its modules are the one at path, or
// for mode filter, which is for commands, a stage in Go.
func complete(text, path string) string {
	whole, source := text, strconv.Quote(path)
	if regexp.MustCompile(`(?m)^ *mode += "filter"`).MatchString(text) {
		source = `"native:file"`
	}
	for _, f := range frame {
		if !regexp.MustCompile(`(?m)^` + f.block).MatchString(text) {
			whole += f.text
		}
	}
	whole = strings.ReplaceAll(whole, "PIPELINE", firstLabel(whole, "pipeline"))
	whole = strings.ReplaceAll(whole, "ROUTE", firstLabel(whole, "route"))
	whole = regexp.MustCompile(`(?m)^ *(public_key|signature) +=.*\n`).ReplaceAllString(whole, "")
	return regexp.MustCompile(`"(\./[^"]*\.wasm|oci:[^"]+@sha256:[0-9a-f]{64})"`).ReplaceAllString(whole, source)
}

func firstLabel(text, block string) string {
	m := regexp.MustCompile(`(?m)^` + block + ` "([^"]+)"`).FindStringSubmatch(text)
	if m == nil {
		return "none"
	}
	return m[1]
}

func TestConfigurationsInTheDocumentationLoad(t *testing.T) {
	n, module := 0, filepath.Join(t.TempDir(), "idle.wasm")
	if err := os.WriteFile(module, []byte(idle), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks(t) {
		if b.lang != "hcl" {
			continue
		}
		n++
		_, err := relay.Check(context.Background(), relay.Options{
			ConfigFile: filepath.Join(root, filepath.Dir(b.page), "snippet.hcl"), Config: []byte(complete(b.text, module)),
			Env:    func(name string) (string, bool) { return "a secret", strings.HasPrefix(name, "POSTROAD_SECRET_") },
			Stages: map[string]relay.NewStage{"file": func([]byte) (relay.Stage, error) { return nothing{}, nil }},
		})
		if err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
		}
	}
	if n == 0 {
		t.Error("no configuration was found")
	}
}

// nothing stands for the Go stages that snippets name.
type nothing struct{}

func (nothing) Message(context.Context, relay.Message) (mail.Verdict, error) {
	return mail.Continue, nil
}

func TestCodeInTheDocumentationIsThatOfARealFile(t *testing.T) {
	file := regexp.MustCompile("`([a-zA-Z0-9_./-]+\\.(?:go|rs))`")
	for _, b := range blocks(t) {
		if b.lang != "go" && b.lang != "rust" {
			continue
		}
		m := file.FindStringSubmatch(b.before)
		if m == nil {
			t.Errorf("%s:%d: the line above the block names no file", b.page, b.line)
			continue
		}
		src, err := os.ReadFile(filepath.Join(root, m[1]))
		if err != nil {
			src, err = os.ReadFile(filepath.Join(root, filepath.Dir(b.page), m[1]))
		}
		if err != nil {
			t.Errorf("%s:%d: %v", b.page, b.line, err)
			continue
		}
		if !strings.Contains(squash(string(src)), squash(b.text)) {
			t.Errorf("%s:%d: the block is not part of %s", b.page, b.line, m[1])
		}
	}
}

// squash takes white space at line ends and empty lines out.
func squash(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func TestCommandsInTheDocumentationNameWhatExists(t *testing.T) {
	path := regexp.MustCompile(`\./[a-zA-Z0-9_./-]+|\b(?:core|sdk|plugins|examples)/[a-zA-Z0-9_./-]+`)
	for _, b := range blocks(t) {
		if b.lang != "sh" {
			continue
		}
		for _, line := range strings.Split(b.text, "\n") {
			line, _, _ = strings.Cut(line, "#")
			if !strings.HasPrefix(line, "go ") {
				continue
			}
			for _, p := range path.FindAllString(line, -1) {
				p = strings.TrimSuffix(strings.TrimSuffix(p, "..."), "/")
				if _, err := os.Stat(filepath.Join(root, p)); err != nil && !strings.HasSuffix(p, ".wasm") {
					t.Errorf("%s:%d: %q: %v", b.page, b.line, line, err)
				}
			}
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([a-zA-Z0-9_./-]+)(?:#[^)]*)?\)`)
	for _, p := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(p), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", p, m[1], err)
			}
		}
	}
}

func TestEveryModuleInTheBinaryHasItsLicenceListed(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{.Module.Path}}{{end}}", "./core/cmd/postroad")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "core/docs/licences.md"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{"github.com/postroad-mail/postroad": true}
	for _, m := range strings.Fields(string(out)) {
		if !seen[m] && !strings.Contains(string(page), "| "+m+" |") {
			t.Errorf("core/docs/licences.md does not name %s", m)
		}
		seen[m] = true
	}
}

// TestNamedTestsExist: a page that says which test shows something is wrong once
// the test is gone.
func TestNamedTestsExist(t *testing.T) {
	there := testNames(t)
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	found := 0
	for _, p := range pages(t) {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			if found++; !there[m[1]] {
				t.Errorf("%s names %s, which does not exist", p, m[1])
			}
		}
	}
	if found == 0 || len(there) == 0 {
		t.Errorf("%d tests named, %d there: this test looks at nothing", found, len(there))
	}
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	there, fn := map[string]bool{}, regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(filepath.Join(root, "core"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range fn.FindAllSubmatch(text, -1) {
			there[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
