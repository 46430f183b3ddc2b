// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/control"
)

// The states of a candidate.
const (
	stateLive     = "live"     // as pipeline.hcl says: it is a shadow or a canary
	statePromoted = "promoted" // it is called in place of the stage
	stateOff      = "off"      // it is not called
)

// rollout is what is known of the candidate of one stage. Generations share it
// as long as the stage's block in pipeline.hcl stays as it is. It is safe for
// use by many goroutines.
type rollout struct {
	key   string
	hash  string
	state atomic.Pointer[string]

	calls, differed, failed atomic.Int64

	mu   sync.Mutex
	last []control.Difference // the latest, the oldest first
}

// maxDifferences is how many differences are kept for each stage, in memory.
const maxDifferences = 100

func newRollout(key, hash, state string) *rollout {
	r := &rollout{key: key, hash: hash}
	r.state.Store(&state)
	return r
}

// Mode returns the state: live, promoted or off.
func (r *rollout) Mode() string { return *r.state.Load() }

// note counts one call of the candidate; nil means that there is nothing to tell:
// a shadow decided as the stage did, or a canary did not fail.
func (r *rollout) note(d *control.Difference, failed bool) {
	r.calls.Add(1)
	if failed {
		r.failed.Add(1)
	}
	if d == nil {
		return
	}
	r.differed.Add(1)
	kept := bounded(*d)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.last) == maxDifferences {
		r.last = slices.Delete(r.last, 0, 1)
	}
	r.last = append(r.last, kept)
}

// What is kept of one difference, for guests write its texts.
const (
	maxDifferenceText  = 512 // octets of one text
	maxDifferenceEdits = 20
)

func bounded(d control.Difference) control.Difference {
	for _, side := range []*control.Decided{&d.Live, &d.Candidate} {
		side.Reply, side.Error = cut(side.Reply), cut(side.Error)
	}
	all := d.Edits
	d.Edits = nil
	for _, e := range all[:min(len(all), maxDifferenceEdits)] {
		d.Edits = append(d.Edits, cut(e))
	}
	if more := len(all) - maxDifferenceEdits; more > 0 {
		d.Edits = append(d.Edits, fmt.Sprintf("and %d more", more))
	}
	return d
}

func cut(s string) string {
	if len(s) <= maxDifferenceText {
		return s
	}
	return strings.ToValidUTF8(s[:maxDifferenceText], "") + "…"
}

func (r *rollout) differences() []control.Difference {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]control.Difference{}, r.last...)
}

// rollouts holds the rollouts of the running configuration, and what the
// operator decided about them, in memory and in data_dir. It outlives
// generations.
type rollouts struct {
	file  string // empty: nothing is kept
	clock Clock
	log   hclog.Logger

	mu      sync.Mutex
	byKey   map[string]*rollout // of the running configuration
	decided overrides
}

// overridesFile is where decisions are kept; empty when nothing is.
func (r *Relay) overridesFile(c *config.Config) string {
	if r.o.InMemory {
		return ""
	}
	return filepath.Join(c.Server.DataDir, overridesName)
}

// openRollouts reads what was decided before, from file.
func openRollouts(file string, clock Clock, log hclog.Logger) (*rollouts, error) {
	rs := &rollouts{file: file, clock: clock, log: log, byKey: map[string]*rollout{}, decided: overrides{}}
	if file == "" {
		return rs, nil
	}
	var err error
	rs.decided, err = readOverrides(file)
	return rs, err
}

// of returns the rollout of a stage with a candidate: the one that runs when the
// stage is still the same, else a new one. A new one counts from adopt on.
// Without rollouts it does what pipeline.hcl says.
func (rs *rollouts) of(key string, s *config.Stage) *rollout {
	if rs == nil {
		return newRollout(key, s.Hash, stateLive)
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if r := rs.byKey[key]; r != nil && r.hash == s.Hash {
		return r
	}
	state := stateLive
	if o, ok := rs.decided[key]; ok && o.Hash == s.Hash {
		state = o.State
	}
	return newRollout(key, s.Hash, state)
}

// adopt makes the rollouts of a new configuration those that run. Decisions
// about stages that are gone or have changed are void from now on.
func (rs *rollouts) adopt(next map[string]*rollout, c *config.Config) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.byKey = next
	hashes, valid := candidateHashes(c), maps.Clone(rs.decided)
	for _, key := range sortedNames(rs.decided) {
		if why := rs.decided[key].void(hashes, key); why != "" {
			rs.log.Warn("override is void", "stage", key, "override", rs.decided[key].State, "reason", why)
			delete(valid, key)
		}
	}
	if len(valid) == len(rs.decided) {
		return
	}
	rs.decided = valid
	if err := rs.save(valid); err != nil {
		rs.log.Error("void override stays in the file", "error", err) // it is void by its hash all the same
	}
}

func (rs *rollouts) save(o overrides) error {
	if rs.file == "" {
		return nil
	}
	return writeOverrides(rs.file, o)
}

// set decides about a candidate. It returns after the decision was synced. The
// chain that the stage is in is to be composed anew.
func (rs *rollouts) set(key, state string) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.byKey[key]
	if r == nil {
		return fmt.Errorf("stage %s has no candidate; give it a candidate block in pipeline.hcl", key)
	}
	next := maps.Clone(rs.decided)
	delete(next, key)
	if state != stateLive {
		next[key] = override{State: state, Hash: r.hash, At: rs.clock.Now()}
	}
	if err := rs.save(next); err != nil {
		return fmt.Errorf("stage %s stays as it is: %w", key, err)
	}
	rs.decided = next
	was := r.Mode()
	r.state.Store(&state)
	rs.log.Info("operator", "verb", "stage", "stage", key, "was", was, "is", state)
	return nil
}

// running returns the rollout of a stage, nil when it has no candidate.
func (rs *rollouts) running(key string) *rollout {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byKey[key]
}
