// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop_test

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTexts: the committed modules are what wat2wasm makes of the texts beside
// them. invalid.wat is one that must not be valid.
func TestTexts(t *testing.T) {
	compared := 0
	err := filepath.WalkDir("../../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		module := strings.TrimSuffix(path, ".wat") + ".wasm"
		if e.IsDir() || !strings.HasSuffix(path, ".wat") {
			return nil
		}
		want, err := os.ReadFile(module)
		if os.IsNotExist(err) { // a text that a test puts together
			return nil
		}
		if err != nil {
			return err
		}
		args := []string{"--output=-", path}
		if filepath.Base(path) == "invalid.wat" {
			args = append(args, "--no-check")
		}
		got, err := exec.Command("wat2wasm", args...).Output()
		if err != nil {
			return err
		}
		if compared++; !bytes.Equal(got, want) {
			t.Errorf("%s has changed, its module has not: wat2wasm %s -o …", path, path)
		}
		return nil
	})
	if err != nil || compared < 50 {
		t.Errorf("%d texts compared, %v", compared, err)
	}
}
