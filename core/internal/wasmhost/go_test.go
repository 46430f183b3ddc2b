// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// buildGoGuest compiles testdata/goguest with the go command that runs the test.
func buildGoGuest(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	cmd.Dir = filepath.Join("testdata", "goguest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, b)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// TestGoGuest: the standard Go runtime starts, works, keeps its memory small over
// many calls, and a panic costs one call and says what it was.
func TestGoGuest(t *testing.T) {
	a := &account{}
	m, err := newHost(t, Options{Observer: a}).Load(context.Background(), "go", buildGoGuest(t))
	if err != nil {
		t.Fatal(err)
	}
	s := newTestStage(t, m, StageOptions{Grant: everything()})
	for n := 0; n < 500; n++ {
		h := newHook(mail.PhaseMessage, 0, testEnvelope())
		run(t, s, h)
		if v, _ := h.Header().Get("X-First"); v != "Subject:" {
			t.Fatalf("call %d added %q", n, v)
		}
	}
	if c := a.calls[len(a.calls)-1]; c.Memory > 16<<20 || a.most != 1 {
		t.Errorf("memory is %d octets after 500 calls, %d instances", c.Memory, a.most)
	}
	wantFault(t, s, newHook(mail.PhaseRcpt, 0, testEnvelope()), CauseTrap, "panic: no recipients, please")
	run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
}
