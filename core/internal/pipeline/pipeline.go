// SPDX-License-Identifier: Apache-2.0

// Package pipeline runs the stages of a pipeline in their order over one
// transaction and folds what they say into one result.
//
// A stage sees the transaction through a Hook, and everything that it changes
// goes into the hook's own copies: they replace the committed state when the
// stage returns a permitted verdict without an error, and are dropped otherwise.
// So a stage's edits happen whole or not at all, and the next stage sees
// committed state only.
//
// Verdicts: the first final one (accept, reject, tempfail, discard) ends the
// chain for the recipients that it is about; quarantine and defer stick while
// later stages still run. A stage that fails never decides: its on_error policy
// does, by default a 451, and in delivery another try.
//
// A Session has the phases of a connection, a Transaction those of an envelope
// on its way in, an Outbound those of a delivery attempt; Tick has no message.
// A pipeline whose stages are not called in a phase does nothing in it.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Stage is one step of a pipeline: a WebAssembly plugin or Go code.
//
// Run is called in the phases that Phases names, by many goroutines at once. It
// reads and edits through h, which is valid until it returns. An error means
// that the stage itself failed: its edits are dropped and on_error is applied.
type Stage interface {
	Phases() mail.PhaseSet
	Run(ctx context.Context, h *Hook) (mail.Verdict, error)
}

// Condition is a stage's `when`. Eval asks for facts by their name; an error
// counts as a failure of the stage. PerRecipient tells that it uses a
// recipient's facts and so selects recipients.
type Condition interface {
	PerRecipient() bool
	Eval(fact func(name string) (any, bool)) (bool, error)
}

// OnError is what happens to a message whose stage failed.
type OnError string

// The policies of on_error.
const (
	OnErrorTempfail   OnError = "tempfail" // 451 4.3.0: the sender tries again
	OnErrorSkip       OnError = "skip"     // as if the stage were not there
	OnErrorReject     OnError = "reject"   // 554 5.3.0
	OnErrorQuarantine OnError = "quarantine"
)

// OnMixed is the answer to a message of which some recipients were accepted and
// some refused, for SMTP has one reply after the data.
type OnMixed string

// The policies of on_mixed.
const (
	MixedTempfail OnMixed = "tempfail"          // 451, nothing is taken
	MixedBounce   OnMixed = "accept_and_bounce" // 250, a DSN for the refused
	MixedDrop     OnMixed = "accept_and_drop"   // 250, the refused are logged and dropped
	MixedEach     OnMixed = "each"              // each recipient has its own reply (RFC 2033)
)

// Step is a stage with its place in a pipeline.
type Step struct {
	Name    string
	Stage   Stage
	Code    string    // what it runs: "sha256:" and the digest of the module, or "native:" and a name
	When    Condition // nil: always
	OnError OnError   // "" means tempfail
	Always  bool      // runs in the message phase even after an accept

	Candidate *Candidate // nil: none
	Breaker   *Breaker   // nil: it is called however often it fails

	slot      int   // number of its slots
	of        int   // steps of the pipeline
	candidate *Step // that stands for Candidate
	fallback  *Step // of a canary: the live stage
}

// BodyWriter collects a new body; Finish ends it, Abort drops it.
type BodyWriter interface {
	io.Writer
	Finish() (mail.Body, error)
	Abort()
}

// Observer is told of every call of a stage. It must be quick and safe for use
// by many goroutines.
type Observer interface {
	StageDone(e *mail.Envelope, stage string, p mail.Phase, v mail.Verdict, took time.Duration, err error)
}

// Options are what a pipeline needs from its surroundings.
type Options struct {
	Name      string
	Steps     []Step
	NewBody   func() BodyWriter             // where rewritten bodies go
	MaxBody   int64                         // octets a rewritten body may have; 0 means 25 MiB
	MaxHeader int64                         // octets a header section may grow to; 0 means 1 MiB
	MaxRcpt   int                           // recipients an envelope may grow to; 0 means 1,000
	Observer  Observer                      // may be nil
	Dry       bool                          // nothing outside of the journal happens: for a replay
	Comparer  Comparer                      // may be nil
	Poison    *Poison                       // nil: a message may fail for ever
	Now       func() time.Time              // for breakers; nil means time.Now
	OnBreaker func(stage string, open bool) // is told of a change; may be nil
}

// Pipeline is an ordered list of stages. It is safe for use by many goroutines
// and holds no state of a transaction.
type Pipeline struct {
	o      Options
	phases mail.PhaseSet // in which any stage is called
	slots  int           // how many there are in each lifetime
}

// New returns a pipeline. Steps run in their order.
func New(o Options) *Pipeline {
	if o.MaxBody == 0 {
		o.MaxBody = 25 << 20
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = 1 << 20
	}
	if o.MaxRcpt == 0 {
		o.MaxRcpt = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Pipeline{o: o, slots: len(o.Steps)}
	p.o.Steps = append([]Step(nil), o.Steps...)
	for i := range p.o.Steps {
		p.place(i)
	}
	return p
}

// place makes a step ready to run at place i.
func (p *Pipeline) place(i int) {
	s := &p.o.Steps[i]
	s.slot, s.of = i, len(p.o.Steps)
	p.phases |= s.Stage.Phases()
	if s.Candidate != nil {
		s.candidate = candidateStep(s, p.slots)
		p.slots++
		p.phases |= s.Candidate.Stage.Phases()
	}
}

// Has reports whether any stage is called in a phase.
func (p *Pipeline) Has(phase mail.Phase) bool { return p.phases.Has(phase) }

// Name returns the pipeline's name in pipeline.hcl.
func (p *Pipeline) Name() string { return p.o.Name }

// errVerdict is a verdict that the stage may not return in that phase.
var errVerdict = errors.New("verdict is not permitted in this phase")

// safely runs one stage once, with a panic of ours or of a native stage turned
// into an error.
func (p *Pipeline) safely(ctx context.Context, s *Step, h *Hook) (v mail.Verdict, err error) {
	defer func() {
		if r := recover(); r != nil {
			v, err = mail.Continue, fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	v, err = s.Stage.Run(ctx, h)
	if err == nil && h.phase == mail.PhaseReset && v > 0 {
		v = mail.Continue // the contract: it is ignored
	}
	if err == nil {
		err = h.check(v)
	}
	return v, err
}
