// SPDX-License-Identifier: Apache-2.0

//go:build interop

package soak

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are relays with one fault each, made from the sources by go's -overlay.
// The campaign must say what is wrong with each.
var seeds = []struct {
	name, file string
	old, fault string // octets of the file, and what stands there instead
	behind     string // put behind the file
	want       string
}{
	{
		"a generation that nobody closes", "core/relay/generation.go",
		"	if last {\n		g.close()\n	}\n}\n\n// end ", "	_ = last\n}\n\n// end ", "",
		"the instances are map[go:",
	},
	{
		"a stage that keeps settings of an earlier generation", "core/relay/generation.go",
		"	s, err := modules[plugin.Name].NewStage(",
		"	if c.name == \"rust\" {\n		seeded = append(seeded, c.config)\n		c.config = seeded[len(seeded)/2]\n	}\n	s, err := modules[plugin.Name].NewStage(",
		"\nvar seeded [][]byte\n",
		"is of several generations",
	},
	{
		"sessions that stay with their first generation", "core/relay/session.go",
		"	if s.d.r.gen.Load() == s.g {", "	if s.d.r.gen.Load() != nil {", "",
		"but began with",
	},
	{
		"a decision that transactions see in the middle", "core/relay/chain.go",
		"	c.now.Store(pipeline.New(o))", "	if p := c.now.Load(); p != nil {\n		*p = *pipeline.New(o)\n		return\n	}\n	c.now.Store(pipeline.New(o))", "",
		"but began with",
	},
	{
		"a message of 500 that is acknowledged and not queued", "core/relay/transaction.go",
		"	if err := t.enqueue(ctx, &res); err != nil {",
		"	if seeded.Add(1)%500 == 0 {\n		return mail.NewReply(250, mail.Enhanced{2, 0, 0}, \"queued as nothing\")\n	}\n	if err := t.enqueue(ctx, &res); err != nil {",
		"\nvar seeded atomic.Int64\n",
		"was acknowledged and has not arrived",
	},
	{
		"a session that is refused behind a reload", "core/relay/session.go",
		"	if l == nil { // a reload", "	if seeded.Add(1) == 30 || l == nil { // a reload", "\nvar seeded atomic.Int64\n",
		"got \"421",
	},
	{
		"memory that each reload keeps", "core/relay/reload.go",
		"	old.end()\n", "	old.end()\n	seeded = append(seeded, make([]byte, 4<<20))\n", "\nvar seeded [][]byte\n",
		"octets of heap",
	},
}

func TestTheCampaignFindsSeededFaults(t *testing.T) {
	for _, s := range seeds {
		t.Run(s.name, func(t *testing.T) {
			cmd := exec.Command("go", "test", "-count=1", "-run", "^TestSoak$", "-overlay", overlay(t, s.file, s.old, s.fault, s.behind), ".")
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), s.want) {
				t.Errorf("the campaign does not say %q: %v\n%s", s.want, err, out)
			}
		})
	}
}

// overlay writes a file for -overlay that changes one place of the sources.
func overlay(t *testing.T, file, old, fault, behind string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../..", file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), old) != 1 {
		t.Fatalf("%s has %d times %q, %v", file, strings.Count(string(text), old), old, err)
	}
	changed := strings.Replace(string(text), old, fault, 1) + behind
	if strings.Contains(behind, "atomic.") {
		changed = strings.Replace(changed, "import (", "import (\n	\"sync/atomic\"", 1)
	}
	dir := t.TempDir()
	dst := filepath.Join(dir, filepath.Base(file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: dst}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{dst: []byte(changed), filepath.Join(dir, "overlay.json"): list} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "overlay.json")
}
