// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"errors"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// earlyStage is a native stage of one early phase.
type earlyStage struct {
	phase mail.Phase
	run   func(*Hook) (mail.Verdict, error)
}

func (s earlyStage) Phases() mail.PhaseSet { return mail.Phases(s.phase) }
func (s earlyStage) Run(_ context.Context, h *Hook) (mail.Verdict, error) {
	return s.run(h)
}

// A stage whose on_error is quarantine must not let mail pass because it fails
// at MAIL already.
func TestAStageThatFailsAtMailQuarantinesTheMessage(t *testing.T) {
	var f fixture
	broken := earlyStage{mail.PhaseMail, func(*Hook) (mail.Verdict, error) { return 0, errors.New("trap") }}
	tx := f.begin(f.pipeline(Step{Name: "scan", Stage: broken, OnError: OnErrorQuarantine}))
	if r := tx.Mail(context.Background()); r != nil {
		t.Fatalf("MAIL was refused: %v", r)
	}
	for _, a := range []mail.Address{"a@x.test", "b@x.test"} {
		if r := tx.Rcpt(context.Background(), mail.Recipient{Address: a, Original: a}); r != nil {
			t.Fatalf("RCPT was refused: %v", r)
		}
	}
	res := tx.Message(context.Background(), mail.Header{}, mail.BytesBody("x"), -1, MixedDrop)
	if len(res.Messages) != 1 || res.Messages[0].Hold == nil || res.Messages[0].Hold.Verdict != mail.Quarantine || res.Messages[0].Hold.Stage != "scan" {
		t.Errorf("the message is not in quarantine: %+v", res)
	}
}

// A client that tries one address after the other must not make the envelope,
// and the queue's record of it, grow.
func TestRefusedRecipientsLeaveNothingBehind(t *testing.T) {
	var f fixture
	only := earlyStage{mail.PhaseRcpt, func(h *Hook) (mail.Verdict, error) {
		if h.Envelope().Recipients[h.Arg()].Address == "good@x.test" {
			return mail.Continue, nil
		}
		return mail.Reject, nil
	}}
	tx := f.begin(f.pipeline(Step{Name: "lists", Stage: only}))
	for _, a := range []mail.Address{"a@x.test", "b@x.test", "good@x.test", "c@x.test"} {
		tx.Rcpt(context.Background(), mail.Recipient{Address: a, Original: a})
	}
	if rs := tx.Envelope().Recipients; len(rs) != 1 || rs[0].Address != "good@x.test" || rs[0].Removed {
		t.Errorf("recipients %+v, want good@x.test alone", rs)
	}
}

// A stage that is asked about one recipient routes that one alone.
func TestARouteAtRcptIsForTheRecipientAtHand(t *testing.T) {
	var f fixture
	s := earlyStage{mail.PhaseRcpt, func(h *Hook) (mail.Verdict, error) {
		if h.Arg() == 0 {
			return mail.Continue, nil
		}
		if err := h.SetRoute(0, "mx", ""); !errors.Is(err, abi.ErrWrongPhase) {
			t.Errorf("another recipient: %v", err)
		}
		return mail.Continue, h.SetRoute(-1, "mx", "")
	}}
	tx := f.begin(f.pipeline(Step{Name: "s", Stage: s}))
	for _, a := range []mail.Address{"a@x.test", "b@x.test"} {
		tx.Rcpt(context.Background(), mail.Recipient{Address: a})
	}
	if rs := tx.Envelope().Recipients; rs[0].Route != "" || rs[1].Route != "mx" {
		t.Errorf("recipients %+v", rs)
	}
}
