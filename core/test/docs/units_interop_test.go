// SPDX-License-Identifier: Apache-2.0

//go:build interop

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd itself has nothing to say against the units of the documentation.
func TestUnitsVerify(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable() // the command must be a program that is there
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, b := range blocks(t) {
		if b.lang != "ini" {
			continue
		}
		path, _, _ := strings.Cut(b.text, "\n")
		file := filepath.Join(dir, filepath.Base(path))
		text := strings.ReplaceAll(b.text, "/usr/local/bin/postroad", self)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	cmd := exec.Command("systemd-analyze", append([]string{"verify", "--man=no", "--recursive-errors=no"}, files...)...)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
