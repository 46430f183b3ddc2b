// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
)

// StageState is one stage of a running relay, with its candidate.
type StageState = control.StageState

// StageDifference is one message that a stage and its shadow decided differently,
// or on which its candidate failed.
type StageDifference = control.Difference

// Stages returns all stages in the order of pipeline.hcl.
func (r *Relay) Stages() []StageState {
	g := r.acquire()
	defer g.done()
	var out []StageState
	for i := range g.config.Pipelines {
		p := &g.config.Pipelines[i]
		for j := range p.Stages {
			out = append(out, g.stageState(p.Name, &p.Stages[j]))
		}
	}
	return out
}

func (g *generation) stageState(in string, s *config.Stage) StageState {
	st := StageState{Pipeline: in, Stage: s.Name, Plugin: s.Plugin, Code: g.codeOf(s.Plugin), Signer: g.signerOf(s.Plugin), State: stateLive}
	if s.Candidate == nil {
		return st
	}
	st.Candidate, st.CandidateCode, st.Mode = s.Candidate.Plugin, g.codeOf(s.Candidate.Plugin), s.Candidate.Mode
	st.CandidateSigner = g.signerOf(s.Candidate.Plugin)
	if r := g.rollouts[stageKey(in, s.Name)]; r != nil {
		st.State = r.Mode()
		st.Calls, st.Failed = r.calls.Load(), r.failed.Load()
		if differed := r.differed.Load(); s.Candidate.Mode == string(pipeline.Shadow) {
			st.Differed = &differed
		}
	}
	return st
}

// codeOf names the code of a plugin, "sha256:…" or "native:NAME".
func (g *generation) codeOf(plugin string) string {
	for _, c := range g.code {
		if c.Plugin == plugin {
			return "sha256:" + c.SHA256
		}
	}
	if p := g.plugin(plugin); p != nil {
		return p.Source
	}
	return ""
}

// signerOf returns the id of the key whose signature of a plugin was checked.
func (g *generation) signerOf(plugin string) string {
	for _, c := range g.code {
		if c.Plugin == plugin {
			return c.Signer
		}
	}
	return ""
}

// PromoteStage lets the candidate of a stage take its place, RollBackStage
// switches the candidate off, and ResetStage goes back to what pipeline.hcl
// says. They hold from the next message on, through reloads and restarts, until
// the stage's block in pipeline.hcl changes; each returns after that is synced.
// A stage is named "pipeline/stage", or by its own name where that is unique.
func (r *Relay) PromoteStage(name string) (StageState, error) {
	return r.setStage(name, statePromoted)
}

// RollBackStage is described at PromoteStage.
func (r *Relay) RollBackStage(name string) (StageState, error) { return r.setStage(name, stateOff) }

// ResetStage is described at PromoteStage.
func (r *Relay) ResetStage(name string) (StageState, error) { return r.setStage(name, stateLive) }

func (r *Relay) setStage(name, state string) (StageState, error) {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	s, err := r.findStage(name)
	if err != nil {
		return s, err
	}
	if err := r.rollouts.set(stageKey(s.Pipeline, s.Stage), state); err != nil {
		return s, err
	}
	r.gen.Load().chains[s.Pipeline].compose()
	if r.ticks.Load() != nil {
		r.retick()
	}
	return r.findStage(stageKey(s.Pipeline, s.Stage))
}

// StageDifferences returns the latest messages that a stage and its shadow decided
// differently, or on which its candidate failed, the oldest first; at most 100. They are kept in memory.
func (r *Relay) StageDifferences(name string) ([]StageDifference, error) {
	s, err := r.findStage(name)
	if err != nil {
		return nil, err
	}
	ro := r.rollouts.running(stageKey(s.Pipeline, s.Stage))
	if ro == nil {
		return nil, fmt.Errorf("stage %s has no candidate; give it a candidate block in pipeline.hcl", stageKey(s.Pipeline, s.Stage))
	}
	return ro.differences(), nil
}

// findStage returns the stage that a name means.
func (r *Relay) findStage(name string) (StageState, error) {
	var all, found []string
	stages := r.Stages()
	at := 0
	for i, s := range stages {
		key := stageKey(s.Pipeline, s.Stage)
		all = append(all, key)
		if key == name || s.Stage == name {
			found, at = append(found, key), i
		}
	}
	switch len(found) {
	case 1:
		return stages[at], nil
	case 0:
		return StageState{}, fmt.Errorf("there is no stage %q; there are %s", name, orNone(all))
	}
	return StageState{}, fmt.Errorf("more than one stage is called %q: say %s", name, strings.Join(found, " or "))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(slices.Sorted(slices.Values(names)), ", ")
}

// Stages implements control.Service.
func (o operator) Stages(context.Context) ([]control.StageState, error) { return o.r.Stages(), nil }

// SetStage implements control.Service.
func (o operator) SetStage(_ context.Context, a control.StageAction) (control.StageState, error) {
	switch a.Verb {
	case "promote":
		return o.r.PromoteStage(a.Stage)
	case "rollback":
		return o.r.RollBackStage(a.Stage)
	case "reset":
		return o.r.ResetStage(a.Stage)
	}
	return control.StageState{}, fmt.Errorf("unknown verb %q", a.Verb)
}

// Differences implements control.Service.
func (o operator) Differences(_ context.Context, stage string) ([]control.Difference, error) {
	return o.r.StageDifferences(stage)
}
