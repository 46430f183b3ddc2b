// SPDX-License-Identifier: Apache-2.0

// Package kit is the conformance kit of the plugin ABI: it tells whether a host
// does what sdk/abi/spec.md says. One guest (guest/guest.wat) makes the calls
// that a table lists, every function in every way in which it can end and every
// phase with every verdict, and the kit compares what came of them.
//
// A host takes part by implementing Host; core/test/conformance does so for this
// relay. The table is in cases.txt, whose rows are completed by those that
// follow from abi.json alone: which function may be called when, with which
// grant, and what becomes of a pointer outside of memory and of a buffer that is
// too short. A function without rows is among those of Missing.
//
// The tests in this folder hold the SDKs against the host: one guest per SDK
// uses every function and writes down what came of it, and all must write the
// same.
package kit

import (
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
)

// Guest is the kit's module.
//
//go:embed guest/guest.wasm
var Guest []byte

// Host is a host of the ABI.
type Host interface {
	// Open makes the world of one case, as World describes it, with the kit's
	// guest in it. An error means that the guest could not be started.
	Open(s Setup) (Room, error)
}

// Setup is what a case needs of the host.
type Setup struct {
	Config    []byte   // of the guest, JSON
	Without   []string // the grants that are left out, as abi.json spells them: "read headers", "kv"
	Isolation string   // "call" or "message"
	Instances int      // that the guest is to have; they share nothing
}

// Room is the world of one case: a session, one transaction in it, and one
// attempt to deliver it, each begun when a hook of it is first called.
type Room interface {
	// Hook calls the guest in a phase, in the instance with that number.
	Hook(instance, phase int) Outcome
	// Log returns what the guest has logged so far.
	Log() string
	// State returns what the hooks have left behind, by the keys that cases.txt
	// explains.
	State() map[string]string
	Close()
}

// Outcome is what became of a hook.
type Outcome struct {
	Failed bool // it was an error of the stage: on_error decided
}

// Instances is how many instances a case of several hooks has. Which one gets a
// hook is left to chance, so that nothing can lean on what a guest has in its
// memory.
const Instances = 3

// Failure is a case that went otherwise than the table says.
type Failure struct {
	Case string
	What string
}

// Error returns case and difference in a line.
func (f Failure) Error() string { return f.Case + ": " + f.What }

// Options are how the kit is run.
type Options struct {
	Seed  uint64 // of the choice of instances
	Fault int    // that is seeded between the guest and the host, one of Faults; 0: none
	First bool   // end with the first failure
	Mixed bool   // only cases of several hooks, to which the choice of instances matters
}

// Run runs every case and returns those that failed.
func Run(h Host, o Options) []Failure {
	var failed []Failure
	for _, c := range Cases() {
		if o.Mixed && len(c.phases()) < 2 {
			continue
		}
		if err := c.run(h, o); err != nil {
			failed = append(failed, Failure{c.Name(), err.Error()})
		}
		if o.First && len(failed) > 0 {
			break
		}
	}
	return failed
}

// run runs one case.
func (c *Case) run(h Host, o Options) error {
	if c.NotApplicable != "" {
		return nil
	}
	room, err := h.Open(Setup{Config: c.config(o.Fault), Without: c.Without, Isolation: c.isolation(), Instances: c.instances()})
	if err != nil {
		return c.started(err)
	}
	defer room.Close()
	if c.fails(phaseInit) {
		return errors.New("the guest started")
	}
	chance := rand.New(rand.NewPCG(o.Seed, uint64(len(c.Name()))))
	instance := 0
	for _, phase := range c.phases() {
		if c.isolation() == "call" {
			instance = chance.IntN(c.instances())
		}
		if out := room.Hook(instance, phase); out.Failed != c.fails(phase) {
			return fmt.Errorf("the hook of phase %s failed: %t, want %t; log %q", phaseName(phase), out.Failed, c.fails(phase), room.Log())
		}
	}
	if err := c.compare(reports(room.Log())); err != nil {
		return err
	}
	return c.compareState(room.State())
}

// started tells whether a guest may fail to start.
func (c *Case) started(err error) error {
	if c.fails(phaseInit) {
		return nil
	}
	return fmt.Errorf("the guest did not start: %w", err)
}

// report is what the guest logged of a step.
type report struct {
	result int64
	memory string
}

var reportLine = regexp.MustCompile(`kit ([0-9a-f]{4}) ([0-9a-f]{16}) ([0-9a-f]*)`)

// reports reads the guest's log. A step that was done more than once, as in the
// pr_init of several instances, must have reported the same each time.
func reports(log string) map[int][]report {
	steps := map[int][]report{}
	for _, m := range reportLine.FindAllStringSubmatch(log, -1) {
		n, _ := strconv.ParseInt(m[1], 16, 32)
		r, _ := strconv.ParseUint(m[2], 16, 64)
		steps[int(n)] = append(steps[int(n)], report{int64(r), m[3]})
	}
	return steps
}

// compare holds what the steps reported against what the table wants.
func (c *Case) compare(got map[int][]report) error {
	for n := range c.Steps {
		s := &c.Steps[n]
		if s.Want.Trap {
			if len(got[n]) > 0 {
				return fmt.Errorf("step %d, %s: result %d, want a trap", n, s.Function, got[n][0].result)
			}
			continue
		}
		if len(got[n]) == 0 {
			return fmt.Errorf("step %d, %s: it did not report", n, s.Function)
		}
		for _, r := range got[n] {
			if err := s.Want.check(r); err != nil {
				return fmt.Errorf("step %d, %s: %w", n, s.Function, err)
			}
		}
	}
	return nil
}

func (c *Case) compareState(got map[string]string) error {
	for _, e := range c.State {
		v, ok := got[e.Key]
		if e.Absent && ok || !e.Absent && (!ok || v != e.Value) {
			return fmt.Errorf("%s is %q (%t), want %q (%t); state %q", e.Key, v, ok, e.Value, !e.Absent, got)
		}
	}
	return nil
}

// phaseInit stands for pr_init among phases.
const phaseInit = -1
