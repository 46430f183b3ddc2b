// SPDX-License-Identifier: Apache-2.0

//go:build interop

package relay_test

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestGuestText: the committed module is what wat2wasm makes of the text beside
// it.
func TestGuestText(t *testing.T) {
	want, err := exec.Command("wat2wasm", "--output=-", "testdata/outbound.wat").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("testdata/outbound.wasm"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("outbound.wat has changed, its module has not (%v): wat2wasm outbound.wat -o outbound.wasm", err)
	}
}
