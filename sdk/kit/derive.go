// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// classes are the ways in which a call of every function must have been made.
func classes() []string {
	return []string{"ok", "not_found", "wrong_phase", "denied", "bad_pointer", "short_buffer", "limit"}
}

// Cases returns the whole table: the rows of cases.txt, and those that follow
// from them and from the ABI's own tables.
func Cases() []*Case {
	cases := parse(table)
	written := slices.Clone(cases)
	for _, f := range served() {
		cases = append(cases, wrongPhase(&f)...)
		cases = append(cases, denied(&f)...)
		cases = append(cases, badPointers(&f, written)...)
		cases = append(cases, shortBuffers(&f, written)...)
	}
	return append(cases, verdicts()...)
}

// Missing returns the functions of which cases have none of a class, and no reason
// why there is none.
func Missing(cases []*Case) []string {
	have := map[string]bool{}
	for _, c := range cases {
		have[c.Function+" "+c.Class] = true
	}
	var missing []string
	for _, f := range served() {
		for _, class := range classes() {
			if !have[f.Name+" "+class] {
				missing = append(missing, f.Name+" "+class)
			}
		}
	}
	return missing
}

// allowed tells whether f may be called in a phase.
func allowed(f *abi.Function, phase int) bool {
	if phase == phaseInit {
		return f.Init
	}
	return f.Phases>>uint(phase)&1 != 0
}

func phases() []int {
	ps := []int{phaseInit}
	for _, p := range abi.Phases() {
		ps = append(ps, p.Number)
	}
	return ps
}

func phaseName(n int) string {
	for _, p := range abi.Phases() {
		if p.Number == n {
			return p.Name
		}
	}
	return "init"
}

// plain is a call of f with arguments that say nothing, but for those which tell
// one phase from another.
func plain(f *abi.Function, phase int) Step {
	s := Step{Phase: phase, Function: f.Name}
	for _, name := range f.Args {
		a := Arg{}
		switch {
		case name == "idx", name == "scope", name == "key": // the hook's own recipient, the session, not_before
			a.Value = 1
		case name == "view" && phase == abi.PhaseBody:
			a.Value = abi.ViewChunk
		}
		s.Args = append(s.Args, a)
	}
	return s
}

// wrongPhase calls f in every phase: where it may be called it is never
// wrong_phase, elsewhere nothing else.
func wrongPhase(f *abi.Function) []*Case {
	var cases []*Case
	for _, p := range phases() {
		s := plain(f, p)
		s.Want = Want{Result: int64(abi.ErrWrongPhase), Not: allowed(f, p)}
		cases = append(cases, &Case{Function: f.Name, Class: "wrong_phase", Note: "in " + phaseName(p), Steps: begun(p, s)})
	}
	return cases
}

// begun returns the step with what its phase needs around it: a hook behind a
// pr_init, and before a reset, which only those hear of who saw something.
func begun(phase int, steps ...Step) []Step {
	now := Step{Phase: abi.PhaseMail, Function: "now", Want: Want{Any: true}}
	if phase == phaseInit || phase == abi.PhaseReset {
		return append(steps, now)
	}
	return steps
}

// denied calls f without its grant, where it may be called.
func denied(f *abi.Function) []*Case {
	if f.Grant == "" {
		return []*Case{{Function: f.Name, Class: "denied", NotApplicable: "it needs no grant"}}
	}
	p := phases()[slices.IndexFunc(phases(), func(p int) bool { return p != phaseInit && allowed(f, p) })]
	s := plain(f, p)
	s.Want = Want{Result: int64(abi.ErrDenied)}
	if f.Name == "get_int" {
		s.Args[0].Value, s.Want.Result = abi.FieldFlags, abi.Absent
		s.Phase = abi.PhaseMail
	}
	return []*Case{{Function: f.Name, Class: "denied", Without: strings.Split(f.Grant, ", "), Steps: []Step{s}}}
}

// example returns the first row of class ok of f, with the step that calls it.
func example(f *abi.Function, written []*Case) (c *Case, step int) {
	for _, c := range written {
		if c.Function == f.Name && c.Class == "ok" {
			return c, slices.IndexFunc(c.Steps, func(s Step) bool { return s.Function == f.Name })
		}
	}
	return nil, -1
}

// variant returns c up to that step, which is changed.
func variant(c *Case, step int, class, note string, change func(s *Step)) *Case {
	v := &Case{Function: c.Function, Class: class, Note: note, Without: c.Without, Steps: slices.Clone(c.Steps[:step+1])}
	s := &v.Steps[step]
	s.Args = slices.Clone(s.Args)
	change(s)
	if s.Phase == phaseInit {
		v.Steps = begun(phaseInit, *s)
		v.Failing = []int{phaseInit}
	}
	return v
}

// pointers returns the parameters of f that are addresses.
func pointers(f *abi.Function) []int {
	var at []int
	for i, name := range f.Args {
		next := ""
		if i+1 < len(f.Args) {
			next = f.Args[i+1]
		}
		paired := strings.HasSuffix(name, "p") && next == strings.TrimSuffix(name, "p")+"n"
		if name == "b" || name == "out" || name == "p" || paired {
			at = append(at, i)
		}
	}
	return at
}

// outside is an address behind which less than 32 octets would be left, if
// memory had 4 GiB.
const outside = 0xfffffff0

// badPointers makes a call that is right point outside of memory, with one
// pointer after the other.
func badPointers(f *abi.Function, written []*Case) []*Case {
	at := pointers(f)
	if len(at) == 0 {
		return []*Case{{Function: f.Name, Class: "bad_pointer", NotApplicable: "it has no pointer"}}
	}
	c, step := example(f, written)
	if c == nil {
		return nil
	}
	var cases []*Case
	for _, i := range at {
		cases = append(cases, variant(c, step, "bad_pointer", f.Args[i], func(s *Step) {
			s.Args[i] = Arg{Value: outside}
			if f.Args[i] != "out" && f.Name != "split" {
				s.Args[i+1] = Arg{Value: 32}
			}
			s.Want = Want{Trap: true}
		}))
	}
	return cases
}

// fills tells whether a function writes as much as fits, and returns that.
func fills(name string) bool {
	return slices.Contains([]string{"msg_read", "part_read", "http_read", "random"}, name)
}

// shortBuffers gives a call that is right less room than it needs.
func shortBuffers(f *abi.Function, written []*Case) []*Case {
	i := slices.Index(f.Args, "b")
	if i < 0 {
		return []*Case{{Function: f.Name, Class: "short_buffer", NotApplicable: "it has no buffer"}}
	}
	c, step := example(f, written)
	if c == nil || f.Name == "http" {
		return nil // cases.txt has it: what http writes has one length
	}
	want := c.Steps[step].Want
	n := want.Result
	rooms := []int64{n - 1, 0}
	if fills(f.Name) || want.Least {
		rooms = []int64{1, 0}
	}
	var cases []*Case
	for _, room := range slices.Compact(rooms) {
		cases = append(cases, variant(c, step, "short_buffer", fmt.Sprintf("of %d octets", room), func(s *Step) {
			s.Args[i], s.Args[i+1] = Arg{Kind: argBuffer, Value: max(room, 1)}, Arg{Value: room}
			s.Want = Want{Result: n, Least: want.Least, Memory: []byte{}}
			if fills(f.Name) {
				s.Want = Want{Result: room, Memory: want.Memory[:min(int64(len(want.Memory)), room)]}
			}
		}))
	}
	return cases
}

// verdicts returns every verdict in every phase, once with an effect that shows
// whether the hook was committed.
func verdicts() []*Case {
	var cases []*Case
	for _, p := range abi.Phases() {
		for v := int64(-10); v <= 8; v++ {
			if v > abi.VerdictSkip && v != 8 || v < -1 && v != -10 {
				continue
			}
			cases = append(cases, verdict(&p, v))
		}
		cases = append(cases, wrongReplies(&p)...)
	}
	return cases
}

func verdict(p *abi.Phase, v int64) *Case {
	ok := v >= 0 && (p.Verdicts>>uint(v)&1 != 0 || p.Number == abi.PhaseReset) // there it is ignored
	c := &Case{Function: "verdict", Class: p.Name, Note: fmt.Sprint(v), Steps: begun(p.Number, []Step{
		{Phase: phaseInit, Function: "store", Args: text("kept"), Want: Want{Least: true}},
		{Phase: p.Number, Function: "kv_put", Args: slices.Concat([]Arg{{Kind: argStep}}, text("k"), text("v"), []Arg{{}, {}})},
		{Phase: p.Number, Function: "verdict", Args: []Arg{{Value: v}}},
	}...)}
	if ok {
		c.State = []StateWant{{Key: "store kept k", Value: "v"}, {Key: "decision", Value: decision(p.Number, int(v))}}
		return c
	}
	c.Failing = []int{p.Number}
	c.State = []StateWant{{Key: "store kept k", Absent: true}, {Key: "decision", Value: onError(p.Number)}}
	return c
}

func text(s string) []Arg {
	return []Arg{{Kind: argData, Data: []byte(s)}, {Value: int64(len(s))}}
}

// decision is what a verdict does, in the words of the state's key.
func decision(phase, verdict int) string {
	switch {
	case phase == abi.PhaseReset:
		return "continue"
	case verdict == abi.VerdictReject:
		return "reject"
	case verdict == abi.VerdictTempfail:
		return "tempfail"
	case verdict == abi.VerdictDiscard && phase >= abi.PhaseRcpt:
		return "discard"
	case verdict == abi.VerdictQuarantine:
		return "quarantine"
	case verdict == abi.VerdictDefer:
		return "defer"
	}
	return "continue"
}

// onError is what becomes of a hook that failed, with on_error tempfail.
func onError(phase int) string {
	switch phase {
	case abi.PhaseQueued, abi.PhaseResult, abi.PhaseBounce, abi.PhaseTick, abi.PhaseReset:
		return "continue"
	}
	return "tempfail"
}

// wrongReplies are verdicts with a reply of another class.
func wrongReplies(p *abi.Phase) []*Case {
	var cases []*Case
	for _, w := range []struct {
		verdict, code int64
	}{{abi.VerdictReject, 451}, {abi.VerdictReject, 250}, {abi.VerdictTempfail, 550}} {
		if p.Verdicts>>uint(w.verdict)&1 == 0 {
			continue
		}
		cases = append(cases, &Case{
			Function: "verdict", Class: p.Name, Note: fmt.Sprintf("%d with code %d", w.verdict, w.code), Failing: []int{p.Number},
			Steps: []Step{
				{Phase: p.Number, Function: "reply", Args: slices.Concat([]Arg{{Value: w.code}, {}}, text("x"))},
				{Phase: p.Number, Function: "verdict", Args: []Arg{{Value: w.verdict}}},
			},
			State: []StateWant{{Key: "decision", Value: onError(p.Number)}},
		})
	}
	return cases
}
