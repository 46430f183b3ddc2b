// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// A hook does in each phase what the table of the ABI says, for stages in Go as
// for guests.
func TestWhatAHookMayDoInEachPhase(t *testing.T) {
	calls := map[string]func(h *Hook) error{
		"reply":        func(h *Hook) error { return h.SetReply(550, mail.Enhanced{}, "x") },
		"rcpt_verdict": func(h *Hook) error { return h.SetRecipientVerdict(0, mail.Reject, nil) },
		"hdr_add":      func(h *Hook) error { _, err := h.AddHeader(0, "X-A", "1"); return err },
		"hdr_set":      func(h *Hook) error { return h.SetHeader(0, "1") },
		"hdr_del":      func(h *Hook) error { return h.DeleteHeader(0) },
		"rcpt_add":     func(h *Hook) error { _, err := h.AddRecipient("z@b.test"); return err },
		"rcpt_set":     func(h *Hook) error { return h.SetRecipient(0, "z@b.test") },
		"rcpt_del":     func(h *Hook) error { return h.RemoveRecipient(0) },
		"sender_set":   func(h *Hook) error { return h.SetSender("z@b.test") },
		"msg_size":     func(h *Hook) error { _, err := h.Size(viewOf(h)); return err },
		"msg_read":     func(h *Hook) error { _, err := h.ReadMessage(viewOf(h), nil, 0); return err },
		"body_write":   func(h *Hook) error { return h.WriteBody([]byte("x"), true) },
		"part_count":   func(h *Hook) error { _, err := h.Parts(); return err },
		"part_read":    func(h *Hook) error { _, err := h.ReadPart(0, abi.PartRaw, nil, 0); return err },
		"meta_set":     func(h *Hook) error { return h.SetMeta(ScopeSession, "k", "v") },
		"score":        func(h *Hook) error { return h.AddScore("X", 1) },
		"split":        func(h *Hook) error { _, err := h.Split([]int{0}); return err },
		"use":          func(h *Hook) error { return h.Use(0) },
		"route_set":    func(h *Hook) error { return h.SetRoute(0, "mx", "") },
		"queue_set":    func(h *Hook) error { return h.SetQueue(abi.QueueNotBefore, 1) },
		"label_set":    func(h *Hook) error { return h.SetLabel(abi.LabelTenant, "shop") },
		"emit":         func(h *Hook) error { return h.Emit(note("r@b.test")) },
		"ehlo_set":     func(h *Hook) error { return h.SetEHLO(abi.EHLOAdd, "XTEST") },
	}
	f := &fixture{}
	p := f.pipeline()
	for _, fn := range abi.Functions() {
		call, ok := calls[fn.Name]
		if !ok {
			continue
		}
		delete(calls, fn.Name)
		for _, phase := range mail.AllPhases() {
			env := &mail.Envelope{Client: mail.Client{Notes: map[string]string{}}, Recipients: []mail.Recipient{{Address: "r@b.test"}}}
			h := NewHook(p, "s", phase, 0, env, mail.ParseHeader([]byte("Subject: x\r\n\r\n")), mail.BytesBody("x"))
			h.With(Setup{Delivery: &Delivery{}})
			err := call(h)
			h.Drop()
			if allowed := mail.PhaseSet(fn.Phases).Has(phase); allowed && err != nil || !allowed && !errors.Is(err, abi.ErrWrongPhase) {
				t.Errorf("%s in phase %v, allowed %v: %v", fn.Name, phase, allowed, err)
			}
		}
	}
	for name := range calls {
		t.Errorf("the ABI has no function %s", name)
	}
}

func viewOf(h *Hook) int {
	if h.Phase() == mail.PhaseBody {
		return ViewChunk
	}
	return ViewRaw
}

func note(to mail.Address) Emission {
	return Emission{Recipients: []mail.Address{to}, Header: []byte("Subject: note\r\n"), Body: []byte("a\nb")}
}

// A failed stage costs at most its own phase: refused on the way in, held or
// tried again on the way out, and no more where the decision has been made.
func TestOnErrorInEachPhase(t *testing.T) {
	on := map[OnError]map[mail.Phase]mail.Verdict{
		OnErrorSkip:       {},
		OnErrorTempfail:   {mail.PhaseRoute: mail.Tempfail, mail.PhasePredeliver: mail.Tempfail},
		OnErrorReject:     {mail.PhaseRoute: mail.Tempfail, mail.PhasePredeliver: mail.Tempfail},
		OnErrorQuarantine: {mail.PhaseRoute: mail.Defer, mail.PhasePredeliver: mail.Defer},
	}
	incoming := map[OnError]mail.Verdict{OnErrorTempfail: mail.Tempfail, OnErrorReject: mail.Reject, OnErrorQuarantine: mail.Quarantine}
	for policy, want := range on {
		s := &Step{Name: "s", OnError: policy}
		for _, phase := range mail.AllPhases() {
			w := want[phase]
			if phase <= mail.PhaseMessage {
				w = incoming[policy]
			}
			f := s.fault(phase, errors.New("trap"))
			if f.verdict != w || f.refused() && f.reply == nil {
				t.Errorf("on_error %s in phase %v: %v %v, want %v", policy, phase, f.verdict, f.reply, w)
			}
		}
	}
}
