// SPDX-License-Identifier: Apache-2.0

//go:build interop

package kit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestGuestIsCurrent needs wat2wasm.
func TestGuestIsCurrent(t *testing.T) {
	out := filepath.Join(t.TempDir(), "guest.wasm")
	if b, err := exec.Command("wat2wasm", "guest/guest.wat", "-o", out).CombinedOutput(); err != nil {
		t.Fatalf("wat2wasm: %v\n%s", err, b)
	}
	want, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, Guest) {
		t.Error("guest.wasm is not what guest.wat says: run wat2wasm sdk/kit/guest/guest.wat -o sdk/kit/guest/guest.wasm")
	}
}
