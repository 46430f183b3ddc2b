// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
)

// After a restore with a hold nothing goes out, and what somebody kept back
// before is not let go with the rest.
func TestHoldAllKeepsWhatWasHeld(t *testing.T) {
	r, err := Open(t.Context(), Options{Config: []byte(diskConfig), InMemory: true, LogOutput: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var ids []string
	for range 3 {
		id, err := r.Submit(t.Context(), Submission{Sender: "a@b.test", Recipients: []string{"c@d.test"}, Content: strings.NewReader("Subject: x\n\ny\n")})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	hold := func(id, why string, span time.Duration) {
		if _, err := (operator{r}).Act(context.Background(), control.Action{Verb: "hold", IDs: []string{id}, Reason: why, For: span}); err != nil {
			t.Fatal(err)
		}
	}
	hold(ids[1], "for ever", 0)
	hold(ids[2], "an hour", time.Hour)
	q := &StoppedQueue{r}
	if err := q.HoldAll(t.Context(), "restored", "ann"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"restored", "for ever", "restored"} {
		m, err := q.Show(t.Context(), ids[i])
		if err != nil || m.State != "held" || !strings.Contains(m.Reason, want) || !m.Until.IsZero() {
			t.Errorf("message %d: %s, %q until %s, %v", i, m.State, m.Reason, m.Until, err)
		}
	}
}
