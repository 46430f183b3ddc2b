// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
)

// withCandidate is a configuration with one stage that has a candidate.
func withCandidate(hash string) *config.Config {
	return &config.Config{Pipelines: []config.Pipeline{{Name: "in", Stages: []config.Stage{{Name: "s", Hash: hash, Candidate: &config.Candidate{}}}}}}
}

// openedRollouts reads file and runs the configuration.
func openedRollouts(t *testing.T, file string, c *config.Config) *rollouts {
	t.Helper()
	rs, err := openRollouts(file, clock.System{}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	rs.adopt(map[string]*rollout{"in/s": rs.of("in/s", &c.Pipelines[0].Stages[0])}, c)
	return rs
}

func TestARolloutIsSharedWhileItsStageStaysTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), overridesName)
	same, other := withCandidate("1"), withCandidate("2")
	rs := openedRollouts(t, file, same)
	first := rs.running("in/s")
	if err := rs.set("in/s", statePromoted); err != nil {
		t.Fatal(err)
	}
	if rs.of("in/s", &same.Pipelines[0].Stages[0]) != first || first.Mode() != statePromoted {
		t.Error("the same stage got another rollout")
	}
	next := rs.of("in/s", &other.Pipelines[0].Stages[0])
	if next == first || next.Mode() != stateLive {
		t.Errorf("a changed stage got %v in state %s", next == first, next.Mode())
	}
	if first.Mode() != statePromoted || openedRollouts(t, file, same).running("in/s").Mode() != statePromoted {
		t.Error("a configuration that was only built has changed what runs")
	}
	rs.adopt(map[string]*rollout{"in/s": next}, other)
	if first.Mode() != statePromoted {
		t.Error("transactions of the old configuration lost their candidate")
	}
	if openedRollouts(t, file, same).running("in/s").Mode() != stateLive {
		t.Error("a void override came back")
	}
}

// What is no file is not waited for.
func TestOverridesThatAreNoFileAreRefused(t *testing.T) {
	if _, err := readOverrides(t.TempDir()); err == nil || !strings.Contains(err.Error(), "it is no file") {
		t.Errorf("got %v", err)
	}
}

// A decision that cannot be kept is not made.
func TestAnOverrideThatCannotBeWrittenIsRefused(t *testing.T) {
	dir := t.TempDir()
	rs := openedRollouts(t, filepath.Join(dir, "gone", overridesName), withCandidate("1"))
	if err := rs.set("in/s", stateOff); err == nil || !strings.Contains(err.Error(), "stays as it is") {
		t.Errorf("got %v", err)
	}
	if got := rs.running("in/s").Mode(); got != stateLive || len(rs.decided) != 0 {
		t.Errorf("the stage is %s, decided %v", got, rs.decided)
	}
}

// A write that a crash cut short leaves the old file, and does not disturb the
// next one.
func TestOverridesAreReplacedWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), overridesName)
	rs := openedRollouts(t, file, withCandidate("1"))
	if err := rs.set("in/s", stateOff); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file+".new", []byte(`{"version": 1, "overr`), 0o600); err != nil {
		t.Fatal(err)
	}
	rs = openedRollouts(t, file, withCandidate("1"))
	if got := rs.running("in/s").Mode(); got != stateOff {
		t.Errorf("the stage is %s", got)
	}
	if err := rs.set("in/s", statePromoted); err != nil {
		t.Fatal(err)
	}
	if got := openedRollouts(t, file, withCandidate("1")).running("in/s").Mode(); got != statePromoted {
		t.Errorf("the stage is %s", got)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := os.Stat(file + ".new"); err == nil {
		t.Error("the temporary file is still there")
	}
}

// A canary that did the opposite of its stage was counted as the same.
func TestACanaryIsNotCalledTheSame(t *testing.T) {
	for _, k := range []struct {
		mode        pipeline.Mode
		failed      bool
		differences []string
		want        string
	}{
		{pipeline.Shadow, false, nil, "same"},
		{pipeline.Shadow, false, []string{"continue -> reject"}, "differs"},
		{pipeline.Shadow, true, []string{"candidate failed: x"}, "failed"},
		{pipeline.Canary, false, nil, "called"},
		{pipeline.Canary, true, []string{"candidate failed: x"}, "failed"},
	} {
		if got := resultOf(k.mode, k.failed, k.differences); got != k.want {
			t.Errorf("%s, %v, %q: %s", k.mode, k.failed, k.differences, got)
		}
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	r := newRollout("in/s", "1", stateLive)
	long := strings.Repeat("ö", 1<<20)
	var edits []string
	for range 1000 {
		edits = append(edits, long)
	}
	for i := range 3 * maxDifferences {
		r.note(&control.Difference{ID: fmt.Sprint(i), Live: control.Decided{Reply: long}, Edits: edits}, i%2 == 0)
	}
	r.note(nil, false)
	ds := r.differences()
	if len(ds) != maxDifferences || ds[0].ID != "200" || ds[99].ID != "299" {
		t.Fatalf("%d differences from %s to %s", len(ds), ds[0].ID, ds[len(ds)-1].ID)
	}
	d := ds[99]
	if len(d.Live.Reply) > maxDifferenceText+3 || len(d.Edits) != maxDifferenceEdits+1 || len(d.Edits[0]) > maxDifferenceText+3 || d.Edits[maxDifferenceEdits] != "and 980 more" {
		t.Errorf("%d octets of reply, %d edits", len(d.Live.Reply), len(d.Edits))
	}
	if r.calls.Load() != 301 || r.differed.Load() != 300 || r.failed.Load() != 150 {
		t.Errorf("counted %d, %d, %d", r.calls.Load(), r.differed.Load(), r.failed.Load())
	}
	if len(edits) != 1000 {
		t.Error("the caller's edits changed")
	}
}

// Messages, operators and reloads meet.
func TestRolloutsAreSafeForManyGoroutines(t *testing.T) {
	c := withCandidate("1")
	rs := openedRollouts(t, filepath.Join(t.TempDir(), overridesName), c)
	r := rs.running("in/s")
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				r.note(&control.Difference{At: time.Time{}}, false)
				_ = r.Mode()
				_ = r.differences()
			}
		})
		wg.Go(func() {
			for range 5 {
				if err := rs.set("in/s", []string{statePromoted, stateOff, stateLive, stateOff}[i]); err != nil {
					t.Error(err)
				}
				rs.adopt(map[string]*rollout{"in/s": rs.of("in/s", &c.Pipelines[0].Stages[0])}, c)
			}
		})
	}
	wg.Wait()
	if rs.running("in/s") != r || r.calls.Load() != 800 {
		t.Errorf("%d calls", r.calls.Load())
	}
	if on := openedRollouts(t, rs.file, c).running("in/s").Mode(); on != r.Mode() {
		t.Errorf("in memory the stage is %s, on disk %s", r.Mode(), on)
	}
}
