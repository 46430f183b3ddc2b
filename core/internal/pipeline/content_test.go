// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// whileItArrives is a transaction whose message comes as a server reads it: what
// is refused early is read to its end.
func whileItArrives(t *testing.T, tx *Transaction, chunks ...string) Result {
	t.Helper()
	if r := tx.Data(t.Context()); r != nil {
		return Result{Reply: r}
	}
	h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\n\r\n"))
	tx.Headers(t.Context(), h, 0)
	off := int64(0)
	for _, c := range chunks {
		if tx.WantsBody() {
			tx.Body(t.Context(), []byte(c), off)
		}
		off += int64(len(c))
	}
	return tx.Message(t.Context(), h, mail.BytesBody(strings.Join(chunks, "")), 0, "")
}

func TestVerdictsWhileAMessageArrives(t *testing.T) {
	const refused, later, fault = "refused 550 5.7.1 refused by policy", "refused 451 4.7.1 not now, try again later", "refused 451 4.3.0 local error, try again later"
	const queued, held = "queue x@b.test,y@c.test", "queue x@b.test,y@c.test hold quarantine"
	for _, c := range []struct {
		phase mail.Phase
		does  func(*Hook) (mail.Verdict, error)
		on    OnError
		want  string
		runs  bool // the next stage is called in phase message
	}{
		{mail.PhaseData, verdict(mail.Continue), "", queued, true},
		{mail.PhaseData, verdict(mail.Reject), "", refused, false},
		{mail.PhaseData, verdict(mail.Tempfail), "", later, false},
		{mail.PhaseData, verdict(mail.Accept), "", fault, false},
		{mail.PhaseData, trap, OnErrorSkip, queued, true},
		{mail.PhaseData, trap, OnErrorQuarantine, held, true},
		{mail.PhaseHeaders, verdict(mail.Continue), "", queued, true},
		{mail.PhaseHeaders, verdict(mail.Accept), "", queued, true},
		{mail.PhaseHeaders, verdict(mail.Reject), "", refused, false},
		{mail.PhaseHeaders, verdict(mail.Tempfail), "", later, false},
		{mail.PhaseHeaders, verdict(mail.Discard), "", "discard 2", false},
		{mail.PhaseHeaders, verdict(mail.Quarantine), "", held, true},
		{mail.PhaseHeaders, verdict(mail.Defer), "", fault, false},
		{mail.PhaseHeaders, trap, OnErrorQuarantine, held, true},
		{mail.PhaseBody, verdict(mail.Continue), "", queued, true},
		{mail.PhaseBody, verdict(mail.Skip), "", queued, true},
		{mail.PhaseBody, verdict(mail.Reject), "", refused, false},
		{mail.PhaseBody, verdict(mail.Tempfail), "", later, false},
		{mail.PhaseBody, verdict(mail.Accept), "", fault, false},
		{mail.PhaseBody, trap, "", fault, false},
		{mail.PhaseBody, trap, OnErrorSkip, queued, true},
		{mail.PhaseBody, trap, OnErrorQuarantine, held, true},
	} {
		f, ran := &fixture{}, false
		tx := f.begin(f.pipeline(
			Step{Name: "a", Stage: script{c.phase: c.does}, OnError: c.on},
			Step{Name: "b", Stage: stageFunc(func(*Hook) (mail.Verdict, error) { ran = true; return 0, nil })},
		), "x@b.test", "y@c.test")
		if got := outline(whileItArrives(t, tx, "one", "two")); got != c.want || ran != c.runs {
			t.Errorf("%v on_error %q: %s, next stage called %v; want %s, %v", c.phase, c.on, got, ran, c.want, c.runs)
		}
		tx.Close()
	}
}

func TestChunksOfTheBody(t *testing.T) {
	var seen []string
	tell := func(name string, v mail.Verdict) Stage {
		return script{mail.PhaseBody: func(h *Hook) (mail.Verdict, error) {
			buf := make([]byte, 2)
			n, err := h.ReadMessage(ViewChunk, buf, 1)
			size, err2 := h.Size(ViewChunk)
			_, err3 := h.Size(ViewRaw)
			seen = append(seen, fmt.Sprint(name, h.Arg(), h.ChunkOffset(), string(h.Chunk()), string(buf[:n]), size, h.Header().Len()))
			if !errors.Is(err3, abi.ErrWrongPhase) {
				t.Errorf("the message can be read: %v", err3)
			}
			return v, errors.Join(err, err2)
		}}
	}
	f := &fixture{}
	never := Step{Name: "never", Stage: tell("never", mail.Continue), When: conditionFunc(func(fact func(string) (any, bool)) (bool, error) { return false, nil })}
	tx := f.begin(f.pipeline(Step{Name: "a", Stage: tell("a", mail.Continue)}, Step{Name: "b", Stage: tell("b", mail.Skip)}, never), "x@b.test")
	whileItArrives(t, tx, "one", "three")
	if want := []string{"a3 0one" + "ne3 2", "b3 0one" + "ne3 2", "a5 3three" + "hr5 2"}; !reflect.DeepEqual(seen, want) {
		t.Errorf("saw %q, want %q", seen, want)
	}
	if got := fmt.Sprint(tx.Stages()); got != "[a@ b@]" {
		t.Errorf("passed %q", got)
	}
	only := f.begin(f.pipeline(Step{Name: "b", Stage: tell("b", mail.Skip)}), "x@b.test")
	only.Body(t.Context(), []byte("x"), 0)
	if only.WantsBody() || f.begin(f.pipeline(), "x@b.test").WantsBody() {
		t.Error("nobody wants the body, and yet")
	}
}

type conditionFunc func(fact func(string) (any, bool)) (bool, error)

func (conditionFunc) PerRecipient() bool                              { return false }
func (c conditionFunc) Eval(f func(string) (any, bool)) (bool, error) { return c(f) }

// Edits of the header while the body is on its way stay, and those of our own
// field are refused there, too.
func TestEditsOfTheHeaderStay(t *testing.T) {
	f := &fixture{}
	s := script{mail.PhaseHeaders: func(h *Hook) (mail.Verdict, error) {
		if err := h.DeleteHeader(0); !errors.Is(err, abi.ErrDenied) {
			t.Errorf("our own field can be deleted: %v", err)
		}
		_, err := h.AddHeader(-1, "X-Early", "1")
		return mail.Continue, errors.Join(err, h.AddScore("EARLY", 1500))
	}}
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s}), "x@b.test")
	m := whileItArrives(t, tx, "x").Messages[0]
	if m.Header.Count("X-Early") != 1 || m.Envelope.Score() != 1500 {
		t.Errorf("the edits are lost: %+v", m)
	}
}

// A stage learns of the queue and of the end; neither can change anything.
func TestQueuedAndReset(t *testing.T) {
	var seen []string
	tell := func(h *Hook) (mail.Verdict, error) {
		seen = append(seen, fmt.Sprint(h.StageName(), " ", h.Phase(), " ", h.Envelope().ID, " ", h.Header().Len()))
		return mail.Continue, nil
	}
	fails := func(h *Hook) (mail.Verdict, error) { tell(h); return 0, errors.New("trap") }
	f := &fixture{}
	p := f.pipeline(
		Step{Name: "a", Stage: script{mail.PhaseQueued: fails, mail.PhaseReset: fails}},
		Step{Name: "b", Stage: script{mail.PhaseQueued: tell, mail.PhaseReset: tell}},
		Step{Name: "for others", Stage: script{mail.PhaseMessage: tell, mail.PhaseReset: tell}, When: domainIs("z.test")},
		Step{Name: "saw nothing", Stage: script{mail.PhaseReset: tell}},
		Step{Name: "called", Stage: script{mail.PhaseMessage: tell, mail.PhaseReset: tell}, When: domainIs("b.test")},
	)
	tx := f.begin(p, "x@b.test")
	r := runMessage(tx, "")
	stages := len(r.Messages[0].Envelope.Stages)
	tx.Queued(t.Context(), r.Messages[0])
	tx.Close()
	want := []string{"called message 01 3", "a queued 01 3", "b queued 01 3", "a reset 01 0", "b reset 01 0", "called reset 01 0"}
	if !reflect.DeepEqual(seen, want) {
		t.Errorf("saw %q", seen)
	}
	if stages != 1 || len(r.Messages[0].Envelope.Stages) != 1 {
		t.Error("the envelope in the queue was changed")
	}
}

// It was a fault, and counted against the stage's breaker.
func TestVerdictInResetDroppedWhatTheStageDid(t *testing.T) {
	f, done := &fixture{}, 0
	rejects := func(h *Hook) (mail.Verdict, error) {
		h.OnCommit(func() error { done++; return nil })
		return mail.Reject, nil
	}
	p := f.pipeline(Step{Name: "a", Stage: script{mail.PhaseMessage: verdict(mail.Continue), mail.PhaseReset: rejects}})
	tx := f.begin(p, "x@b.test")
	runMessage(tx, "")
	tx.Close()
	if done != 1 {
		t.Errorf("committed %d times", done)
	}
}

// Each envelope says which code was called for it.
func TestTheCodeOfTheStagesIsNoted(t *testing.T) {
	f := &fixture{}
	tag := stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.AddHeader(0, "X-Tag", "1")
		return mail.Continue, err
	})
	tx := f.begin(f.pipeline(
		Step{Name: "early", Code: "native:early", Stage: earlyStage{mail.PhaseRcpt, verdict(mail.Continue)}},
		Step{Name: "tag", Code: "sha256:01", Stage: tag, When: domainIs("c.test")},
		Step{Name: "all", Code: "sha256:02", Stage: says(mail.Continue)},
		Step{Name: "nobody", Code: "sha256:03", Stage: says(mail.Continue), When: domainIs("d.test")},
	))
	for _, a := range []mail.Address{"x@b.test", "y@c.test"} {
		tx.Rcpt(t.Context(), mail.Recipient{Address: a})
	}
	r := runMessage(tx, "")
	early, tagged, all := mail.StageMark{Stage: "early", Code: "native:early"}, mail.StageMark{Stage: "tag", Code: "sha256:01"}, mail.StageMark{Stage: "all", Code: "sha256:02"}
	if got := r.Messages[0].Envelope.Stages; !reflect.DeepEqual(got, []mail.StageMark{early, all}) {
		t.Errorf("the first: %+v", got)
	}
	if got := r.Messages[1].Envelope.Stages; !reflect.DeepEqual(got, []mail.StageMark{early, tagged, all}) {
		t.Errorf("the second: %+v", got)
	}
	if got := fmt.Sprint(tx.Stages()); got != "[early@native:early all@02 tag@01]" {
		t.Errorf("passed %s", got)
	}
}
