// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// outbound is a queued message to three recipients, the last one done with.
func outbound(f *fixture, steps ...Step) (*Outbound, *mail.Envelope) {
	env := &mail.Envelope{ID: "01", Sender: "s@a.test", Recipients: []mail.Recipient{
		{Address: "x@b.test"}, {Address: "y@c.test", Route: "chosen"}, {Address: "z@d.test", Removed: true},
	}, NotBefore: time.Unix(1, 0)}
	h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\n\r\n"))
	return f.pipeline(steps...).Outbound(env, h, mail.BytesBody("body\r\n")), env
}

func TestRoute(t *testing.T) {
	choose := func(route string) func(*Hook) (mail.Verdict, error) {
		return func(h *Hook) (mail.Verdict, error) {
			if err := h.SetRoute(1-h.Arg(), "other", ""); !errors.Is(err, abi.ErrWrongPhase) {
				t.Errorf("another recipient's route can be set: %v", err)
			}
			return mail.Continue, h.SetRoute(-1, route, "")
		}
	}
	hop := func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.SetRoute(h.Arg(), "", "mx.test:25") }
	outside := func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.SetOutsideHop(h.Arg(), "mx.test:25") }
	for _, c := range []struct {
		name  string
		steps []Step
		want  string
	}{
		{"no stage", nil, `continue "" "" <nil>; continue "chosen" "" <nil>`},
		{"a route", []Step{{Stage: script{mail.PhaseRoute: choose("slow")}}}, `continue "slow" "" <nil>; continue "slow" "" <nil>`},
		{"a next hop", []Step{{Stage: script{mail.PhaseRoute: hop}, When: domainIs("c.test")}}, `continue "" "" <nil>; continue "" "mx.test:25" <nil>`},
		{"a next hop outside", []Step{{Stage: script{mail.PhaseRoute: outside}, When: domainIs("c.test")}}, `continue "" "" <nil>; continue "" "outside mx.test:25" <nil>`},
		{"a next hop, outside no more", []Step{{Stage: script{mail.PhaseRoute: outside}}, {Stage: script{mail.PhaseRoute: hop}}}, `continue "" "mx.test:25" <nil>; continue "" "mx.test:25" <nil>`},
		{"the last one counts", []Step{{Stage: script{mail.PhaseRoute: hop}}, {Stage: script{mail.PhaseRoute: choose("slow")}}}, `continue "slow" "" <nil>; continue "slow" "" <nil>`},
		{"reject", []Step{{Stage: script{mail.PhaseRoute: verdict(mail.Reject)}, When: domainIs("b.test")}}, `reject "" "" 550 5.7.1 refused by policy; continue "chosen" "" <nil>`},
		{"hold", []Step{{Stage: script{mail.PhaseRoute: verdict(mail.Defer)}}}, `defer "" "" <nil>; defer "chosen" "" <nil>`},
		{"by what is known", []Step{{Stage: script{mail.PhaseRoute: verdict(mail.Tempfail)}, When: fact("delivery.route", "mx")}, {Stage: script{mail.PhaseRoute: verdict(mail.Discard)}, When: fact("delivery.attempt", int64(3))}},
			`tempfail "" "" 451 4.7.1 not now, try again later; tempfail "chosen" "" 451 4.7.1 not now, try again later`},
		{"not permitted", []Step{{Stage: script{mail.PhaseRoute: verdict(mail.Quarantine)}}}, `tempfail "" "" 451 4.3.0 local error, try again later; tempfail "chosen" "" 451 4.3.0 local error, try again later`},
		{"failed", []Step{{Stage: script{mail.PhaseRoute: trap}, OnError: OnErrorQuarantine, Name: "s"}}, `defer "" "" 451 4.3.0 stage s failed; defer "chosen" "" 451 4.3.0 stage s failed`},
	} {
		o, env := outbound(&fixture{}, c.steps...)
		var got []string
		for i := range 2 {
			d := o.Route(t.Context(), i, Delivery{Route: "mx", Attempt: 3})
			reply := "<nil>"
			if d.Reply != nil {
				reply = d.Reply.Line()
			}
			if d.Outside {
				d.NextHop = "outside " + d.NextHop
			}
			got = append(got, fmt.Sprintf("%v %q %q %s", d.Verdict, d.Route, d.NextHop, reply))
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, s, c.want)
		}
		if env.Recipients[0].Route != "" || env.Recipients[1].Route != "chosen" {
			t.Errorf("%s: the queue's envelope was changed", c.name)
		}
		o.Close()
	}
}

// fact is a condition on one fact.
func fact(name string, want any) Condition {
	return conditionFunc(func(fact func(string) (any, bool)) (bool, error) {
		v, ok := fact(name)
		return ok && v == want, nil
	})
}

func TestPredeliver(t *testing.T) {
	f := &fixture{}
	edit := script{mail.PhasePredeliver: func(h *Hook) (mail.Verdict, error) {
		if h.Visible(0) || !h.Visible(1) || h.Visible(2) || h.Arg() != 4 || h.Delivery().NextHop != "mx.test" {
			t.Errorf("the stage sees %+v, attempt %d to %s", h.Envelope().Recipients, h.Arg(), h.Delivery().NextHop)
		}
		if err := h.DeleteHeader(0); !errors.Is(err, abi.ErrDenied) {
			t.Errorf("our own field can be deleted: %v", err)
		}
		_, err := h.AddHeader(0, "X-Sent", "1")
		return mail.Continue, errors.Join(err, h.SetSender("bounce+1@a.test"), h.WriteBody([]byte("new"), true))
	}}
	o, env := outbound(f, Step{Name: "s", Stage: edit})
	d := o.Predeliver(t.Context(), Delivery{NextHop: "mx.test", Attempt: 4}, []int{1, 2, 7})
	body, _ := io.ReadAll(io.NewSectionReader(d.Body, 0, d.Body.Size()))
	if d.Verdict != mail.Continue || !d.Changed || d.Sender != "bounce+1@a.test" || d.Header.Count("X-Sent") != 1 || string(body) != "new\r\n" {
		t.Errorf("the decision is %+v, body %q", d, body)
	}
	if env.Sender != "s@a.test" || o.header.Count("X-Sent") != 0 {
		t.Error("what is queued was changed")
	}
	if n := f.live.Load(); n != 1 {
		t.Errorf("%d bodies before the end of the attempt", n)
	}
	if o.Close(); f.live.Load() != 0 {
		t.Errorf("%d bodies are left", f.live.Load())
	}
	plain, _ := outbound(f, Step{Name: "s", Stage: script{mail.PhasePredeliver: verdict(mail.Continue)}})
	if d := plain.Predeliver(t.Context(), Delivery{}, []int{0}); d.Changed || d.Body.Size() != 6 || d.Sender != "s@a.test" {
		t.Errorf("an attempt that no stage changed: %+v", d)
	}
}

func TestAFailureBeforeAnAttemptLosesNothing(t *testing.T) {
	half := func(h *Hook) (mail.Verdict, error) {
		return 0, errors.Join(h.WriteBody([]byte("half"), true), h.SetSender("half@a.test"), errors.New("trap"))
	}
	for policy, want := range map[OnError]mail.Verdict{"": mail.Tempfail, OnErrorSkip: mail.Continue, OnErrorReject: mail.Tempfail, OnErrorQuarantine: mail.Defer} {
		o, _ := outbound(&fixture{}, Step{Name: "s", Stage: script{mail.PhasePredeliver: half}, OnError: policy})
		if d := o.Predeliver(t.Context(), Delivery{}, []int{0}); d.Verdict != want || d.Changed || d.Sender != "s@a.test" || d.Body.Size() != 6 {
			t.Errorf("on_error %q: %+v", policy, d)
		}
	}
}

// A message that no attempt gets past a stage must not be tried until it expires
// and is returned: it is held for somebody to look at.
func TestAMessageOnWhichAStageTrapsInDeliveryIsHeld(t *testing.T) {
	f, poison := &fixture{}, NewPoison()
	want := []mail.Verdict{mail.Tempfail, mail.Tempfail, mail.Defer}
	for n, v := range want {
		for _, rcpts := range [][]int{{0}, {1}} { // one round may have many transactions
			o, _ := outbound(f, Step{Name: "s", Stage: script{mail.PhaseRoute: fails("trap"), mail.PhasePredeliver: fails("trap")}})
			o.p.o.Poison = poison
			if d := o.Predeliver(t.Context(), Delivery{Attempt: n + 1}, rcpts); d.Verdict != v || d.Stage != "s" {
				t.Errorf("attempt %d at %v: %v by %q", n+1, rcpts, d.Verdict, d.Stage)
			}
			if d := o.Route(t.Context(), rcpts[0], Delivery{Attempt: n + 1}); d.Verdict != v {
				t.Errorf("attempt %d, the route of %v: %v", n+1, rcpts, d.Verdict)
			}
			o.Close()
		}
	}
	o, _ := outbound(f, Step{Name: "s", Stage: script{mail.PhasePredeliver: fails("pool")}})
	o.p.o.Poison = poison
	if d := o.Predeliver(t.Context(), Delivery{}, []int{0}); d.Verdict != mail.Tempfail {
		t.Errorf("a machine that is overloaded holds mail: %v", d.Verdict)
	}
}

func TestTheCodeOfTheStagesOfDeliveryIsNoted(t *testing.T) {
	s := script{mail.PhaseRoute: verdict(mail.Continue), mail.PhasePredeliver: verdict(mail.Continue)}
	o, _ := outbound(&fixture{}, Step{Name: "a", Code: "sha256:01", Stage: s}, Step{Name: "b", Code: "sha256:02", Stage: s})
	o.Route(t.Context(), 0, Delivery{})
	o.Predeliver(t.Context(), Delivery{}, []int{0})
	if got := fmt.Sprint(o.Stages()); got != "[a@01 b@02]" {
		t.Errorf("noted %s", got)
	}
}

func TestResult(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	wait := func(h *Hook) (mail.Verdict, error) {
		o := h.Delivery().Outcomes[0]
		if o.Reply.Code != 451 || !h.Visible(0) || h.Visible(1) || h.Delivery().Last[0].Reply.Code != 421 {
			t.Errorf("the stage sees %+v", h.Delivery())
		}
		return mail.Continue, errors.Join(h.SetQueue(abi.QueueNotBefore, at.UnixMilli()))
	}
	half := func(h *Hook) (mail.Verdict, error) {
		return 0, errors.Join(h.SetQueue(abi.QueueNotBefore, 5), errors.New("trap"))
	}
	for _, c := range []struct {
		name  string
		steps []Step
		want  ResultDecision
	}{
		{"no stage", nil, ResultDecision{}},
		{"when to try again", []Step{{Stage: script{mail.PhaseResult: wait}}}, ResultDecision{NotBefore: at}},
		{"given up", []Step{{Name: "s", Stage: script{mail.PhaseResult: verdict(mail.Reject)}}}, ResultDecision{Verdict: mail.Reject, Stage: "s"}},
		{"tried again", []Step{{Name: "s", Stage: script{mail.PhaseResult: verdict(mail.Defer)}}}, ResultDecision{Verdict: mail.Defer, Stage: "s"}},
		{"a failure changes nothing", []Step{{Name: "s", Stage: script{mail.PhaseResult: half}, OnError: OnErrorReject}}, ResultDecision{}},
		{"tempfail is not permitted", []Step{{Name: "s", Stage: script{mail.PhaseResult: verdict(mail.Tempfail)}}}, ResultDecision{}},
	} {
		o, _ := outbound(&fixture{}, c.steps...)
		got := o.Result(t.Context(), Delivery{Attempt: 2,
			Outcomes: map[int]mail.Outcome{0: {Reply: mail.Reply{Code: 451}}}, Last: map[int]mail.Outcome{0: {Reply: mail.Reply{Code: 421}}}})
		if (got.Verdict == mail.Reject) != (got.Reply != nil) {
			t.Errorf("%s: reply %v", c.name, got.Reply)
		}
		if got.Reply = nil; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestBounce(t *testing.T) {
	edit := func(h *Hook) (mail.Verdict, error) {
		if v, _ := h.Header().Get("Subject"); v != "hello" {
			t.Errorf("the header of the message is not there: %q", v)
		}
		_, err := h.AddHeader(0, "X-Case", "42")
		_, bad := h.AddHeader(0, "X-Case", "a\r\nB: c")
		if !errors.Is(bad, abi.ErrBadArgument) {
			t.Errorf("a header can be injected: %v", bad)
		}
		return mail.Continue, errors.Join(err, h.SetReply(550, mail.Enhanced{5, 1, 1}, "no longer here"))
	}
	o, _ := outbound(&fixture{}, Step{Name: "s", Stage: script{mail.PhaseBounce: edit}})
	d := o.Bounce(t.Context(), 0, Delivery{})
	if d.Suppress || string(d.Header) != "X-Case: 42\r\n" || d.Reply.Line() != "550 5.1.1 no longer here" {
		t.Errorf("%+v", d)
	}
	if n := o.header.Count("X-Case"); n != 0 {
		t.Error("the field went into the message")
	}
	o, _ = outbound(&fixture{}, Step{Name: "s", Stage: script{mail.PhaseBounce: verdict(mail.Discard)}, When: domainIs("b.test")})
	if a, b := o.Bounce(t.Context(), 0, Delivery{}), o.Bounce(t.Context(), 1, Delivery{}); !a.Suppress || a.Stage != "s" || b.Suppress {
		t.Errorf("%+v %+v", a, b)
	}
	o, _ = outbound(&fixture{}, Step{Name: "s", Stage: script{mail.PhaseBounce: trap}, OnError: OnErrorQuarantine})
	if d := o.Bounce(t.Context(), 0, Delivery{}); d.Suppress {
		t.Error("a stage that fails suppresses a report")
	}
}

// An attempt is a lifetime of its own.
func TestTheSlotOfAnAttempt(t *testing.T) {
	n := 0
	keep := func(h *Hook) (mail.Verdict, error) {
		if h.Slot(ScopeMessage).Value == nil {
			h.Slot(ScopeMessage).Value = &ending{n: &n}
		}
		if h.Slot(ScopeSession) != nil {
			t.Error("delivery has a session")
		}
		return mail.Continue, nil
	}
	o, _ := outbound(&fixture{}, Step{Name: "s", Stage: script{mail.PhaseRoute: keep, mail.PhaseResult: keep}})
	o.Route(t.Context(), 0, Delivery{})
	o.Result(t.Context(), Delivery{Outcomes: map[int]mail.Outcome{0: {}}})
	o.Close()
	if n != 1 {
		t.Errorf("ended %d times", n)
	}
}
