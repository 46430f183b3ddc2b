// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"encoding/binary"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// early are the phases that testdata/guests/remember.wat is called in with an
// isolation that keeps nothing.
var early = mail.Phases(mail.PhaseMail, mail.PhaseRcpt, mail.PhaseData, mail.PhaseMessage)

// TestNothingOfACallStays: memory and globals are those of the start in each call.
func TestNothingOfACallStays(t *testing.T) {
	a := &account{}
	m := load(t, newHost(t, Options{Observer: a}), "guests/remember.wasm")
	kept := newTestStage(t, m, StageOptions{Phases: early})
	run(t, kept, newHook(mail.PhaseMail, 0, testEnvelope()))
	if v := run(t, kept, newHook(mail.PhaseMail, 0, testEnvelope())); v != mail.Tempfail {
		t.Fatalf("the guest does not count its calls: %v", v)
	}
	s := newTestStage(t, m, StageOptions{Phases: early, Limits: Limits{Isolation: IsolationRestore}})
	for n := 0; n < 50; n++ { // more often than the guest's floats can bear
		if v := run(t, s, newHook(mail.PhaseMail, 0, testEnvelope())); v != mail.Continue {
			t.Fatalf("call %d knows of those before", n)
		}
		if c := binary.LittleEndian.Uint32(peek(t, s, 1024, 4)); c != 0 {
			t.Fatalf("memory has the count %d after call %d", c, n)
		}
	}
	if n := s.live.Load(); n != 1 {
		t.Errorf("%d instances live", n)
	}
}

func TestGrownMemoryIsNotRestored(t *testing.T) {
	a := &account{}
	s := newTestStage(t, load(t, newHost(t, Options{Observer: a}), "guests/remember.wasm"),
		StageOptions{Phases: early, Limits: Limits{Isolation: IsolationRestore}})
	run(t, s, newHook(mail.PhaseRcpt, 1, testEnvelope()))
	if n := s.live.Load(); n != 0 {
		t.Errorf("%d instances live on after memory has grown", n)
	}
	if v := run(t, s, newHook(mail.PhaseMail, 0, testEnvelope())); v != mail.Continue || a.calls[1].Memory != 2<<16 {
		t.Errorf("the next call gave %v with %d octets", v, a.calls[1].Memory)
	}
}

func TestFaultEndsARestoredInstance(t *testing.T) {
	s := newTestStage(t, load(t, newHost(t, Options{}), "guests/remember.wasm"),
		StageOptions{Phases: early, Limits: Limits{Isolation: IsolationRestore}})
	wantFault(t, s, newHook(mail.PhaseData, 0, testEnvelope()), CauseTrap, "unreachable")
	if n := s.live.Load(); n != 0 {
		t.Errorf("%d instances live on after a trap", n)
	}
	run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
}

// TestHandlesAreRestored: a store that a hook asked for is as unknown to the
// next as the guest's memory says.
func TestHandlesAreRestored(t *testing.T) {
	sc := newScript(t)
	sc.atInit("store", "a")
	got := sc.call("store", "b")
	sc.call("kv_put", 1, "k", "v", int64(0), 0)
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Limits: Limits{Isolation: IsolationRestore},
		Stores: map[string]Store{"a": newMemStore(), "b": newMemStore()}})
	for n := 0; n < 2; n++ {
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	}
	if i := s.pool.idle[0]; len(i.stores) != 1 || result(t, s, got) != 0 {
		t.Errorf("%d stores are open after a call, memory has result %d", len(i.stores), result(t, s, got))
	}
}

// TestWhatCannotBeRestored is refused by name, from kept code too, and runs with
// other isolations.
func TestWhatCannotBeRestored(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	for range 2 {
		h := newHost(t, Options{CacheDir: dir})
		for _, name := range guests(t, "tied") {
			has := header(t, filepath.Join("testdata", "tied", name+".wat"), "has")
			m := load(t, h, "tied/"+name+".wasm")
			_, err := m.NewStage(context.Background(), StageOptions{Name: "s", Limits: Limits{Isolation: IsolationRestore}})
			if err == nil || !strings.Contains(err.Error(), "it cannot be restored, for it has "+has+"; set isolation") {
				t.Errorf("%s: error %v", name, err)
			}
			newTestStage(t, m, StageOptions{})
		}
	}
}

func TestReservedNamesOfGlobals(t *testing.T) {
	secs := []section{{id: sectionExport, body: append([]byte{1, 17}, "postroad.global.1\x03\x00"...)}}
	if err := addExports(secs, globalPrefix, []export{{globalPrefix + "0", kindGlobal, 0}}); err == nil || !strings.Contains(err.Error(), "reserved name postroad.global.") {
		t.Errorf("error %v", err)
	}
}
