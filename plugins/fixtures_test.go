// SPDX-License-Identifier: Apache-2.0

package plugins_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/plugintest"
	"github.com/postroad-mail/postroad/plugins"
)

var update = flag.Bool("update", false, "write what happens now into the fixtures")

// TestFixtures runs plugins/<name>/fixtures: a file is one configuration and the
// messages that pass it in turn, with what the plugin makes of them. After a
// change of behaviour that was meant, `go test ./plugins -run Fixtures -update`
// writes what happens now into the files; read the difference.
func TestFixtures(t *testing.T) {
	for _, name := range plugins.Names() {
		t.Run(name, func(t *testing.T) {
			plugintest.Fixtures(t, modulePath(name), filepath.Join(name, "fixtures"), *update)
		})
	}
}

// modulePath is the committed module, or the one that the build tool wants to
// have tested.
func modulePath(name string) string {
	if dir := os.Getenv("POSTROAD_TEST_MODULES"); dir != "" {
		return filepath.Join(dir, name+".wasm")
	}
	return filepath.Join(name, name+".wasm")
}
