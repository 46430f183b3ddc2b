// SPDX-License-Identifier: Apache-2.0

package kit

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Case is one row of the table: the calls of one guest and what must come of
// them.
type Case struct {
	Function string // that it is about, or "verdict"
	Class    string // ok, not_found, wrong_phase, denied, bad_pointer, short_buffer, limit, or another word
	Note     string // tells cases of one function and class apart

	NotApplicable string // why there is no such case; then nothing else is set

	Without []string // grants that are left out
	Steps   []Step
	Failing []int // phases whose hook must be an error of the stage
	State   []StateWant
}

// Step is one call of the guest's.
type Step struct {
	Phase    int // number, -1: pr_init
	Function string
	Args     []Arg
	Repeat   int // how often it is done; 0: once
	Want     Want
}

// Arg is one argument of a call.
type Arg struct {
	Value int64
	Step  int    // when Kind is argStep: the step whose result is meant
	Data  []byte // when Kind is argData: octets whose address is meant
	Kind  argKind
}

type argKind uint8

const (
	argValue argKind = iota
	argStep
	argData
	argBuffer // the address of a buffer; Value is its capacity, which the next argument need not be
)

// Want is what a call must return and write.
type Want struct {
	Trap   bool
	Any    bool   // whatever it is
	Not    bool   // anything but Result
	Least  bool   // Result or more
	Result int64  //
	Memory []byte // what it must have written at the buffer, and nothing behind it; nil: not looked at
}

// StateWant is what the host must have afterwards.
type StateWant struct {
	Key, Value string
	Absent     bool // there must be no such key
}

// Name tells the case from all others.
func (c *Case) Name() string {
	return strings.TrimSpace(c.Function + " " + c.Class + " " + c.Note)
}

// phases returns the phases in which something is done, in the order of a
// message's way.
func (c *Case) phases() []int {
	var ps []int
	for _, s := range c.Steps {
		if s.Phase != phaseInit && !slices.Contains(ps, s.Phase) {
			ps = append(ps, s.Phase)
		}
	}
	slices.Sort(ps)
	return ps
}

// isolation is what the phases of the case need.
func (c *Case) isolation() string {
	for _, p := range c.phases() {
		if p == abi.PhaseBody || p == abi.PhaseReset {
			return "message"
		}
	}
	return "call"
}

// instances is how many the case needs.
func (c *Case) instances() int {
	if len(c.phases()) < 2 {
		return 1
	}
	return Instances
}

// fails tells whether a phase must end as an error of the stage.
func (c *Case) fails(phase int) bool {
	if slices.Contains(c.Failing, phase) {
		return true
	}
	return slices.ContainsFunc(c.Steps, func(s Step) bool { return s.Phase == phase && s.Want.Trap })
}

// check holds one report against what is wanted.
func (w *Want) check(r report) error {
	switch {
	case w.Not && r.result == w.Result:
		return fmt.Errorf("result %s", number(r.result))
	case w.Least && r.result < w.Result:
		return fmt.Errorf("result %s, want %d or more", number(r.result), w.Result)
	case !w.Any && !w.Not && !w.Least && r.result != w.Result:
		return fmt.Errorf("result %s, want %s", number(r.result), number(w.Result))
	}
	return w.checkMemory(r.memory)
}

// checkMemory looks at the buffer: what was wanted is there, and the octets
// behind are those that were there before.
func (w *Want) checkMemory(digits string) error {
	if w.Memory == nil {
		return nil
	}
	got, err := hex.DecodeString(digits)
	if err != nil || len(got) < len(w.Memory) {
		return fmt.Errorf("memory %s is not what was asked for", digits)
	}
	rest := bytes.TrimLeft(got[len(w.Memory):], string([]byte{untouched}))
	if !bytes.Equal(got[:len(w.Memory)], w.Memory) || len(rest) > 0 {
		return fmt.Errorf("memory %q, want %q and nothing behind it", got, w.Memory)
	}
	return nil
}

// number spells a result.
func number(n int64) string {
	switch {
	case n == abi.Absent:
		return "absent"
	case n < 0 && n >= int64(abi.ErrConflict):
		return fmt.Sprintf("%d (%v)", n, abi.Errno(n))
	}
	return fmt.Sprint(n)
}

// Addresses and numbers of guest/guest.wat.
const (
	scriptAt   = 0x20000
	scriptHead = 24
	stepSize   = 14 * 8
	bufferAt   = 0x30000
	zerosAt    = 0x40000
	untouched  = 0xaa // what buffers are filled with

	callVerdict = 900
	callTrap    = 901
	callForever = 902
	callArg     = 903
)

// config assembles the script of the case.
func (c *Case) config(fault int) []byte {
	a := assembler{data: scriptHead + stepSize*len(c.Steps)}
	for _, p := range c.phases() {
		a.mask |= 1 << p
	}
	for _, s := range c.Steps {
		a.step(&s)
	}
	head := words(a.mask, int64(len(c.Steps)), int64(fault))
	script := slices.Concat(head, a.steps, a.octets)
	return []byte(`{"script":"` + hex.EncodeToString(script) + `"}`)
}

type assembler struct {
	mask   int64
	data   int // offset of the octets in the script
	steps  []byte
	octets []byte
}

func words(ns ...int64) []byte {
	var b []byte
	for _, n := range ns {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// step appends a step.
func (a *assembler) step(s *Step) {
	var args [8]int64
	refs, at, length := int64(0), int64(0), int64(0)
	for i, arg := range s.Args {
		switch arg.Kind {
		case argStep:
			args[i] = int64(arg.Step)
			refs |= 1 << i
		case argData:
			args[i] = int64(scriptAt + a.data + len(a.octets))
			a.octets = append(a.octets, arg.Data...)
		case argBuffer:
			args[i], at, length = bufferAt, bufferAt, min(arg.Value, maxReport)+margin
		default:
			args[i] = arg.Value
		}
	}
	a.steps = append(a.steps, words(int64(s.Phase), s.number())...)
	a.steps = append(a.steps, words(args[:]...)...)
	a.steps = append(a.steps, words(refs, int64(max(s.Repeat, 1)), at, length)...)
}

const (
	maxReport = 400 // octets of a buffer that are reported
	margin    = 8   // octets behind it that must stay as they are
)

// number returns the number by which the guest calls the function.
func (s *Step) number() int64 {
	switch s.Function {
	case "verdict":
		return callVerdict
	case "trap":
		return callTrap
	case "forever":
		return callForever
	case "arg":
		return callArg
	}
	return int64(slices.IndexFunc(served(), func(f abi.Function) bool { return f.Name == s.Function }))
}

// served returns the functions of this minor version, in the order in which the
// guest imports them.
func served() []abi.Function {
	return slices.DeleteFunc(abi.Functions(), func(f abi.Function) bool { return !f.Served })
}
