// SPDX-License-Identifier: Apache-2.0

//go:build interop

package hostile

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// seeds are hosts with one fault each, made from the sources by go's -overlay. The
// suite must fail with each, and say what is wrong.
var seeds = []struct {
	name, file string
	old, fault string // octets of the file, and what stands there instead
	run        string // the attacks that must find it
	want       []string
}{
	{
		"no deadline", "core/internal/wasmhost/watch.go",
		"	if w.kill != nil {\n		w.kill.Set(1)\n	}\n", "",
		"TestAttacks/deadline_in", []string{"test timed out"},
	},
	{
		"no call depth", "core/internal/wasmhost/metering/function.go",
		"	if a.calls {\n		a.wrap(", "	if false {\n		a.wrap(",
		"TestAttacks/recurse", []string{"want map[hostile depth", "memory grew by"},
	},
	{
		"no fuel", "core/internal/wasmhost/instance.go",
		"	i.meter.set(fuel, i.stage.limits.Depth)", "	i.meter.set(fuel+1<<50, i.stage.limits.Depth)",
		"TestAttacks/loop_in", []string{"test timed out", "want map[hostile fuel"},
	},
	{
		"no memory cap", "core/internal/wasmhost/memory.go",
		"	if size > m.cap {", "	if false {",
		"TestAttacks/grow", []string{"want map[hostile memory", "memory grew by"},
	},
	{
		"no limit of the log", "core/internal/wasmhost/output.go",
		"	if o.lines > maxLogLines || o.octets > maxLogBytes {\n		return\n	}\n", "	o.lines, o.octets = 0, 0\n",
		"TestAttacks/log_flood", []string{"lines of the flood"},
	},
	{
		"pointers that are not checked", "core/internal/wasmhost/functions.go",
		"	if !ok {\n		panic(errRange)\n	}", "	if !ok {\n		return nil\n	}",
		"TestAttacks/pointers", []string{`want "451 4.3.0 "`},
	},
	{
		"edits that stay after a fault", "core/internal/wasmhost/instance.go",
		"		return mail.Continue, err\n	}\n	return i.verdict(h, api.DecodeI32(i.stack[0]))", "		return mail.Continue, nil\n	}\n	return i.verdict(h, api.DecodeI32(i.stack[0]))",
		"TestAttacks/header_flood", []string{"X-Flood is in the header"},
	},
	{
		"instances that stay after a fault", "core/internal/wasmhost/stage.go",
		"	case err != nil:\n		s.count(-1)\n		i.drop()\n", "	case err != nil:\n",
		"TestAttacks/trap", []string{"instances live on"},
	},
	{
		"grants that are not looked at", "core/internal/wasmhost/functions.go",
		"	case f.needs != 0 && f.needs&i.stage.powers == 0:\n", "	case false:\n",
		"TestAttacks/ungranted", []string{`want "250 "`},
	},
	{
		"functions of any size", "core/internal/wasmhost/metering/survey.go",
		"	s.effort.check(r)\n", "",
		"TestRefused", []string{"it was loaded", "test timed out"},
	},
}

func TestTheSuiteFindsSeededFaults(t *testing.T) {
	for _, s := range seeds {
		t.Run(s.name, func(t *testing.T) {
			cmd := exec.Command("go", "test", "-count=1", "-timeout", "30s", "-run", "^"+s.run, "-overlay", overlay(t, s.file, s.old, s.fault), ".")
			out, err := cmd.CombinedOutput()
			if err == nil || !containsAny(string(out), s.want) {
				t.Errorf("the suite says none of %q: %v\n%.3000s", s.want, err, out)
			}
		})
	}
}

func containsAny(s string, words []string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// overlay writes a file for -overlay that changes one place of the sources.
func overlay(t *testing.T, file, old, fault string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../..", file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || strings.Count(string(text), old) != 1 {
		t.Fatalf("%s has %d times %q, %v", file, strings.Count(string(text), old), old, err)
	}
	dir := t.TempDir()
	dst := filepath.Join(dir, filepath.Base(file))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: dst}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{dst: []byte(strings.Replace(string(text), old, fault, 1)), filepath.Join(dir, "overlay.json"): list} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "overlay.json")
}
