// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// TestCompilationIsBounded: a module that takes too long to compile is refused
// with a sentence, and can be loaded when there is time.
func TestCompilationIsBounded(t *testing.T) {
	wasm, err := os.ReadFile("testdata/guests/fields.wasm")
	if err != nil {
		t.Fatal(err)
	}
	logger, sink := newLog(hclog.Trace)
	h := newHost(t, Options{MaxCompile: time.Nanosecond, CacheDir: t.TempDir(), Logger: logger})
	_, err = h.Load(context.Background(), "slow", wasm)
	if err == nil || !strings.Contains(err.Error(), "it takes longer than it may, 1ns") {
		t.Errorf("loading failed with %v", err)
	}
	if strings.Contains(sink.String(), "cannot be kept") {
		t.Errorf("the cache was blamed: %s", sink)
	}
	h.o.MaxCompile = time.Minute
	m, err := h.Load(context.Background(), "slow", wasm)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
