// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// fakeHooks are stages of the routes with a pipeline. do is asked in the phases
// that it is for; nil goes on.
type fakeHooks struct {
	r  *rig
	do map[mail.Phase]func(env *mail.Envelope, f Facts) Ruling
}

func (h *fakeHooks) Wants(_ string, p mail.Phase) bool { return h.do[p] != nil }

func (h *fakeHooks) Begin(_ string, env *mail.Envelope, c Content) Attempt {
	return &fakeAttempt{h, env, c}
}

type fakeAttempt struct {
	h   *fakeHooks
	env *mail.Envelope
	c   Content
}

func (a *fakeAttempt) ask(p mail.Phase, f Facts) Ruling {
	r := a.h.do[p](a.env, f)
	r.Stage = "s"
	return r
}

func (a *fakeAttempt) Route(_ context.Context, _ int, f Facts) Choice {
	return Choice{Ruling: a.ask(mail.PhaseRoute, f)}
}

func (a *fakeAttempt) Predeliver(_ context.Context, f Facts, _ []int) Edited {
	return Edited{Ruling: a.ask(mail.PhasePredeliver, f)}
}

func (a *fakeAttempt) Result(_ context.Context, f Facts) Review {
	return Review{Ruling: a.ask(mail.PhaseResult, f)}
}

func (a *fakeAttempt) Bounce(_ context.Context, rcpt int, f Facts) Notice {
	r := a.ask(mail.PhaseBounce, f)
	return Notice{Suppress: r.Verdict == mail.Discard, Header: fmt.Appendf(nil, " +%d", rcpt)}
}

// End is where what was emitted is queued: nothing of the message is settled yet.
func (a *fakeAttempt) End() { a.h.r.event("%s ends", a.env.ID) }

// hookRig is a rig whose route "internet" has stages.
func hookRig(t *testing.T, phase mail.Phase, do func(env *mail.Envelope, f Facts) Ruling) *rig {
	h := &fakeHooks{do: map[mail.Phase]func(*mail.Envelope, Facts) Ruling{phase: do}}
	r := newRig(t, func(o *Options) { o.Hooks = h })
	h.r = r
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Pipeline: "p"})
	r.setRoute(&Route{Name: "plain", Kind: ViaMX})
	r.hosts("one.example", "two.example", "plain.example")
	r.rules["plain.example"] = "plain"
	return r
}

// A bug in a phase costs its message another try, or nothing where the decision
// has been made; all that was leased and opened is given back, as each rig looks.
func TestABugInTheStagesLosesNothing(t *testing.T) {
	for phase, want := range map[mail.Phase]string{
		mail.PhaseRoute:      "bug ends\nbug/0 deferred: 451 4.3.0 local error, try again later; cause: panic while stages were asked\nbug/1 deferred: 451 4.3.0 local error, try again later; cause: panic while stages were asked\nfine ends\nfine/0 delivered: 250 2.0.0 ok\n",
		mail.PhasePredeliver: "bug ends\nbug/0 deferred: 451 4.3.0 local error, try again later; cause: panic while stages were asked\nbug/1 deferred: 451 4.3.0 local error, try again later; cause: panic while stages were asked\nfine ends\nfine/0 delivered: 250 2.0.0 ok\n",
		mail.PhaseResult:     "bug ends\nbug/0 delivered: 250 2.0.0 ok\nbug/1 failed: 550 5.1.1 no such user\nbug: report to <s@example.net> on [1] with 16 octets of header\nfine ends\nfine/0 delivered: 250 2.0.0 ok\n",
		mail.PhaseBounce:     "bug ends\nbug/0 delivered: 250 2.0.0 ok\nbug/1 failed: 550 5.1.1 no such user\nbug: report to <s@example.net> on [1] with 16 octets of header\nfine ends\nfine/0 delivered: 250 2.0.0 ok\n",
	} {
		t.Run(phase.String(), func(t *testing.T) {
			r := hookRig(t, phase, func(env *mail.Envelope, _ Facts) Ruling {
				if env.ID == "bug" {
					panic("scripted")
				}
				return Ruling{}
			})
			r.queue.enqueue(r.envelope("bug", "s@example.net", "x@one.example", "bad@one.example"))
			r.idle()
			r.queue.enqueue(r.envelope("fine", "s@example.net", "x@two.example"))
			r.idle()
			got := r.events()
			if got = without(got, "dial", "gets"); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// A stage that hangs keeps no other route's mail waiting, and the end of Run
// waits for it and loses nothing.
func TestStagesThatHangHoldUpNobody(t *testing.T) {
	for _, phase := range []mail.Phase{mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult} {
		t.Run(phase.String(), func(t *testing.T) {
			asked, gate := make(chan struct{}, 10), make(chan struct{})
			r := hookRig(t, phase, func(*mail.Envelope, Facts) Ruling {
				asked <- struct{}{}
				<-gate
				return Ruling{}
			})
			r.queue.enqueue(r.envelope("slow", "s@example.net", "x@one.example"))
			<-asked
			r.queue.enqueue(r.envelope("plain", "s@example.net", "x@plain.example"))
			r.settledWhen(r.done("plain"))
			stopped := make(chan error)
			go func() { stopped <- r.s.Shutdown(context.Background()) }()
			for !r.s.halted() {
				runtime.Gosched()
			}
			close(gate)
			if err := <-stopped; err != nil {
				t.Fatal(err)
			}
			if done := r.holds(r.done("slow")); done != (phase != mail.PhaseRoute) {
				t.Errorf("delivered: %v", done)
			}
		})
	}
}

// The message before is not kept waiting by stages that look at the next one.
func TestAStageDoesNotStopTheConnection(t *testing.T) {
	gate := make(chan struct{})
	r := hookRig(t, mail.PhasePredeliver, func(env *mail.Envelope, _ Facts) Ruling {
		if env.ID == "m2" {
			<-gate
		}
		return Ruling{}
	})
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Pipeline: "p", Connections: 1})
	for _, id := range []string{"m1", "m2", "m3"} {
		r.queue.enqueue(r.envelope(id, "s@example.net", "x@one.example"))
	}
	r.settledWhen(r.done("m1"))
	close(gate)
	r.idle()
	if !r.holds(r.done("m2")) || !r.holds(r.done("m3")) || r.net.dials != 1 {
		t.Errorf("not all is delivered, over %d connections", r.net.dials)
	}
}

// What fails together is in one report, without those that a stage keeps quiet.
func TestStagesAskedAboutOneReport(t *testing.T) {
	r := hookRig(t, mail.PhaseBounce, func(_ *mail.Envelope, f Facts) Ruling {
		if o, quiet := f.Outcomes[1]; quiet && o.Reply.Code == 550 && f.Attempt == 1 {
			return Ruling{Verdict: mail.Discard}
		}
		return Ruling{}
	})
	r.queue.enqueue(r.envelope("m", "s@example.net", "bad0@one.example", "bad1@one.example", "bad2@one.example"))
	r.idle()
	want := "m ends\nm/0 failed: 550 5.1.1 no such user\nm/1 failed: 550 5.1.1 no such user\nm/2 failed: 550 5.1.1 no such user\n" +
		"m: report to <s@example.net> on [0 2] with 14 octets of header +0 +2\n"
	if got := without(r.events(), "dial", "gets"); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A next hop that cannot be reached is an attempt too.
func TestStagesAreToldThatNoHostAnswers(t *testing.T) {
	var f Facts
	r := hookRig(t, mail.PhaseResult, func(_ *mail.Envelope, got Facts) Ruling {
		f = got
		return Ruling{Verdict: mail.Defer}
	})
	r.net.set("one.example", "refuse")
	r.queue.enqueue(r.envelope("m", "s@example.net", "x@one.example", "y@one.example"))
	r.idle()
	if len(f.Outcomes) != 2 || f.NextHop != "one.example" || f.Attempt != 1 || f.Outcomes[1].Reply.Code != 451 {
		t.Errorf("%+v", f)
	}
	if st := r.queue.byID["m"].states[1]; st.Held == "" || st.Attempts != 1 {
		t.Errorf("%+v", st)
	}
}

// without leaves out lines that hold a word.
func without(text string, words ...string) string {
	var out string
	for line := range strings.Lines(text) {
		if !slices.ContainsFunc(words, func(w string) bool { return slices.Contains(strings.Fields(line), w) }) {
			out += line
		}
	}
	return out
}
