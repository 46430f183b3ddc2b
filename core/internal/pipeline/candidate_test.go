// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// compares collects what candidates did.
type compares struct {
	mu   sync.Mutex
	seen []*Comparison
}

func (c *compares) Compared(x *Comparison) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, x)
}

func (c *compares) lines() string {
	var out []string
	for _, x := range c.seen {
		out = append(out, fmt.Sprintf("%v %s", x.Phase, strings.Join(x.Differences(), "; ")))
	}
	return strings.Join(out, "\n")
}

func adds(name, value string) Stage {
	return stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.AddHeader(-1, name, value)
		return mail.Continue, err
	})
}

func writes(text string) Stage {
	return stageFunc(func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.WriteBody([]byte(text), true) })
}

func rejects(code int, text string) Stage {
	return stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Reject, h.SetReply(code, mail.Enhanced{}, text)
	})
}

type trapped struct{ cause string }

func (e trapped) Error() string      { return "it trapped" }
func (e trapped) FaultCause() string { return e.cause }

func traps(cause string) Stage { return stageFunc(fails(cause)) }

func fails(cause string) func(*Hook) (mail.Verdict, error) {
	return func(*Hook) (mail.Verdict, error) { return mail.Continue, trapped{cause} }
}

func TestShadowIsComparedAndNeverApplied(t *testing.T) {
	for _, c := range []struct {
		name            string
		live, candidate Stage
		want            string // differences
	}{
		{"the same", adds("X-New", "1"), adds("X-New", "1"), "message "},
		{"verdict", says(mail.Continue), rejects(550, "no"), "message continue -> reject 550 5.7.1 no"},
		{"reply", rejects(550, "no"), rejects(551, "never"), "message reject 550 5.7.1 no -> reject 551 5.7.1 never"},
		{"edit", adds("X-New", "1"), adds("X-New", "2"), "message only live: hdr_add X-New 1; only candidate: hdr_add X-New 2"},
		{"the same body", writes("a\n"), writes("a\n"), "message "},
		{"body", writes("a\n"), writes("b\n"), "message body 8e4621379786ef42 -> 679e273f78fc8f8b"},
		{"candidate traps", says(mail.Continue), traps("trap"), "message candidate failed: it trapped"},
		{"live traps", traps("trap"), says(mail.Continue), "message failed: it trapped -> continue"},
		{"candidate panics", says(mail.Continue), stageFunc(func(*Hook) (mail.Verdict, error) { panic("oh") }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			outcome := func(cand *Candidate, seen *compares) (string, *fixture) {
				f := &fixture{}
				p := New(Options{Name: "test", Steps: []Step{{Name: "s", Stage: c.live, Candidate: cand}}, Comparer: seen,
					NewBody: func() BodyWriter { return &memBody{live: &f.live} }})
				tx := f.begin(p, "r@b.test")
				r := runMessage(tx, MixedTempfail)
				for _, m := range r.Messages {
					release(m.Body)
				}
				tx.Close()
				return outline(r) + strings.Join(headers(r), "|"), f
			}
			alone, _ := outcome(nil, nil)
			seen := &compares{}
			beside, f := outcome(&Candidate{Stage: c.candidate, Mode: Shadow}, seen)
			if alone != beside {
				t.Errorf("with a shadow the message became %s, without %s", beside, alone)
			}
			if len(seen.seen) != 1 || c.want != "" && seen.lines() != c.want {
				t.Errorf("compared as\n%s\nwant\n%s", seen.lines(), c.want)
			}
			if f.live.Load() != 0 {
				t.Errorf("%d bodies are left", f.live.Load())
			}
		})
	}
}

func release(b mail.Body) {
	if r, ok := b.(releaser); ok {
		r.Release()
	}
}

func headers(r Result) []string {
	var hs []string
	for _, m := range r.Messages {
		hs = append(hs, string(m.Header.AppendTo(nil)))
	}
	return hs
}

// meets is a stage that waits until it runs beside another one.
func meets(here, there chan struct{}) Stage {
	return stageFunc(func(*Hook) (mail.Verdict, error) {
		close(here)
		<-there
		return mail.Continue, nil
	})
}

func TestShadowRunsBesideTheLiveStage(t *testing.T) {
	a, b, seen := make(chan struct{}), make(chan struct{}), &compares{}
	f := &fixture{}
	p := New(Options{Steps: []Step{{Name: "s", Stage: meets(a, b), Candidate: &Candidate{Stage: meets(b, a), Mode: Shadow}}}, Comparer: seen})
	if got := outline(runMessage(f.begin(p, "r@b.test"), MixedTempfail)); got != "queue r@b.test" || seen.lines() != "message " {
		t.Errorf("%s, compared %q", got, seen.lines())
	}
}

func TestShadowIsDryAndSideEffectsAreNot(t *testing.T) {
	var live, shadow bool
	side := func(done *bool) Stage {
		return stageFunc(func(h *Hook) (mail.Verdict, error) {
			h.OnCommit(func() error { *done = true; return nil })
			return mail.Continue, h.Emit(Emission{Recipients: []mail.Address{"x@y.test"}, Header: []byte("A: b\r\n")})
		})
	}
	f := &fixture{}
	p := New(Options{Steps: []Step{{Name: "s", Stage: side(&live), Candidate: &Candidate{Stage: side(&shadow), Mode: Shadow}}}})
	r := runMessage(f.begin(p, "r@b.test"), MixedTempfail)
	if !live || shadow || len(r.Emitted) != 1 {
		t.Errorf("effects of live %v, of the shadow %v, emitted %d", live, shadow, len(r.Emitted))
	}
}

// inPhases is a stage of other phases.
type inPhases struct {
	phases mail.PhaseSet
	run    func(h *Hook) (mail.Verdict, error)
}

func (s inPhases) Phases() mail.PhaseSet                                { return s.phases }
func (s inPhases) Run(_ context.Context, h *Hook) (mail.Verdict, error) { return s.run(h) }

func TestShadowInPhasesThatTheLiveStageHasNot(t *testing.T) {
	seen := &compares{}
	early := inPhases{mail.Phases(mail.PhaseMail, mail.PhaseMessage), func(*Hook) (mail.Verdict, error) { return mail.Tempfail, nil }}
	f := &fixture{}
	p := New(Options{Steps: []Step{{Name: "s", Stage: says(mail.Continue), Candidate: &Candidate{Stage: early, Mode: Shadow}}}, Comparer: seen})
	tx := f.begin(p, "r@b.test")
	if r := tx.Mail(context.Background()); r != nil {
		t.Fatalf("refused %v", r)
	}
	if got := outline(runMessage(tx, MixedTempfail)); got != "queue r@b.test" {
		t.Error(got)
	}
	want := "mail continue -> tempfail\nmessage continue -> tempfail"
	if seen.lines() != want {
		t.Errorf("compared\n%s", seen.lines())
	}
}

func TestCanaryTakesItsShare(t *testing.T) {
	seen := &compares{}
	f := &fixture{}
	p := New(Options{Comparer: seen, Steps: []Step{{Name: "s", Stage: adds("X-Who", "live"), Code: "old",
		Candidate: &Candidate{Stage: adds("X-Who", "canary"), Code: "new", Mode: Canary, Share: 0.25}}}})
	took := 0
	for i := range 2000 {
		tx := f.begin(p, "r@b.test")
		tx.Envelope().Client.SessionID = fmt.Sprintf("session%d", i)
		r := runMessage(tx, MixedTempfail)
		who, _ := r.Messages[0].Header.Get("X-Who")
		code := r.Messages[0].Envelope.Stages[0].Code
		if (who == "canary") != (code == "new") {
			t.Fatalf("%s ran, and the mark says %s", who, code)
		}
		if who == "canary" {
			took++
		}
	}
	if took < 420 || took > 580 || len(seen.seen) != took {
		t.Errorf("the canary took %d of 2000 messages, told %d", took, len(seen.seen))
	}
}

type senderIs mail.Address

func (s senderIs) PerRecipient() bool { return false }
func (s senderIs) Eval(fact func(string) (any, bool)) (bool, error) {
	v, _ := fact("envelope.sender")
	return v == string(s), nil
}

func TestCanaryByMatch(t *testing.T) {
	f := &fixture{}
	for sender, want := range map[string]string{"s@a.test": "canary", "other@a.test": "live"} {
		p := New(Options{Steps: []Step{{Name: "s", Stage: adds("X-Who", "live"),
			Candidate: &Candidate{Stage: adds("X-Who", "canary"), Mode: Canary, Share: 1, When: senderIs("s@a.test")}}}})
		tx := f.begin(p, "r@b.test")
		tx.Envelope().Sender = mail.Address(sender)
		if who, _ := runMessage(tx, MixedTempfail).Messages[0].Header.Get("X-Who"); who != want {
			t.Errorf("%s: %s ran", sender, who)
		}
	}
}

func TestCanaryThatFailsCostsNothing(t *testing.T) {
	seen := &compares{}
	f := &fixture{}
	dirty := stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.AddHeader(-1, "X-Dirty", "1")
		return mail.Continue, errors.Join(err, h.WriteBody([]byte("torn"), true), h.SetReply(550, mail.Enhanced{}, "no"), trapped{"trap"})
	})
	p := New(Options{Comparer: seen, NewBody: func() BodyWriter { return &memBody{live: &f.live} }, Steps: []Step{{Name: "s", Code: "old",
		Stage: adds("X-Who", "live"), Candidate: &Candidate{Stage: dirty, Code: "new", Mode: Canary, Share: 1}}}})
	tx := f.begin(p, "r@b.test")
	r := runMessage(tx, MixedTempfail)
	tx.Close()
	m := r.Messages[0]
	who, _ := m.Header.Get("X-Who")
	if m.Header.Count("X-Dirty") != 0 || who != "live" || m.Envelope.Stages[0].Code != "old" || f.live.Load() != 0 {
		t.Errorf("header %q, stages %v, bodies %d", m.Header.AppendTo(nil), m.Envelope.Stages, f.live.Load())
	}
	if !strings.Contains(seen.lines(), "candidate failed: it trapped") {
		t.Errorf("told %q", seen.lines())
	}
}

func TestBrokenStageIsNotCalled(t *testing.T) {
	now, calls := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0
	var fails error = trapped{"trap"}
	stage := stageFunc(func(*Hook) (mail.Verdict, error) { calls++; return mail.Continue, fails })
	var changes []string
	f := &fixture{}
	p := New(Options{Now: func() time.Time { return now }, OnBreaker: func(s string, open bool) { changes = append(changes, fmt.Sprint(s, open)) },
		Steps: []Step{{Name: "s", Stage: stage, OnError: OnErrorSkip, Breaker: NewBreaker(BreakerOptions{Failures: 3})}}})
	send := func() {
		tx := f.begin(p, "r@b.test")
		tx.Envelope().Client.Addr = netip.MustParseAddrPort("127.0.0.1:1")
		if got := outline(runMessage(tx, MixedTempfail)); got != "queue r@b.test" {
			t.Fatal(got)
		}
	}
	for range 10 {
		send()
	}
	if calls != 3 {
		t.Errorf("called %d times", calls)
	}
	fails, now = nil, now.Add(time.Second)
	send()
	send()
	if calls != 5 || !slices.Equal(changes, []string{"strue", "sfalse"}) {
		t.Errorf("called %d times, changes %v", calls, changes)
	}
}

func TestCrowdDoesNotOpenABreaker(t *testing.T) {
	b := NewBreaker(BreakerOptions{Failures: 1})
	f := &fixture{}
	p := New(Options{Steps: []Step{{Name: "s", Stage: traps("pool"), Breaker: b}}})
	runMessage(f.begin(p, "r@b.test"), MixedTempfail)
	if b.Open() {
		t.Error("open")
	}
}

func TestPoisonMailIsQuarantinedAtTheThirdAttempt(t *testing.T) {
	f := &fixture{}
	attempt := func(poison *Poison, cause, subject, received string) string {
		p := New(Options{Poison: poison, Steps: []Step{{Name: "first", Stage: adds("X-Random", received)}, {Name: "s", Stage: traps(cause)}}})
		tx := f.begin(p, "r@b.test")
		h := mail.ParseHeader([]byte("Received: by us " + received + "\r\nSubject: " + subject + "\r\n\r\n"))
		r := tx.Message(context.Background(), h, mail.BytesBody("body\r\n"), 0, MixedTempfail)
		if len(r.Messages) > 0 && !strings.Contains(r.Messages[0].Hold.Reason, "failed 3 times on this message: it trapped") {
			t.Errorf("reason %q", r.Messages[0].Hold.Reason)
		}
		return outline(r)
	}
	const tempfail, quarantine = "refused 451 4.3.0 local error in processing, try again later", "queue r@b.test hold quarantine"
	poison := NewPoison()
	for i, want := range []string{tempfail, tempfail, quarantine, tempfail} {
		subject := "x"
		if i == 3 {
			subject = "another"
		}
		if got := attempt(poison, "trap", subject, fmt.Sprint(i)); got[:12] != want[:12] {
			t.Errorf("attempt %d: %s, want %s", i+1, got, want)
		}
	}
	for i := range 5 {
		if got := attempt(poison, "pool", "load", "0"); strings.Contains(got, "queue") {
			t.Errorf("attempt %d of a crowd: %s", i, got)
		}
	}
}

func TestFaultOfASplitCandidateLeavesTheRecipients(t *testing.T) {
	f := &fixture{}
	split := stageFunc(func(h *Hook) (mail.Verdict, error) {
		if _, err := h.Split([]int{0}); err != nil {
			return mail.Continue, err
		}
		return mail.Continue, trapped{"trap"}
	})
	p := New(Options{Steps: []Step{{Name: "s", Stage: says(mail.Continue), Candidate: &Candidate{Stage: split, Mode: Canary, Share: 1}}}})
	if got := outline(runMessage(f.begin(p, "a@b.test", "c@b.test"), MixedTempfail)); got != "queue a@b.test,c@b.test" {
		t.Error(got)
	}
}

// "quarantine: 550 5.7.1 …" was shown of mail that was answered with 250.
func TestAReasonIsNotShownAsAReply(t *testing.T) {
	reply := &mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 1}, Text: "the sender asked for it"}
	for v, want := range map[mail.Verdict]string{
		mail.Quarantine: "the sender asked for it", mail.Defer: "the sender asked for it", mail.Reject: "550 5.7.1 the sender asked for it",
	} {
		if got := (&Trial{Verdict: v, Reply: reply}).Says(); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := (&Trial{}).Says(); got != "" {
		t.Errorf("without a reply: %q", got)
	}
}
