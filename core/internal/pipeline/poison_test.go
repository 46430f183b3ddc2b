// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestPoisonCounts(t *testing.T) {
	p := NewPoison()
	for want := 1; want <= 4; want++ {
		if got := p.failed(digest{1}); got != want {
			t.Errorf("failure %d counts as %d", want, got)
		}
	}
	if got := p.failed(digest{2}); got != 1 {
		t.Errorf("another message counts as %d", got)
	}
}

func TestPoisonIsBounded(t *testing.T) {
	p := NewPoison()
	for i := range maxPoison + 1000 {
		var d digest
		binary.LittleEndian.PutUint64(d[:], uint64(i))
		p.failed(d)
	}
	if len(p.seen) != maxPoison || len(p.order) != maxPoison {
		t.Errorf("%d remembered, %d in order", len(p.seen), len(p.order))
	}
	var first, last digest
	binary.LittleEndian.PutUint64(last[:], maxPoison+999)
	if p.failed(last) != 2 || p.failed(first) != 1 {
		t.Error("the oldest did not go first")
	}
}

func TestPoisonIsThreeAttemptsAndNotThreeBranches(t *testing.T) {
	var f fixture
	p := f.pipeline(Step{Name: "split", Stage: stageFunc(func(h *Hook) (mail.Verdict, error) {
		_, err := h.Split([]int{0})
		if err == nil {
			_, err = h.Split([]int{1})
		}
		return mail.Continue, err
	})}, Step{Name: "bad", Stage: traps("trap")})
	p.o.Poison = NewPoison()
	for attempt := 1; attempt <= 2; attempt++ {
		if r := runMessage(f.begin(p, "a@x.test", "b@x.test", "c@x.test"), MixedTempfail); r.Reply == nil || !r.Reply.Temporary() {
			t.Errorf("attempt %d: %s", attempt, outline(r))
		}
	}
}

type headerStage struct{ n int }

func (*headerStage) Phases() mail.PhaseSet { return mail.Phases(mail.PhaseHeaders) }
func (s *headerStage) Run(_ context.Context, h *Hook) (mail.Verdict, error) {
	s.n++
	_, err := h.AddHeader(0, "X-Scan-Id", fmt.Sprint(s.n))
	return mail.Continue, err
}

func TestPoisonIsKnownWhateverStagesAddToItsHeader(t *testing.T) {
	var f fixture
	p := f.pipeline(Step{Name: "ids", Stage: &headerStage{}}, Step{Name: "bad", Stage: traps("trap")})
	p.o.Poison = NewPoison()
	var last Result
	for range 3 {
		tx := f.begin(p, "a@x.test")
		h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\n\r\n"))
		if r := tx.Headers(context.Background(), h, 0); r != nil {
			t.Fatal(r)
		}
		last = tx.Message(context.Background(), h, mail.BytesBody("x\r\n"), 0, MixedTempfail)
	}
	if last.Reply != nil {
		t.Errorf("third attempt: %s", outline(last))
	}
}

// A stage that traps while the message arrives puts it off for ever as one that
// traps behind it does.
func TestPoisonIsFoundWhileAMessageArrives(t *testing.T) {
	for _, phase := range []mail.Phase{mail.PhaseHeaders, mail.PhaseBody} {
		var f fixture
		later := 0
		p := f.pipeline(Step{Name: "bad", Stage: script{phase: fails("trap")}},
			Step{Name: "later", Stage: stageFunc(func(*Hook) (mail.Verdict, error) { later++; return mail.Continue, nil })})
		p.o.Poison = NewPoison()
		for attempt := 1; attempt <= 4; attempt++ {
			want, runs := "refused 451 4.3.0 local error, try again later", 0
			if attempt >= poisonAttempts {
				want, runs = "queue a@x.test hold quarantine", attempt-poisonAttempts+1
			}
			tx := f.begin(p, "a@x.test")
			if got := outline(whileItArrives(t, tx, "one", "two")); got != want || later != runs {
				t.Errorf("phase %v, attempt %d: %s, the next stage ran %d times; want %s, %d", phase, attempt, got, later, want, runs)
			}
			tx.Close()
		}
		if got := outline(whileItArrives(t, f.begin(p, "a@x.test"), "another")); got != "refused 451 4.3.0 local error, try again later" {
			t.Errorf("phase %v, another message: %s", phase, got)
		}
	}
}
