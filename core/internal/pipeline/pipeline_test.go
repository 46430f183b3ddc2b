// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// stageFunc is a native stage of phase message.
type stageFunc func(h *Hook) (mail.Verdict, error)

func (f stageFunc) Phases() mail.PhaseSet { return mail.Phases(mail.PhaseMessage) }
func (f stageFunc) Run(_ context.Context, h *Hook) (mail.Verdict, error) {
	return f(h)
}

func says(v mail.Verdict) Stage {
	return stageFunc(func(*Hook) (mail.Verdict, error) { return v, nil })
}

// memBody is a BodyWriter in memory that counts what was not released.
type memBody struct {
	bytes.Buffer
	live *atomic.Int64
}

type memDone struct {
	mail.BytesBody
	live *atomic.Int64
}

func (b *memDone) Release()                   { b.live.Add(-1) }
func (b *memBody) Finish() (mail.Body, error) { b.live.Add(1); return &memDone{b.Bytes(), b.live}, nil }
func (b *memBody) Abort()                     {}

type fixture struct {
	live atomic.Int64
}

func (f *fixture) pipeline(steps ...Step) *Pipeline {
	return New(Options{Name: "test", Steps: steps, NewBody: func() BodyWriter { return &memBody{live: &f.live} }})
}

func (f *fixture) begin(p *Pipeline, rcpts ...string) *Transaction {
	env := &mail.Envelope{ID: "01", Sender: "s@a.test", OriginalSender: "s@a.test", Client: mail.Client{Notes: map[string]string{}}}
	tx := p.Begin(env)
	for _, r := range rcpts {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address(r), Original: mail.Address(r)})
	}
	return tx
}

func runMessage(tx *Transaction, mixed OnMixed) Result {
	h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\nX-A: 1\r\n\r\n"))
	return tx.Message(context.Background(), h, mail.BytesBody("body\r\n"), 0, mixed)
}

// outline says what a result is in one line.
func outline(r Result) string {
	if r.Reply != nil {
		return "refused " + r.Reply.Line()
	}
	var parts []string
	for _, m := range r.Messages {
		var to []string
		for _, rc := range m.Envelope.Recipients {
			if !rc.Removed {
				to = append(to, string(rc.Address))
			}
		}
		s := "queue " + strings.Join(to, ",")
		if m.Hold != nil {
			s += " hold " + m.Hold.Verdict.String()
		}
		parts = append(parts, s)
	}
	for _, f := range r.Refused {
		parts = append(parts, fmt.Sprintf("refuse %s %d", f.Recipient.Address, f.Reply.Code))
	}
	if r.Discarded > 0 {
		parts = append(parts, fmt.Sprintf("discard %d", r.Discarded))
	}
	return strings.Join(parts, "; ")
}

type domainIs string

func (d domainIs) PerRecipient() bool { return true }
func (d domainIs) Eval(fact func(string) (any, bool)) (bool, error) {
	v, ok := fact("recipient.domain")
	return ok && v == string(d), nil
}

type broken struct{}

func (broken) PerRecipient() bool                          { return false }
func (broken) Eval(func(string) (any, bool)) (bool, error) { return false, errors.New("no such fact") }

func TestVerdictsOfAChain(t *testing.T) {
	never := stageFunc(func(*Hook) (mail.Verdict, error) { t.Error("a stage behind a final verdict ran"); return 0, nil })
	perRcpt := stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Continue, h.SetRecipientVerdict(0, mail.Reject, mail.NewReply(550, mail.Enhanced{5, 1, 1}, "no such user"))
	})
	tempOne := stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Continue, h.SetRecipientVerdict(1, mail.Tempfail, nil)
	})
	fails := stageFunc(func(h *Hook) (mail.Verdict, error) { return 0, errors.New("trap") })
	panics := stageFunc(func(h *Hook) (mail.Verdict, error) { panic("boom") })
	wrongReply := stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Reject, h.SetReply(250, mail.Enhanced{2, 0, 0}, "fine")
	})
	tag := stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.AddHeader(0, "X-Tag", "1")
		return mail.Continue, err
	})
	deleteAll := stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Continue, errors.Join(h.RemoveRecipient(0), h.RemoveRecipient(1))
	})
	none := domainIs("none.test")
	for _, c := range []struct {
		name  string
		steps []Step
		mixed OnMixed
		want  string
	}{
		{"no stages", nil, "", "queue x@b.test,y@c.test"},
		{"all continue", []Step{{Stage: says(mail.Continue)}, {Stage: says(mail.Continue)}}, "", "queue x@b.test,y@c.test"},
		{"accept ends the chain", []Step{{Stage: says(mail.Accept)}, {Stage: never}}, "", "queue x@b.test,y@c.test"},
		{"always runs behind accept", []Step{{Stage: says(mail.Accept)}, {Stage: says(mail.Discard), Always: true}}, "", "discard 2"},
		{"reject", []Step{{Stage: says(mail.Reject)}, {Stage: never}}, "", "refused 550 5.7.1 refused by policy"},
		{"tempfail", []Step{{Stage: says(mail.Tempfail)}, {Stage: never}}, "", "refused 451 4.7.1 not now, try again later"},
		{"discard", []Step{{Stage: says(mail.Discard)}, {Stage: never}}, "", "discard 2"},
		{"quarantine sticks", []Step{{Stage: says(mail.Quarantine)}, {Stage: says(mail.Continue)}}, "", "queue x@b.test,y@c.test hold quarantine"},
		{"reject behind quarantine wins", []Step{{Stage: says(mail.Quarantine)}, {Stage: says(mail.Reject)}}, "", "refused 550 5.7.1 refused by policy"},
		{"mixed drop", []Step{{Stage: perRcpt}}, MixedDrop, "queue y@c.test; refuse x@b.test 550"},
		{"each has its reply", []Step{{Stage: tempOne}}, MixedEach, "queue x@b.test; refuse y@c.test 451"},
		{"each has its reply, none is left", []Step{{Stage: perRcpt}, {Stage: tempOne}}, MixedEach, "refused 550 5.1.1 no such user"},
		{"mixed bounce", []Step{{Stage: perRcpt}}, MixedBounce, "queue y@c.test; refuse x@b.test 550"},
		{"mixed tempfail", []Step{{Stage: perRcpt}}, MixedTempfail, "refused 451 4.3.0 recipients differ, send to each alone"},
		{"any tempfail wins", []Step{{Stage: perRcpt}, {Stage: tempOne}}, MixedDrop, "refused 451 4.7.1 not now, try again later"},
		{"failure is 451", []Step{{Stage: fails}, {Stage: never}}, "", "refused 451 4.3.0 local error, try again later"},
		{"panic is 451", []Step{{Stage: panics}}, "", "refused 451 4.3.0 local error, try again later"},
		{"failure skipped", []Step{{Stage: fails, OnError: OnErrorSkip}}, "", "queue x@b.test,y@c.test"},
		{"failure rejected", []Step{{Stage: fails, OnError: OnErrorReject}}, "", "refused 554 5.3.0 message could not be processed"},
		{"failure quarantined", []Step{{Stage: fails, OnError: OnErrorQuarantine}}, "", "queue x@b.test,y@c.test hold quarantine"},
		{"a reject cannot carry 250", []Step{{Stage: wrongReply}}, "", "refused 451 4.3.0 local error, try again later"},
		{"skip is not for phase message", []Step{{Stage: says(mail.Skip)}}, "", "refused 451 4.3.0 local error, try again later"},
		{"unknown verdict", []Step{{Stage: says(99)}}, "", "refused 451 4.3.0 local error, try again later"},
		{"when fails", []Step{{Stage: never, When: broken{}}}, "", "refused 451 4.3.0 local error, try again later"},
		{"when selects nobody", []Step{{Stage: never, When: none}}, "", "queue x@b.test,y@c.test"},
		{"when selects one, reject", []Step{{Stage: says(mail.Reject), When: domainIs("b.test")}}, MixedDrop, "queue y@c.test; refuse x@b.test 550"},
		{"when selects one, quarantine", []Step{{Stage: says(mail.Quarantine), When: domainIs("c.test")}}, "", "queue x@b.test; queue y@c.test hold quarantine"},
		{"when selects one, header edit", []Step{{Stage: tag, When: domainIs("c.test")}}, "", "queue x@b.test; queue y@c.test"},
		{"all recipients deleted", []Step{{Stage: deleteAll}}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{}
			for i := range c.steps {
				c.steps[i].Name = fmt.Sprintf("s%d", i)
			}
			tx := f.begin(f.pipeline(c.steps...), "x@b.test", "y@c.test")
			defer tx.Close()
			if got := outline(runMessage(tx, c.mixed)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAHeaderEditForSomeRecipientsLeavesTheOthersAlone(t *testing.T) {
	f := &fixture{}
	tag := stageFunc(func(h *Hook) (mail.Verdict, error) {
		if h.Visible(0) || !h.Visible(1) {
			t.Error("the stage sees recipients that when did not select")
		}
		_, err := h.AddHeader(-1, "X-Tag", "1")
		return mail.Continue, err
	})
	tx := f.begin(f.pipeline(Step{Name: "tag", Stage: tag, When: domainIs("c.test")}), "x@b.test", "y@c.test")
	r := runMessage(tx, "")
	if n := r.Messages[0].Header.Count("X-Tag"); n != 0 {
		t.Errorf("the other recipient's message has %d X-Tag", n)
	}
	if n := r.Messages[1].Header.Count("X-Tag"); n != 1 {
		t.Errorf("the selected recipient's message has %d X-Tag", n)
	}
}

func TestAFailedStageLeavesNoTrace(t *testing.T) {
	f := &fixture{}
	half := stageFunc(func(h *Hook) (mail.Verdict, error) {
		h.AddHeader(0, "X-Half", "1")
		h.SetSender("evil@x.test")
		h.SetRecipient(0, "evil@x.test")
		h.SetMeta(ScopeMessage, "k", "v")
		h.SetMeta(ScopeSession, "k", "v")
		h.WriteBody([]byte("half"), true)
		h.OnCommit(func() error { t.Error("side effect ran"); return nil })
		return 0, errors.New("trap")
	})
	tx := f.begin(f.pipeline(Step{Name: "half", Stage: half, OnError: OnErrorSkip}), "x@b.test")
	r := runMessage(tx, "")
	m := r.Messages[0]
	body, _ := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Body.Size()))
	got := fmt.Sprintf("%d %s %s %v %v %s", m.Header.Count("X-Half"), m.Envelope.Sender, m.Envelope.Recipients[0].Address, m.Envelope.Meta, m.Envelope.Client.Notes, string(body))
	if want := "0 s@a.test x@b.test map[] map[] body\r\n"; got != want {
		t.Errorf("got %q want %q", got, want)
	}
}

func TestACommitThatFailsAppliesNothing(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		h.AddHeader(0, "X-Half", "1")
		h.WriteBody([]byte("new"), true)
		h.OnCommit(func() error { return errors.New("store is full") })
		return mail.Continue, nil
	})
	p, seen := f.pipeline(Step{Name: "s", Stage: s, OnError: OnErrorSkip}), watcher{}
	p.o.Observer = &seen
	tx := f.begin(p, "x@b.test")
	r := runMessage(tx, "")
	if r.Messages[0].Header.Count("X-Half") != 0 || r.Messages[0].Body.Size() != 6 {
		t.Error("edits of a stage whose commit failed were applied")
	}
	if len(seen) != 1 || seen[0] == nil || seen[0].Error() != "commit: store is full" {
		t.Errorf("the observer was told %v", seen)
	}
	tx.Close()
	if f.live.Load() != 0 {
		t.Errorf("%d bodies leaked", f.live.Load())
	}
}

// watcher keeps what an observer is told of how hooks end.
type watcher []error

// StageDone implements Observer.
func (w *watcher) StageDone(_ *mail.Envelope, _ string, _ mail.Phase, _ mail.Verdict, _ time.Duration, err error) {
	*w = append(*w, err)
}

func TestEditsAreSeenByTheNextStage(t *testing.T) {
	f := &fixture{}
	first := stageFunc(func(h *Hook) (mail.Verdict, error) {
		id := h.Header().Find("subject", -1)
		_, err := h.AddRecipient("z@d.test")
		return mail.Continue, errors.Join(err, h.SetHeader(id, "bye"), h.SetSender(""), h.SetMeta(ScopeMessage, "seen", "1"),
			h.SetRoute(0, "inside", ""), h.WriteBody([]byte("one\ntwo\rthree\r\nfour"), true))
	})
	second := stageFunc(func(h *Hook) (mail.Verdict, error) {
		buf := make([]byte, 200)
		n, err := h.ReadMessage(ViewRaw, buf, 0)
		want := "Received: by us\r\nSubject: bye\r\nX-A: 1\r\n\r\none\r\ntwo\r\nthree\r\nfour\r\n"
		if got := string(buf[:n]); got != want || err != nil {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
		if v, ok := h.Meta(ScopeMessage, "first.seen"); v != "1" || !ok {
			t.Error("the first stage's note is not there")
		}
		if e := h.Envelope(); !e.Sender.IsNull() || e.Recipients[1].Address != "z@d.test" || e.Recipients[0].Route != "inside" {
			t.Errorf("envelope is %+v", e)
		}
		return mail.Continue, nil
	})
	tx := f.begin(f.pipeline(Step{Name: "first", Stage: first}, Step{Name: "second", Stage: second}), "x@b.test")
	if got := outline(runMessage(tx, "")); got != "queue x@b.test,z@d.test" {
		t.Error(got)
	}
	tx.Close()
	if f.live.Load() != 1 {
		t.Errorf("%d bodies live, want the one handed over", f.live.Load())
	}
}

func TestEditsThatAreRefused(t *testing.T) {
	f := &fixture{}
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, injected := h.AddHeader(0, "X", "a\r\nBcc: victim@x.test")
		_, name := h.AddHeader(0, "X Y", "a")
		_, pos := h.AddHeader(-7, "X", "a")
		_, gone := h.AddHeader(1+2*77, "X", "a")
		_, rcpt := h.AddRecipient("no address")
		_, rcptInject := h.AddRecipient("a@b.test>\r\nRCPT TO:<c@d.test")
		for i, c := range []struct {
			got  error
			want abi.Errno
		}{
			{injected, abi.ErrBadArgument}, {name, abi.ErrBadArgument}, {pos, abi.ErrBadArgument}, {gone, abi.ErrNotFound},
			{rcpt, abi.ErrBadArgument}, {rcptInject, abi.ErrBadArgument},
			{h.DeleteHeader(0), abi.ErrDenied}, {h.SetHeader(0, "x"), abi.ErrDenied}, {h.DeleteHeader(99), abi.ErrNotFound},
			{h.SetSender("ü@x.test"), abi.ErrBadArgument}, {h.SetRecipient(5, "a@b.test"), abi.ErrNotFound},
			{h.SetReply(250, mail.Enhanced{5, 0, 0}, "x"), abi.ErrBadArgument}, {h.SetReply(550, mail.Enhanced{5, 0, 0}, "a\r\nb"), abi.ErrBadArgument},
			{h.SetReply(354, mail.Enhanced{}, "x"), abi.ErrBadArgument}, {h.WriteBody([]byte("a\x00b"), true), abi.ErrBadArgument},
			{h.SetRecipientVerdict(0, mail.Accept, nil), abi.ErrBadArgument}, {h.SetRoute(0, "", ""), abi.ErrBadArgument},
			{h.SetMeta(ScopeMessage, "k", strings.Repeat("x", maxMetaBytes)), abi.ErrLimit}, {h.SetMeta(7, "k", ""), abi.ErrBadArgument},
			{h.WriteBody(make([]byte, 0), true), 0},
		} {
			var e abi.Errno
			if errors.As(c.got, &e); e != c.want {
				t.Errorf("case %d: got %v, want %v", i, c.got, c.want)
			}
		}
		return mail.Continue, nil
	})
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s}), "x@b.test")
	defer tx.Close()
	if got := outline(runMessage(tx, "")); got != "queue x@b.test" {
		t.Error(got)
	}
}

func TestABodyOverTheLimitIsRefused(t *testing.T) {
	f := &fixture{}
	p := New(Options{Name: "p", MaxBody: 10, NewBody: func() BodyWriter { return &memBody{live: &f.live} }, Steps: []Step{{Name: "s", OnError: OnErrorSkip,
		Stage: stageFunc(func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, h.WriteBody([]byte("\n\n\n\n\n\n"), true) // 6 octets become 12
		})}}})
	tx := f.begin(p, "x@b.test")
	defer tx.Close()
	if r := runMessage(tx, ""); r.Messages[0].Body.Size() != 6 {
		t.Errorf("body has %d octets, want the old one", r.Messages[0].Body.Size())
	}
}

// The line end that a stage left out does not count: what it was told is taken is.
func TestABodyUpToTheLimitIsTaken(t *testing.T) {
	f := &fixture{}
	p := New(Options{Name: "p", MaxBody: 10, NewBody: func() BodyWriter { return &memBody{live: &f.live} }, Steps: []Step{{Name: "s",
		Stage: stageFunc(func(h *Hook) (mail.Verdict, error) {
			return mail.Continue, h.WriteBody([]byte("0123456789"), true)
		})}}})
	tx := f.begin(p, "x@b.test")
	defer tx.Close()
	if r := runMessage(tx, ""); r.Reply != nil || r.Messages[0].Body.Size() != 12 {
		t.Errorf("got %v, want a body of 12 octets", r.Reply)
	}
}

// early is a stage of phases mail and rcpt.
type early struct {
	mailV mail.Verdict
	rcptV map[string]mail.Verdict
}

func (early) Phases() mail.PhaseSet { return mail.Phases(mail.PhaseMail, mail.PhaseRcpt) }
func (e early) Run(_ context.Context, h *Hook) (mail.Verdict, error) {
	if h.Phase() == mail.PhaseMail {
		return e.mailV, nil
	}
	return e.rcptV[h.Envelope().Recipients[h.Arg()].Address.Local()], nil
}

func TestEarlyPhases(t *testing.T) {
	f := &fixture{}
	s := early{rcptV: map[string]mail.Verdict{"no": mail.Reject, "later": mail.Tempfail, "drop": mail.Discard, "hold": mail.Defer, "bad": mail.Quarantine}}
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s}))
	var got []string
	for _, local := range []string{"yes", "no", "later", "drop", "hold", "bad"} {
		r := tx.Rcpt(context.Background(), mail.Recipient{Address: mail.Address(local + "@b.test")})
		if r != nil {
			got = append(got, fmt.Sprint(local, r.Code))
		}
	}
	if want := []string{"no550", "later451", "bad451"}; !reflect.DeepEqual(got, want) {
		t.Errorf("refused %v, want %v", got, want)
	}
	if got, want := outline(runMessage(tx, MixedDrop)), "queue yes@b.test; queue hold@b.test hold defer; discard 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if r := f.begin(f.pipeline(Step{Name: "s", Stage: early{mailV: mail.Reject}})).Mail(context.Background()); r == nil || r.Code != 550 {
		t.Errorf("MAIL got %v", r)
	}
	if r := f.begin(f.pipeline(Step{Name: "s", Stage: early{mailV: mail.Defer}})).Mail(context.Background()); r == nil || r.Code != 451 {
		t.Errorf("a verdict not permitted in phase mail got %v", r)
	}
}

// Over LMTP every recipient hears its own refusal, also when nothing is left of the
// message.
func TestEachRefusalIsTold(t *testing.T) {
	s := stageFunc(func(h *Hook) (mail.Verdict, error) {
		return mail.Continue, errors.Join(h.SetRecipientVerdict(0, mail.Reject, nil), h.SetRecipientVerdict(1, mail.Tempfail, nil))
	})
	f := &fixture{}
	tx := f.begin(f.pipeline(Step{Stage: s}), "x@b.test", "y@c.test")
	defer tx.Close()
	r := runMessage(tx, MixedEach)
	var got []string
	for _, f := range r.Refused {
		got = append(got, fmt.Sprint(f.Index, " ", f.Recipient.Address, " ", f.Reply.Code))
	}
	if want := []string{"0 x@b.test 550", "1 y@c.test 451"}; !slices.Equal(got, want) || r.Reply == nil {
		t.Errorf("got %v, %v, want %v", got, r.Reply, want)
	}
}
