// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
)

// chain is a pipeline of a generation, with what was decided about the
// candidates of its stages. A decision makes a new pipeline of the same stages:
// who began with the old one ends with it.
type chain struct {
	options pipeline.Options // but for the steps
	steps   []chainStep
	now     atomic.Pointer[pipeline.Pipeline]
}

// chainStep is a stage with everything that may stand in its place.
type chainStep struct {
	step     pipeline.Step     // as pipeline.hcl says
	rollout  *rollout          // nil: no candidate
	promoted *pipeline.Breaker // of the candidate in the stage's place
}

func newChain(o pipeline.Options, steps []chainStep) *chain {
	c := &chain{options: o, steps: steps}
	c.compose()
	return c
}

// pipeline returns the pipeline as it runs now.
func (c *chain) pipeline() *pipeline.Pipeline { return c.now.Load() }

// compose makes the pipeline anew, by what is decided now. One goroutine at a
// time calls it.
func (c *chain) compose() {
	o := c.options
	for i := range c.steps {
		o.Steps = append(o.Steps, c.steps[i].decided())
	}
	c.now.Store(pipeline.New(o))
}

func (s *chainStep) decided() pipeline.Step {
	step := s.step
	if s.rollout == nil {
		return step
	}
	switch s.rollout.Mode() {
	case statePromoted:
		step.Stage, step.Code, step.Breaker = step.Candidate.Stage, step.Candidate.Code, s.promoted
		step.Candidate = nil
	case stateOff:
		step.Candidate = nil
	}
	return step
}

// comparer notes what candidates did with their rollouts.
type comparer struct {
	rollouts map[string]*rollout // by stageKey
	clock    Clock
	told     func(x *pipeline.Comparison, result string, differences []string) // nil: nobody
}

// Compared implements pipeline.Comparer.
func (c comparer) Compared(x *pipeline.Comparison) {
	r := c.rollouts[stageKey(x.Pipeline, x.Stage)]
	if r == nil {
		return
	}
	failed := x.Candidate.Err != nil
	differences := x.Differences()
	if c.told != nil {
		c.told(x, resultOf(x.Mode, failed, differences), slices.Clone(differences))
	}
	if len(differences) == 0 {
		r.note(nil, failed)
		return
	}
	r.note(&control.Difference{
		At: c.clock.Now(), ID: x.ID, Phase: x.Phase.String(), Mode: string(x.Mode),
		Live: decided(&x.Live), Candidate: decided(&x.Candidate), Edits: editsOf(differences),
	}, failed)
}

// resultOf says how a candidate did, as metrics and logs spell it. A canary is
// called in place of its stage: there is nothing that it could be the same as.
func resultOf(m pipeline.Mode, failed bool, differences []string) string {
	switch {
	case failed:
		return "failed"
	case m == pipeline.Canary:
		return "called"
	case len(differences) > 0:
		return "differs"
	}
	return "same"
}

func decided(t *pipeline.Trial) control.Decided {
	switch {
	case t.Err != nil:
		return control.Decided{Error: t.Err.Error()}
	case t.Code == "" || !t.Called:
		return control.Decided{}
	}
	d := control.Decided{Verdict: t.Verdict.String()}
	d.Reply = t.Says()
	return d
}

// editsOf leaves out what the two decided, which is told apart.
func editsOf(differences []string) []string {
	return slices.DeleteFunc(differences, func(line string) bool {
		return !strings.HasPrefix(line, "only ") && !strings.HasPrefix(line, "body ")
	})
}
