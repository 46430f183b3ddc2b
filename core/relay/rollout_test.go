// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// fault is the error of a stage that a message brings down.
type fault struct{}

func (fault) Error() string { return "out of order" }

// FaultCause implements pipeline.Faulter.
func (fault) FaultCause() string { return "trap" }

// counted is a stage in Go that counts its calls, adds a field and fails on
// demand.
type counted struct {
	tag   string
	calls *atomic.Int64
	fails *atomic.Bool
}

func (s counted) Message(_ context.Context, m relay.Message) (mail.Verdict, error) {
	s.calls.Add(1)
	if s.fails.Load() {
		return mail.Continue, fault{}
	}
	_, err := m.AddHeader(-1, "X-Tag", s.tag)
	return mail.Continue, err
}

// rig is a relay with the plugins "old" and "next", and a stage "tag" of the
// first whose block holds more.
type rig struct {
	*relay.Relay
	t         *testing.T
	old, next counted
}

func newRig(t *testing.T, more string) *rig {
	t.Helper()
	return newRigOf(t, `source = "native:old"`, more)
}

func newRigOf(t *testing.T, plugin, more string) *rig {
	t.Helper()
	g := &rig{t: t, old: counted{"old", new(atomic.Int64), new(atomic.Bool)}, next: counted{"next", new(atomic.Int64), new(atomic.Bool)}}
	stage := func(s counted) relay.NewStage { return func([]byte) (relay.Stage, error) { return s, nil } }
	r, err := relay.Open(context.Background(), relay.Options{
		ConfigFile: "test.hcl", InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Stages: map[string]relay.NewStage{"old": stage(g.old), "next": stage(g.next)},
		Config: []byte(`
admin { address = "" }
listener "smtp" "in" {
  address  = "127.0.0.1:0"
  pipeline = pipeline.in
}
plugin "old" {
  ` + plugin + `
}
plugin "next" { source = "native:next" }
pipeline "in" {
  stage "tag" {
    plugin = plugin.old
    ` + more + `
  }
  stage "spare" { plugin = plugin.next }
}
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Relay = r
	t.Cleanup(func() { r.Close() })
	return g
}

// submit sends one message and reports whether it was taken.
func (g *rig) submit() bool {
	g.t.Helper()
	_, err := g.Submit(context.Background(), relay.Submission{Sender: "a@x.test", Recipients: []string{"b@x.test"}, Content: strings.NewReader("Subject: x\n\nx\n")})
	var reply *mail.Reply
	if err != nil && !errors.As(err, &reply) {
		g.t.Fatal(err)
	}
	return err == nil
}

// state is the stage "tag".
func (g *rig) state() relay.StageState { return g.Stages()[0] }

func TestACanaryThatFailsCostsNothing(t *testing.T) {
	g := newRig(t, `
    candidate {
      plugin = plugin.next
      mode   = "canary"
      share  = "100%"
    }`)
	if !g.submit() || g.old.calls.Load() != 0 || g.next.calls.Load() != 2 { // once as canary, once as the stage "spare"
		t.Errorf("called %d and %d times", g.old.calls.Load(), g.next.calls.Load())
	}
	if s := g.state(); s.Calls != 1 || s.Differed != nil || s.Failed != 0 || s.Mode != "canary" || s.CandidateCode != "native:next" {
		t.Errorf("%+v", s)
	}
	g.next.fails.Store(true)
	g.submit() // the stage "spare" refuses it
	if g.old.calls.Load() != 1 {
		t.Errorf("the stage was called %d times for its failed canary", g.old.calls.Load())
	}
	if s := g.state(); s.Calls != 2 || s.Failed != 1 {
		t.Errorf("%+v", s)
	}
	ds, err := g.StageDifferences("tag")
	if err != nil || len(ds) != 1 || ds[0].Mode != "canary" || !strings.Contains(ds[0].Candidate.Error, "out of order") || ds[0].Live.Verdict != "continue" || ds[0].Phase != "message" {
		t.Errorf("%+v, %v", ds, err)
	}
	if s, err := g.RollBackStage("tag"); err != nil || s.State != "off" {
		t.Errorf("%+v, %v", s, err)
	}
	g.submit()
	if s := g.state(); s.Calls != 2 || g.old.calls.Load() != 2 {
		t.Errorf("rolled back: %+v, the stage was called %d times", s, g.old.calls.Load())
	}
}

func TestAShadowIsComparedByItsEdits(t *testing.T) {
	g := newRig(t, `candidate { plugin = plugin.next }`)
	if !g.submit() {
		t.Fatal("refused")
	}
	ds, err := g.StageDifferences("in/tag")
	if err != nil || len(ds) != 1 || ds[0].Live.Verdict != "continue" || ds[0].Candidate.Verdict != "continue" {
		t.Fatalf("%+v, %v", ds, err)
	}
	if text := strings.Join(ds[0].Edits, "\n"); !strings.Contains(text, "only live: ") || !strings.Contains(text, "X-Tag next") {
		t.Errorf("edits %q", ds[0].Edits)
	}
	if b, err := json.Marshal(ds[0]); err != nil || !strings.Contains(string(b), `"Edits":["only live`) {
		t.Errorf("%s, %v", b, err)
	}
}

// A stage that fails again and again is not called any more, whatever is
// reloaded meanwhile.
func TestABreakerOutlivesAReload(t *testing.T) {
	g := newRig(t, `
    on_error = "skip"
    breaker {
      failures = 2
      probe    = "1h"
    }`)
	g.old.fails.Store(true)
	for range 4 {
		if !g.submit() {
			t.Error("refused, though on_error is skip")
		}
	}
	if n := g.old.calls.Load(); n != 2 {
		t.Errorf("the broken stage was called %d times", n)
	}
	if err := g.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	g.submit()
	if n := g.old.calls.Load(); n != 2 {
		t.Errorf("after a reload the broken stage was called %d times", n)
	}
}

// A message that makes a stage fail whenever it comes is kept aside.
func TestPoisonMailIsQuarantined(t *testing.T) {
	guest, err := filepath.Abs("../internal/wasmhost/testdata/hostile/recurse.wasm")
	if err != nil {
		t.Fatal(err)
	}
	for source, why := range map[string]string{"native:old": "out of order", guest: "depth"} {
		g := newRigOf(t, "source = \""+source+"\"", "")
		g.old.fails.Store(true)
		var taken []bool
		for range 3 {
			taken = append(taken, g.submit())
		}
		entries, err := g.Queue(context.Background(), 0)
		if err != nil || len(entries) != 1 || entries[0].State != "quarantined" || !strings.Contains(entries[0].Reason, "failed 3 times on this message") || !strings.Contains(entries[0].Reason, why) {
			t.Errorf("%s: taken %v; queue %+v, %v", source, taken, entries, err)
		}
	}
}

// A command with mode = "filter" gets the message as it is and gives it back.
func TestACommandAsAFilter(t *testing.T) {
	guest, err := filepath.Abs("../internal/wasmhost/testdata/guests/cat.wasm")
	if err != nil {
		t.Fatal(err)
	}
	source := "source = \"" + guest + "\""
	g := newRigOf(t, source+`
  mode = "filter"
  grant {
    read  = ["headers", "body"]
    write = ["headers", "body"]
  }`, "")
	if !g.submit() {
		t.Error("the filter refused a message that it did not change")
	}
	if g := newRigOf(t, source, ""); g.submit() {
		t.Error("a message was taken for a verdict in JSON")
	}
}
