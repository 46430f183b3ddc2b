// SPDX-License-Identifier: Apache-2.0

//go:build interop

package metering_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestTexts: the committed modules are what wat2wasm makes of the texts beside
// them.
func TestTexts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.wat")
	if err != nil || len(files) == 0 {
		t.Fatalf("no texts: %v", err)
	}
	for _, file := range files {
		cmd := exec.Command("wat2wasm", "--output=-", file)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if !bytes.Equal(out, read(t, file[:len(file)-1]+"sm")) {
			t.Errorf("%s has changed, its module has not: wat2wasm %s -o …", file, file)
		}
	}
}
