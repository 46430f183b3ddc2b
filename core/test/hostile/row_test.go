// SPDX-License-Identifier: Apache-2.0

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// row is one line of testdata/attacks: a module, and what it does to a relay.
type row struct {
	module  string
	number  string // for a module that reads from its configuration what to do
	class   string
	phases  []mail.Phase
	with    []string
	outcome string
}

// attack is a row in one of its phases.
type attack struct {
	row
	phase mail.Phase
}

// Outcomes that are no cause of a fault.
const (
	holds = "holds" // it is told no, and its message goes on as it was
	limit = "limit" // it is told that its share is used up, and puts the message off itself
	takes = "takes" // it does what it may: only its own message is changed
)

func (a attack) name() string {
	n := a.module
	if a.number != "" {
		n += "/" + a.number
	}
	return n + " in " + a.phase.String()
}

func (r row) has(word string) bool {
	for _, w := range r.with {
		if w == word {
			return true
		}
	}
	return false
}

// value returns what stands behind "word=", or a default.
func (r row) value(word, usual string) string {
	for _, w := range r.with {
		if v, ok := strings.CutPrefix(w, word+"="); ok {
			return v
		}
	}
	return usual
}

// faults reports whether the module is stopped by the host, for the cause that
// is the outcome.
func (r row) faults() bool { return r.outcome != holds && r.outcome != limit && r.outcome != takes }

// short is how many of its phases the short form takes.
func (r row) short() int {
	if n, err := strconv.Atoi(r.number); err == nil && n%3 != 0 {
		return 0
	}
	return 1
}

// everyPhase is what "all" means: those of a relay without AUTH, but for reset,
// which needs a module that was there before.
var everyPhase = []mail.Phase{
	mail.PhaseMessage, mail.PhaseConnect, mail.PhaseTLS, mail.PhaseHelo, mail.PhaseMail, mail.PhaseRcpt, mail.PhaseData, mail.PhaseHeaders,
	mail.PhaseBody, mail.PhaseQueued, mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult, mail.PhaseBounce, mail.PhaseTick,
}

// rows reads the table.
func rows(t *testing.T) []row {
	t.Helper()
	text, err := os.ReadFile("testdata/attacks")
	if err != nil {
		t.Fatal(err)
	}
	var all []row
	for n, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		r, err := parse(strings.Fields(line))
		if err != nil {
			t.Fatalf("testdata/attacks:%d: %v", n+1, err)
		}
		all = append(all, r...)
	}
	return all
}

// parse reads the columns of a line. "name/0-9" stands for ten rows.
func parse(col []string) ([]row, error) {
	if len(col) != 5 {
		return nil, fmt.Errorf("%d columns, not module, class, phases, with, outcome", len(col))
	}
	r := row{class: col[1], with: strings.Split(col[3], ","), outcome: col[4]}
	if col[2] == "all" {
		r.phases = everyPhase
	} else {
		for _, name := range strings.Split(col[2], ",") {
			p, ok := phaseOf(name)
			if !ok {
				return nil, fmt.Errorf("phase %q", name)
			}
			r.phases = append(r.phases, p)
		}
	}
	module, numbers, _ := strings.Cut(col[0], "/")
	r.module = module
	var out []row
	for _, n := range expand(numbers) {
		r.number = n
		out = append(out, r)
	}
	return out, nil
}

func phaseOf(name string) (mail.Phase, bool) {
	for p := mail.PhaseConnect; p <= mail.PhaseReset; p++ {
		if p.String() == name {
			return p, true
		}
	}
	return 0, false
}

// expand makes a list of "2,5-7".
func expand(s string) []string {
	var out []string
	for _, part := range strings.Split(s, ",") {
		var from, to int
		if n, _ := fmt.Sscanf(part, "%d-%d", &from, &to); n == 2 {
			for ; from <= to; from++ {
				out = append(out, fmt.Sprint(from))
			}
			continue
		}
		out = append(out, part)
	}
	return out
}

// Folders with modules, as seen from this one.
const (
	ours   = "testdata"
	shared = "../../internal/wasmhost/testdata/hostile"
	honest = "../../internal/wasmhost/testdata/guests/fields.wasm"
)

// load returns the octets of a module: one that is made here, or from a folder.
func (r row) load(t *testing.T) []byte {
	t.Helper()
	if b, ok := giants()[r.module]; ok {
		return b()
	}
	for _, dir := range []string{ours, shared} {
		if b, err := os.ReadFile(filepath.Join(dir, r.module+".wasm")); err == nil {
			return everywhere(b)
		}
	}
	t.Fatalf("there is no module %s", r.module)
	return nil
}
