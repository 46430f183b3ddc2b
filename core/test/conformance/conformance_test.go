// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"fmt"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/sdk/kit"
)

func open(t *testing.T, fault string) *host {
	t.Helper()
	h, free, err := newHost(context.Background(), fault)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(free)
	return h
}

// TestConformance: every function and every verdict in every way, and what has
// more than one hook with several choices of the instances.
func TestConformance(t *testing.T) {
	for seed := range uint64(5) {
		for _, f := range kit.Run(open(t, ""), kit.Options{Seed: seed, Mixed: seed > 0}) {
			t.Errorf("seed %d: %v", seed, f)
		}
	}
}

// TestIsolation: nothing changes when a guest keeps less than it might, or keeps
// for longer what it has to keep.
func TestIsolation(t *testing.T) {
	for _, isolation := range []map[string]string{
		{"call": wasmhost.IsolationFresh, "message": wasmhost.IsolationSession}, {"call": wasmhost.IsolationRestore},
	} {
		h := open(t, "")
		h.isolation = isolation
		for _, f := range kit.Run(h, kit.Options{Mixed: true}) {
			t.Errorf("isolation %v: %v", isolation, f)
		}
	}
}

// TestSeededFaults: the kit fails on a host with any of them.
func TestSeededFaults(t *testing.T) {
	n := 0
	for _, f := range kit.Faults() {
		t.Run(f.What, func(t *testing.T) { wantFailure(t, kit.Run(open(t, ""), kit.Options{Fault: f.Number, First: true})) })
		n++
	}
	for _, f := range faults() {
		t.Run(f, func(t *testing.T) { wantFailure(t, kit.Run(open(t, f), kit.Options{First: true})) })
		n++
	}
	if n < 20 {
		t.Errorf("only %d faults are seeded", n)
	}
}

func wantFailure(t *testing.T, failed []kit.Failure) {
	t.Helper()
	if len(failed) == 0 {
		t.Fatal("the kit did not see it")
	}
	t.Log(fmt.Sprint(failed[0]))
}
