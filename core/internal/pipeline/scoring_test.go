// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

func TestScores(t *testing.T) {
	f := &fixture{}
	add := func(symbol string, milli int32) func(*Hook) (mail.Verdict, error) {
		return func(h *Hook) (mail.Verdict, error) { return mail.Continue, h.AddScore(symbol, milli) }
	}
	high := conditionFunc(func(fact func(string) (any, bool)) (bool, error) {
		v, ok := fact("message.score")
		return ok && v.(int64) >= 7000, nil
	})
	tx := f.begin(f.pipeline(
		Step{Name: "a", Stage: script{mail.PhaseMail: add("EARLY", 2500)}},
		Step{Name: "b", Stage: stageFunc(add("LATE", 5000))},
		Step{Name: "c", Stage: stageFunc(add("GOOD", -500))},
		Step{Name: "lost", Stage: stageFunc(func(h *Hook) (mail.Verdict, error) { _ = h.AddScore("LOST", 100); return 0, errors.New("trap") }), OnError: OnErrorSkip},
		Step{Name: "policy", Stage: says(mail.Quarantine), When: high},
	), "x@b.test")
	tx.Mail(t.Context())
	r := runMessage(tx, "")
	if got := outline(r); got != "queue x@b.test hold quarantine" {
		t.Error(got)
	}
	e := r.Messages[0].Envelope
	if e.Score() != 7000 || len(e.Scores) != 3 || e.Scores[0] != (mail.Score{Stage: "a", Symbol: "EARLY", Milli: 2500}) {
		t.Errorf("scores %+v", e.Scores)
	}
}

func TestScoresThatAreRefused(t *testing.T) {
	h := NewHook(New(Options{}), "s", mail.PhaseMessage, 0, &mail.Envelope{}, mail.Header{}, nil)
	for _, symbol := range []string{"", "A B", "A\r\nB", "\x00", "\xff", strings.Repeat("x", maxSymbol+1)} {
		if err := h.AddScore(symbol, 1); !errors.Is(err, abi.ErrBadArgument) {
			t.Errorf("symbol %q: %v", symbol, err)
		}
	}
	for i := range maxScores + 1 {
		if err := h.AddScore("X", math.MaxInt32); (err == nil) != (i < maxScores) {
			t.Fatalf("score %d: %v", i, err)
		}
	}
	if got := h.Envelope().Score(); got != maxScores*math.MaxInt32 {
		t.Errorf("the sum is %d", got)
	}
}

func TestSetQueue(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	for _, c := range []struct {
		key  int
		val  int64
		want error
		is   func(e *mail.Envelope) bool
	}{
		{abi.QueueNotBefore, at.UnixMilli(), nil, func(e *mail.Envelope) bool { return e.NotBefore.Equal(at) }},
		{abi.QueueNotBefore, 0, nil, func(e *mail.Envelope) bool { return e.NotBefore.IsZero() }},
		{abi.QueueExpires, at.UnixMilli(), nil, func(e *mail.Envelope) bool { return e.Expires.Equal(at) }},
		{abi.QueuePriority, -100, nil, func(e *mail.Envelope) bool { return e.Priority == -100 }},
		{abi.QueueDSN, 0, nil, func(e *mail.Envelope) bool { return e.NoDSN }},
		{abi.QueueDSN, 1, nil, func(e *mail.Envelope) bool { return !e.NoDSN }},
		{abi.QueueNotBefore, -1, abi.ErrBadArgument, nil},
		{abi.QueueExpires, math.MaxInt64, abi.ErrBadArgument, nil},
		{abi.QueuePriority, 101, abi.ErrBadArgument, nil},
		{abi.QueueDSN, 2, abi.ErrBadArgument, nil},
		{99, 0, abi.ErrUnsupported, nil},
	} {
		f := &fixture{}
		r := runMessage(f.begin(f.pipeline(Step{Name: "s", Stage: stageFunc(func(h *Hook) (mail.Verdict, error) {
			if err := h.SetQueue(c.key, c.val); !errors.Is(err, c.want) {
				t.Errorf("key %d value %d: %v", c.key, c.val, err)
			}
			return mail.Continue, nil
		})}), "x@b.test"), "")
		if e := r.Messages[0].Envelope; c.is != nil && !c.is(e) {
			t.Errorf("key %d value %d: %+v", c.key, c.val, e)
		}
	}
}
