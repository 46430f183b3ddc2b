// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/mail"
)

// That a sender was told of a delay is in the batch that holds the report, and
// stays through further attempts, an operator's retry and a restart.
func TestADelayIsReportedOnce(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	id := ident("late")
	r.enqueue(message(id, small, "x@one.example", "y@two.example"))
	r.one()
	warning := message(ident("warning"), small, "from@sender.example")
	later := r.clock.Now().Add(time.Hour)
	at := r.clock.Now()
	not := mail.Outcome{Reply: mail.Reply{Code: 451, Text: "not now"}}
	r.settle(Result{Message: id, DSN: []*Message{warning}, Outcomes: []Settled{
		{Recipient: 0, Outcome: not, Next: later, Warned: true}, {Recipient: 1, Outcome: not, Next: later}}})
	r.warned(id, true, false)
	r.reopen()
	r.warned(id, true, false)
	if _, err := r.show(warning.Envelope.ID); err != nil {
		t.Error(err)
	}
	if err := r.queue.Retry(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	r.clock.Advance(time.Minute)
	r.due()
	r.settle(Result{Message: id, Outcomes: []Settled{{Recipient: 0, Outcome: not, Next: later}}})
	r.reopen()
	r.warned(id, true, false)
	if m, err := r.queue.Show(t.Context(), id); err != nil || !m.States[0].WarnedAt.Equal(at) || !m.States[1].WarnedAt.IsZero() {
		t.Errorf("warned at %v, want %v; %v", m.States, at, err)
	}
}

func (r *rig) warned(id string, want ...bool) {
	r.t.Helper()
	m, err := r.show(id)
	if err != nil {
		r.t.Fatal(err)
	}
	for i, w := range want {
		if m.States[i].Warned != w {
			r.t.Errorf("recipient %d: warned is %t", i, !w)
		}
	}
}
