// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/plugintest"
	"github.com/postroad-mail/postroad/plugins"
)

// TestReadmeExamples loads every plugin with the example of its README.
func TestReadmeExamples(t *testing.T) {
	for _, name := range plugins.Names() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(name + "/README.md")
			if err != nil {
				t.Fatal(err)
			}
			example := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindSubmatch(raw)
			if example == nil {
				t.Fatal("README.md has no example")
			}
			text := string(example[1])
			config := block(t, text, "config {")
			others := ""
			for _, kind := range []string{"bucket", "route", "store"} {
				for _, head := range regexp.MustCompile(`(?m)^`+kind+` "\w+" \{`).FindAllString(text, -1) {
					others += head + block(t, text, head) + "}\n"
				}
			}
			p := plugintest.Load(t, modulePath(name), plugintest.Setup{Config: config, Blocks: others})
			if r := p.Run(plugintest.Message{}); r.Err != nil {
				t.Errorf("%v, log %s", r.Err, p.Log())
			}
		})
	}
}

// block returns what stands between head, which ends in an opening brace, and
// the brace that closes it.
func block(t *testing.T, text, head string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, head)
	if !ok {
		t.Fatalf("the example has no %q", head)
	}
	depth := 1
	for i, c := range rest {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return rest[:i]
		}
	}
	t.Fatalf("%q is not closed", head)
	return ""
}
