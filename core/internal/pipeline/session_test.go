// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// script is a native stage of the phases that it has lines for.
type script map[mail.Phase]func(*Hook) (mail.Verdict, error)

func (s script) Phases() mail.PhaseSet {
	var set mail.PhaseSet
	for p := range s {
		set |= mail.Phases(p)
	}
	return set
}
func (s script) Run(_ context.Context, h *Hook) (mail.Verdict, error) { return s[h.Phase()](h) }

func verdict(v mail.Verdict) func(*Hook) (mail.Verdict, error) {
	return func(*Hook) (mail.Verdict, error) { return v, nil }
}

func trap(*Hook) (mail.Verdict, error) { return 0, errors.New("trap") }

// ending counts the ends of what was kept in a slot.
type ending struct {
	seen int
	n    *int
}

func (e *ending) End() { *e.n++ }

func TestVerdictsOfASession(t *testing.T) {
	never := func(*Hook) (mail.Verdict, error) {
		t.Error("a stage behind a final verdict ran")
		return 0, nil
	}
	run := map[mail.Phase]func(*Session) *mail.Reply{
		mail.PhaseConnect: func(s *Session) *mail.Reply { return s.Connect(t.Context()) },
		mail.PhaseTLS:     func(s *Session) *mail.Reply { return s.TLS(t.Context()) },
		mail.PhaseHelo:    func(s *Session) *mail.Reply { _, r := s.Helo(t.Context(), nil); return r },
		mail.PhaseAuth:    func(s *Session) *mail.Reply { return s.Auth(t.Context(), nil) },
	}
	for phase, call := range run {
		for _, c := range []struct {
			name string
			does func(*Hook) (mail.Verdict, error)
			next func(*Hook) (mail.Verdict, error)
			on   OnError
			want string
		}{
			{"continue", verdict(mail.Continue), verdict(mail.Reject), "", "550 5.7.1 refused by policy"},
			{"accept", verdict(mail.Accept), never, "", ""},
			{"reject", verdict(mail.Reject), never, "", "550 5.7.1 refused by policy"},
			{"tempfail", verdict(mail.Tempfail), never, "", "451 4.7.1 not now, try again later"},
			{"fails", trap, never, "", "451 4.3.0 local error, try again later"},
			{"fails and is skipped", trap, verdict(mail.Reject), OnErrorSkip, "550 5.7.1 refused by policy"},
			{"not permitted", verdict(mail.Discard), never, "", "451 4.3.0 local error, try again later"},
		} {
			f := &fixture{}
			p := f.pipeline(Step{Name: "a", Stage: script{phase: c.does}, OnError: c.on}, Step{Name: "b", Stage: script{phase: c.next}})
			got := ""
			want := c.want
			if phase == mail.PhaseTLS && c.name == "accept" { // not permitted there
				want = "451 4.3.0 local error, try again later"
			}
			if r := call(p.Session(&mail.Client{})); r != nil {
				got = r.Line()
			}
			if got != want {
				t.Errorf("%v %s: %q, want %q", phase, c.name, got, want)
			}
		}
	}
}

func TestASessionsFactsAreThoseOfTheMoment(t *testing.T) {
	var seen []string
	tell := func(h *Hook) (mail.Verdict, error) {
		c := h.Envelope().Client
		seen = append(seen, fmt.Sprint(h.Phase(), " ", c.Helo, c.User, h.Envelope().ID, len(h.Envelope().Recipients)))
		return mail.Continue, nil
	}
	f := &fixture{}
	c := &mail.Client{}
	s := f.pipeline(Step{Name: "a", Stage: script{mail.PhaseConnect: tell, mail.PhaseHelo: tell, mail.PhaseAuth: tell}}).Session(c)
	s.Connect(t.Context())
	c.Helo = "h"
	s.Helo(t.Context(), nil)
	c.User = "u"
	s.Auth(t.Context(), nil)
	if want := []string{"connect 0", "helo h0", "auth hu0"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("saw %q", seen)
	}
}

// What a stage notes about the session is there in its transactions, and what
// fails in it sticks to all of them, on the pipeline of a reload too.
func TestWhatSticksToASession(t *testing.T) {
	f := &fixture{}
	p := f.pipeline(
		Step{Name: "a", Stage: script{mail.PhaseConnect: func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, h.SetMeta(ScopeSession, "k", "v")
		}, mail.PhaseMail: func(h *Hook) (mail.Verdict, error) {
			if v, _ := h.Meta(ScopeSession, "k"); v != "v" {
				t.Errorf("the note is %q", v)
			}
			return mail.Continue, nil
		}}},
		Step{Name: "broken", Stage: script{mail.PhaseHelo: trap}, OnError: OnErrorQuarantine},
	)
	first := p.Session(&mail.Client{})
	first.Connect(t.Context())
	if _, r := first.Helo(t.Context(), nil); r != nil {
		t.Fatalf("refused: %v", r)
	}
	for _, s := range []*Session{first, first.On(p)} {
		tx := s.Begin(&mail.Envelope{Client: *s.client})
		tx.Mail(t.Context())
		tx.Rcpt(t.Context(), mail.Recipient{Address: "x@b.test"})
		if got := outline(runMessage(tx, "")); got != "queue x@b.test hold quarantine" {
			t.Error(got)
		}
		tx.Close()
		s.Close()
	}
}

func TestSetEHLO(t *testing.T) {
	for _, c := range []struct {
		op   int
		line string
		want string
	}{
		{abi.EHLOAdd, "XTEST a b", "SIZE 10;AUTH PLAIN;XTEST a b"},
		{abi.EHLORemove, "auth", "SIZE 10"},
		{abi.EHLORemove, "8BITMIME", "not found"},
		{abi.EHLOAdd, "Size 20", "conflict"},
		{abi.EHLOAdd, "", "bad argument"},
		{abi.EHLOAdd, "-X", "bad argument"},
		{abi.EHLOAdd, "X\r\nY", "bad argument"},
		{abi.EHLOAdd, "X ", "bad argument"},
		{abi.EHLOAdd, "X ü", "bad argument"},
		{abi.EHLOAdd, "X " + strings.Repeat("y", maxEHLOLine), "bad argument"},
		{7, "X", "bad argument"},
	} {
		f := &fixture{}
		given := []string{"SIZE 10", "AUTH PLAIN"}
		var refused error
		s := script{mail.PhaseHelo: func(h *Hook) (mail.Verdict, error) {
			refused = h.SetEHLO(c.op, c.line)
			return mail.Continue, nil
		}}
		list, r := f.pipeline(Step{Name: "s", Stage: s}).Session(&mail.Client{}).Helo(t.Context(), given)
		got := strings.Join(list, ";")
		if refused != nil {
			got = refused.Error()
		}
		if r != nil || got != c.want || given[1] != "AUTH PLAIN" {
			t.Errorf("%d %q: %q, %v; want %q", c.op, c.line, got, r, c.want)
		}
	}
}

func TestTheListOfEHLOOfAFailedStageIsNotTaken(t *testing.T) {
	f := &fixture{}
	s := script{mail.PhaseHelo: func(h *Hook) (mail.Verdict, error) {
		_ = h.SetEHLO(abi.EHLORemove, "SIZE")
		return 0, errors.New("trap")
	}}
	list, _ := f.pipeline(Step{Name: "s", Stage: s, OnError: OnErrorSkip}).Session(&mail.Client{}).Helo(t.Context(), []string{"SIZE"})
	if len(list) != 1 {
		t.Errorf("the list is %q", list)
	}
}

func TestThePasswordIsThereInPhaseAuthAlone(t *testing.T) {
	var got []string
	tell := func(h *Hook) (mail.Verdict, error) {
		p, ok := h.Password()
		got = append(got, fmt.Sprint(string(p), ok))
		return mail.Continue, nil
	}
	f := &fixture{}
	s := f.pipeline(Step{Name: "s", Stage: script{mail.PhaseAuth: tell, mail.PhaseHelo: tell}}).Session(&mail.Client{})
	s.Auth(t.Context(), []byte("secret"))
	s.Auth(t.Context(), nil)
	s.Helo(t.Context(), nil)
	if want := []string{"secrettrue", "false", "false"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

// What a stage keeps in a slot is its own, lasts as long as it should, and ends
// once.
func TestSlots(t *testing.T) {
	ends := [2]int{}
	keep := func(scope int) func(h *Hook) (mail.Verdict, error) {
		return func(h *Hook) (mail.Verdict, error) {
			s := h.Slot(scope)
			if s.Value == nil {
				s.Value = &ending{n: &ends[scope]}
			}
			s.Value.(*ending).seen++
			return mail.Continue, nil
		}
	}
	other := func(h *Hook) (mail.Verdict, error) {
		if h.Slot(ScopeMessage).Value != nil || h.Slot(ScopeSession).Value != nil || h.Slot(7) != nil {
			t.Error("a stage sees another one's slot")
		}
		return mail.Continue, nil
	}
	none := func(h *Hook) (mail.Verdict, error) {
		if h.Slot(ScopeMessage) != nil {
			t.Error("a session's phase has a message's slot")
		}
		return keep(ScopeSession)(h)
	}
	f := &fixture{}
	p := f.pipeline(
		Step{Name: "a", Stage: script{mail.PhaseConnect: none, mail.PhaseMail: keep(ScopeSession)}},
		Step{Name: "b", Stage: script{mail.PhaseMail: keep(ScopeMessage), mail.PhaseMessage: keep(ScopeMessage), mail.PhaseReset: keep(ScopeMessage)}},
		Step{Name: "c", Stage: script{mail.PhaseMail: other}},
	)
	s := p.Session(&mail.Client{})
	s.Connect(t.Context())
	for range 2 {
		tx := s.Begin(&mail.Envelope{})
		tx.Mail(t.Context())
		tx.Rcpt(t.Context(), mail.Recipient{Address: "x@b.test"})
		runMessage(tx, "")
		kept := tx.life.slots[1].Value.(*ending)
		tx.Close()
		tx.Close()
		if kept.seen != 3 {
			t.Errorf("the value saw %d hooks", kept.seen)
		}
	}
	kept := s.life.slots[0].Value.(*ending)
	s.Close()
	s.Close()
	if ends != [2]int{2, 1} || kept.seen != 3 {
		t.Errorf("ended %v, the session's value saw %d hooks", ends, kept.seen)
	}
	if h := NewHook(p, "s", mail.PhaseMail, 0, &mail.Envelope{}, mail.Header{}, nil); h.Slot(ScopeMessage) != nil {
		t.Error("a hook outside any transaction has a slot")
	}
}

// Who asks what touched a message hears of the stages that saw its connection
// too. They are no reason for a reset: of the transaction they saw nothing.
func TestTheCodeOfTheStagesOfTheSessionIsNoted(t *testing.T) {
	f, resets := &fixture{}, 0
	p := f.pipeline(Step{Name: "door", Code: "sha256:01", Stage: script{mail.PhaseConnect: verdict(mail.Continue),
		mail.PhaseReset: func(*Hook) (mail.Verdict, error) { resets++; return mail.Continue, nil }}},
		Step{Name: "all", Code: "sha256:02", Stage: says(mail.Continue)})
	s := p.Session(&mail.Client{})
	s.Connect(t.Context())
	s = s.On(p)
	for range 2 {
		tx := s.Begin(&mail.Envelope{ID: "01", Recipients: []mail.Recipient{{Address: "x@b.test"}}})
		r := runMessage(tx, "")
		if got := fmt.Sprint(r.Messages[0].Envelope.Stages, tx.Stages()); got != "[door@01 all@02] [door@01 all@02]" {
			t.Errorf("noted %s", got)
		}
		tx.Close()
	}
	if resets != 0 {
		t.Errorf("%d resets", resets)
	}
}

// A stage marked always sees what an earlier one has accepted, in every phase.
func TestAlwaysIsCalledBehindAnAcceptInEveryPhase(t *testing.T) {
	for _, phase := range []mail.Phase{mail.PhaseConnect, mail.PhaseHelo, mail.PhaseMail, mail.PhaseRcpt, mail.PhaseHeaders, mail.PhaseMessage} {
		f := &fixture{}
		p := f.pipeline(Step{Name: "accepts", Stage: script{phase: verdict(mail.Accept)}},
			Step{Name: "never", Stage: script{phase: func(*Hook) (mail.Verdict, error) { t.Errorf("phase %v goes on behind an accept", phase); return 0, nil }}},
			Step{Name: "always", Always: true, Stage: script{phase: verdict(mail.Reject)}})
		if r := refusedIn(t, p, phase); r == nil || r.Code != 550 {
			t.Errorf("phase %v: %v", phase, r)
		}
	}
}

// refusedIn returns what p refuses in a phase.
func refusedIn(t *testing.T, p *Pipeline, phase mail.Phase) *mail.Reply {
	s := p.Session(&mail.Client{})
	tx := s.Begin(&mail.Envelope{ID: "01"})
	defer tx.Close()
	h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\n\r\n"))
	_, helo := s.Helo(t.Context(), nil)
	for _, r := range []*mail.Reply{s.Connect(t.Context()), helo, tx.Mail(t.Context()), tx.Rcpt(t.Context(), mail.Recipient{Address: "x@b.test"})} {
		if r != nil {
			return r
		}
	}
	if r := tx.Headers(t.Context(), h, 0); r != nil {
		return r
	}
	return tx.Message(t.Context(), h, mail.BytesBody("x"), 0, "").Reply
}

func TestNoteOf40KiBCouldNotBeReplaced(t *testing.T) {
	large := strings.Repeat("x", 40<<10)
	for name, scope := range map[string]int{"message": ScopeMessage, "session": ScopeSession} {
		f := &fixture{}
		writes := func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, errors.Join(h.SetMeta(scope, "k", large), h.SetMeta(scope, "k", strings.ToUpper(large)))
		}
		moves := func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, errors.Join(h.SetMeta(scope, "k", ""), h.SetMeta(scope, "other", large))
		}
		over := func(h *Hook) (mail.Verdict, error) {
			if err := h.SetMeta(scope, "third", large); !errors.Is(err, abi.ErrLimit) {
				t.Errorf("%s: 80 KiB of notes: %v", name, err)
			}
			return mail.Continue, nil
		}
		c := &mail.Client{Notes: map[string]string{}}
		pl := f.pipeline(Step{Name: "s", Stage: script{mail.PhaseMail: writes, mail.PhaseData: moves, mail.PhaseHeaders: over}})
		tx := pl.Session(c).Begin(&mail.Envelope{ID: "1", Client: *c})
		if r := tx.Mail(t.Context()); r != nil {
			t.Errorf("%s: replaced: %v", name, r)
		}
		if r := tx.Data(t.Context()); r != nil {
			t.Errorf("%s: moved: %v", name, r)
		}
		tx.Headers(t.Context(), mail.Header{}, -1)
		tx.Close()
	}
}
