// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// TestAStageThatDiesBetweenAnyTwoEditsChangesNothing: a filter that is lost in the
// middle of its edits must not leave a message with half of them, whatever
// on_error says.
func TestAStageThatDiesBetweenAnyTwoEditsChangesNothing(t *testing.T) {
	edits := []func(*Hook) error{
		func(h *Hook) error { _, err := h.AddHeader(0, "X-New", "1"); return err },
		func(h *Hook) error { return h.SetSender("other@x.test") },
		func(h *Hook) error { _, err := h.AddRecipient("more@x.test"); return err },
		func(h *Hook) error { return h.SetRecipient(0, "other@x.test") },
		func(h *Hook) error { return h.RemoveRecipient(1) },
		func(h *Hook) error { return h.SetRoute(0, "other", "") },
		func(h *Hook) error { return h.WriteBody([]byte("one\r\n"), true) },
		func(h *Hook) error { return h.WriteBody([]byte("two\r\n"), false) },
		func(h *Hook) error { return h.SetMeta(ScopeMessage, "k", "v") },
		func(h *Hook) error { return h.SetMeta(ScopeSession, "k", "v") },
	}
	for _, policy := range []OnError{OnErrorTempfail, OnErrorSkip, OnErrorReject, OnErrorQuarantine} {
		untouched := cutAt(t, edits, 0, policy)
		for k := 1; k <= len(edits); k++ {
			if got := cutAt(t, edits, k, policy); got != untouched {
				t.Errorf("on_error = %v: a stage that dies after %d edits leaves\n%s, one that dies at once\n%s", policy, k, got, untouched)
			}
		}
	}
}

// cutAt is what becomes of a message whose stage makes the first k edits and dies.
func cutAt(t *testing.T, edits []func(*Hook) error, k int, policy OnError) string {
	t.Helper()
	f := &fixture{}
	dies := stageFunc(func(h *Hook) (mail.Verdict, error) {
		for i, edit := range edits[:k] {
			if err := edit(h); err != nil {
				t.Errorf("edit %d: %v", i, err)
			}
		}
		return 0, errors.New("trap")
	})
	tx := f.begin(f.pipeline(Step{Name: "dies", Stage: dies, OnError: policy}), "x@b.test", "y@c.test")
	r := runMessage(tx, "")
	out := fmt.Sprint(r.Reply, len(r.Messages))
	for _, m := range r.Messages {
		body, _ := io.ReadAll(io.NewSectionReader(m.Body, 0, m.Body.Size()))
		out += fmt.Sprintf(" | %s %v %v %v %q %s %v", m.Envelope.Sender, m.Envelope.Recipients, m.Envelope.Meta, m.Envelope.Client.Notes,
			body, m.Header.AppendTo(nil), m.Hold != nil)
	}
	return out
}
