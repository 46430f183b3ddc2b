// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// emitted says what was emitted in one line.
func emitted(es []Emission) string {
	var parts []string
	for _, e := range es {
		body, _ := io.ReadAll(io.NewSectionReader(e.Content, 0, e.Content.Size()))
		parts = append(parts, fmt.Sprintf("%s: %q to %s, %q", e.Stage, e.Sender, joined(e.Recipients), body))
	}
	return strings.Join(parts, "; ")
}

func TestWhatIsEmittedGoesOut(t *testing.T) {
	emit := func(v mail.Verdict, err error) func(h *Hook) (mail.Verdict, error) {
		return func(h *Hook) (mail.Verdict, error) { return v, errors.Join(h.Emit(note("r@b.test")), err) }
	}
	const one = `a: "" to r@b.test, "a\r\nb\r\n"`
	for _, c := range []struct {
		name  string
		steps []Step
		want  string
	}{
		{"accepted", []Step{{Name: "a", Stage: stageFunc(emit(mail.Continue, nil))}}, one},
		{"refused by itself", []Step{{Name: "a", Stage: stageFunc(emit(mail.Reject, nil))}}, one},
		{"refused by a later one", []Step{{Name: "a", Stage: stageFunc(emit(mail.Continue, nil))}, {Name: "b", Stage: says(mail.Tempfail)}}, one},
		{"discarded", []Step{{Name: "a", Stage: stageFunc(emit(mail.Discard, nil))}}, one},
		{"failed", []Step{{Name: "a", Stage: stageFunc(emit(mail.Continue, errors.New("trap")))}}, ""},
		{"not permitted", []Step{{Name: "a", Stage: stageFunc(emit(mail.Skip, nil))}}, ""},
	} {
		f := &fixture{}
		tx := f.begin(f.pipeline(c.steps...), "x@b.test")
		if got := emitted(runMessage(tx, "").Emitted); got != c.want {
			t.Errorf("%s: %s", c.name, got)
		}
		if got := tx.Emitted(); got != nil {
			t.Errorf("%s: told twice: %v", c.name, got)
		}
	}
}

func TestEmittedInOtherPhases(t *testing.T) {
	f := &fixture{}
	emit := func(h *Hook) (mail.Verdict, error) {
		return mail.Continue, h.Emit(Emission{Sender: "s@a.test", Recipients: []mail.Address{"r@b.test"}, Header: []byte("A: b\r\n\r\n"), OfMessage: h.Phase() != mail.PhaseTick})
	}
	p := f.pipeline(Step{Name: "s", Stage: script{mail.PhaseQueued: emit, mail.PhaseResult: emit, mail.PhaseBounce: emit, mail.PhaseTick: emit}}, Step{Name: "t", Stage: script{mail.PhaseTick: emit}})
	tx := f.begin(p, "x@b.test")
	r := runMessage(tx, "")
	if r.Emitted != nil {
		t.Errorf("emitted too early: %v", r.Emitted)
	}
	const of = `s: "s@a.test" to r@b.test, "body\r\n"`
	tx.Queued(t.Context(), r.Messages[0])
	if got := emitted(tx.Emitted()); got != of {
		t.Errorf("queued: %s", got)
	}
	o := p.Outbound(r.Messages[0].Envelope, r.Messages[0].Header, r.Messages[0].Body)
	o.Result(t.Context(), Delivery{Outcomes: map[int]mail.Outcome{0: {}}})
	o.Bounce(t.Context(), 0, Delivery{})
	if got := emitted(o.Emitted()); got != of+"; "+of {
		t.Errorf("delivery: %s", got)
	}
	if got := emitted(p.Tick(t.Context(), "s")); got != `s: "s@a.test" to r@b.test, ""` {
		t.Errorf("tick: %s", got)
	}
	if p.Tick(t.Context(), "nobody") != nil {
		t.Error("a stage that is not there emits")
	}
}

func TestADryHookEmitsNothing(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		h.OnCommit(func() error { t.Error("an effect outside of the journal"); return nil })
		_, err := h.AddHeader(0, "X-Dry", fmt.Sprint(h.Dry()))
		return mail.Continue, errors.Join(err, h.Emit(note("r@b.test")))
	})
	p := New(Options{Name: "p", Dry: true, Steps: []Step{{Name: "s", Stage: s}}})
	r := runMessage(f.begin(p, "x@b.test"), "")
	if v, _ := r.Messages[0].Header.Get("X-Dry"); r.Emitted != nil || v != "true" {
		t.Errorf("emitted %v, header %q", r.Emitted, v)
	}
}

func TestEmissionsThatAreRefused(t *testing.T) {
	to := []mail.Address{"r@b.test"}
	f := &fixture{}
	p := New(Options{Name: "p", MaxHeader: 100, MaxBody: 100})
	h := NewHook(p, "s", mail.PhaseMessage, 0, f.begin(p, "x@b.test").Envelope(), mail.Header{}, nil)
	for _, c := range []struct {
		name string
		e    Emission
		want abi.Errno
	}{
		{"nobody", Emission{Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"many", Emission{Recipients: make([]mail.Address, maxEmittedRcpt+1), Header: []byte("A: b\r\n")}, abi.ErrLimit},
		{"the null recipient", Emission{Recipients: []mail.Address{""}, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"the null recipient beside a sender", Emission{Sender: "s@a.test", Recipients: []mail.Address{""}, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"no address", Emission{Recipients: []mail.Address{"r"}, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"a recipient with a command", Emission{Recipients: []mail.Address{"r@b.test>\r\nDATA"}, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"no sender address", Emission{Sender: "s", Recipients: to, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"the same bad address twice", Emission{Sender: "r", Recipients: []mail.Address{"r"}, Header: []byte("A: b\r\n")}, abi.ErrBadArgument},
		{"no header", Emission{Recipients: to}, abi.ErrBadArgument},
		{"an empty line alone", Emission{Recipients: to, Header: []byte("\r\n")}, abi.ErrBadArgument},
		{"no name", Emission{Recipients: to, Header: []byte("b\r\n")}, abi.ErrBadArgument},
		{"an open line", Emission{Recipients: to, Header: []byte("A: b")}, abi.ErrBadArgument},
		{"bare LF", Emission{Recipients: to, Header: []byte("A: b\nB: c\r\n")}, abi.ErrBadArgument},
		{"bare CR", Emission{Recipients: to, Header: []byte("A: b\rB: c\r\n")}, abi.ErrBadArgument},
		{"NUL", Emission{Recipients: to, Header: []byte("A: \x00\r\n")}, abi.ErrBadArgument},
		{"a body behind the header", Emission{Recipients: to, Header: []byte("A: b\r\n\r\nx\r\n")}, abi.ErrBadArgument},
		{"a long header", Emission{Recipients: to, Header: []byte(strings.Repeat("A: b\r\n", 20))}, abi.ErrLimit},
		{"a long body", Emission{Recipients: to, Header: []byte("A: b\r\n"), Body: []byte(strings.Repeat("x", 101))}, abi.ErrLimit},
		{"NUL in the body", Emission{Recipients: to, Header: []byte("A: b\r\n"), Body: []byte{0}}, abi.ErrBadArgument},
		{"two bodies", Emission{Recipients: to, Header: []byte("A: b\r\n"), Body: []byte("x"), OfMessage: true}, abi.ErrBadArgument},
		{"no message at hand", Emission{Recipients: to, Header: []byte("A: b\r\n"), OfMessage: true}, abi.ErrNotFound},
	} {
		if err := h.Emit(c.e); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for i := range maxEmissions + 1 {
		if err := h.Emit(note("r@b.test")); (err == nil) != (i < maxEmissions) {
			t.Errorf("number %d: %v", i, err)
		}
	}
}
