// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// starts are modules that fail before they have seen a message, and what the
// operator is told.
func starts() map[string]string {
	return map[string]string{
		"loop_init": "fuel", "loop_start": "fuel", "start_loop_at_initialize": "fuel",
		"recurse_init": "depth", "start_recurse": "depth",
		"trap_init": "trap", "start_trap": "trap", "error_init": "pr_init returned", "error_logged": "it wrote",
		"grow_init": "memory", "start_grow": "memory", "memory_huge": "raise it",
		"init_phases": "pr_init asks for phases by the bits", "reenter_host": "pr_init asks for phases by the bits",
	}
}

// TestRefused reloads a relay with each module that must not be loaded. The
// operator gets a sentence with the place, the old configuration goes on, and
// what the attempt cost is gone.
func TestRefused(t *testing.T) {
	scale := campaign()
	g := newRig(t)
	plain := attack{row{}, mail.PhaseMessage}
	refuse := func(name string, wasm []byte, says string) {
		t.Helper()
		grown := watchMemory()
		err := g.reload(plain.config(g.web), wasm)
		if err == nil {
			t.Errorf("%s: it was loaded", name)
			return
		}
		if !errors.Is(err, relay.ErrConfig) {
			t.Errorf("%s: %v is not %v", name, err, relay.ErrConfig)
		}
		for _, w := range []string{"test.hcl:", `"hostile"`, says} {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: no %q in %.500v", name, w, err)
			}
		}
		if n := grown(); n > memoryBound {
			t.Errorf("%s: memory grew by %d MiB, which is more than %d", name, n>>20, memoryBound>>20)
		}
		g.calm(scale.sessions, 1)
	}
	all := broken()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		refuse(name, all[name].wasm, all[name].says)
	}
	for name, says := range starts() {
		refuse(name, row{module: name}.load(t), says)
	}
	g.settled(plain)
	g.well()
	if n := g.figure(`postroad_plugin_instances{stage="hostile"}`); n != 0 {
		t.Errorf("%d instances of plugins that were refused", n)
	}
}
