// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/mail"
)

// A recipient that is held waits for an operator, alone of its message, through
// a restart, and without an attempt having been counted.
func TestAHeldRecipientWaitsForAnOperator(t *testing.T) {
	for _, verb := range []string{"release", "retry"} {
		t.Run(verb, func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			id := ident("held")
			r.enqueue(message(id, small, "x@one.example", "y@two.example"))
			r.one()
			held := mail.Outcome{Recipient: 0, Reply: mail.Reply{Code: 451, Text: "held by stage s: why"}}
			r.settle(Result{Message: id, Outcomes: []Settled{{Recipient: 0, Outcome: held, Held: true, Untried: true}}})
			if s := r.queue.Stats(); s.Held.Recipients != 1 || s.Ready.Messages != 1 {
				t.Errorf("stats %+v", s)
			}
			r.settle(delivered(id, 1))
			if s := r.queue.Stats(); s.Held.Messages != 1 || s.Held.Recipients != 1 || s.Ready.Messages+s.Deferred.Messages != 0 {
				t.Errorf("stats %+v", s)
			}
			r.reopen()
			r.clock.Advance(1000 * time.Hour)
			if ls := r.due(); len(ls) != 0 {
				t.Fatalf("leased %+v", ls)
			}
			m, err := r.show(id)
			if err != nil || !m.States[0].Held || m.States[0].Attempts != 0 || m.States[0].Last.Reply.Text != "held by stage s: why" {
				t.Fatalf("%+v, %v", m, err)
			}
			if l := r.list(Filter{State: Held}); len(l) != 1 {
				t.Errorf("list %+v", l)
			}
			do := map[string]func(context.Context, ...string) error{"release": r.queue.Release, "retry": r.queue.Retry}[verb]
			if err := do(context.Background(), id); err != nil {
				t.Fatal(err)
			}
			if l := r.one(); len(l.Recipients) != 1 || l.Recipients[0] != 0 || l.Message.States[0].Held {
				t.Errorf("lease %+v", l)
			}
		})
	}
}

// A hold of the message that ends does not end that of a recipient.
func TestTheEndOfAHoldLeavesHeldRecipients(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	id := ident("both")
	r.enqueue(message(id, small, "x@one.example", "y@two.example"))
	r.one()
	r.settle(Result{Message: id, Outcomes: []Settled{{Recipient: 0, Held: true}}})
	if err := r.queue.Hold(context.Background(), Hold{Kind: OnHold, By: "operator", Until: r.clock.Now().Add(time.Hour)}, id); err != nil {
		t.Fatal(err)
	}
	r.queue.Return(id, []int{1})
	r.clock.Advance(time.Hour)
	r.due() // ends the hold
	if l := r.due(); len(l) == 1 && (len(l[0].Recipients) != 1 || l[0].Recipients[0] != 1) {
		t.Errorf("leased %+v", l)
	}
	if m, err := r.show(id); err != nil || m.Hold != nil || !m.States[0].Held || !m.States[1].Leased {
		t.Errorf("%+v, %v", m, err)
	}
}

// An operator may name a message twice.
func TestAMessageThatIsNamedTwice(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(ident("a"), 10, "x@one.example"), message(ident("b"), 10, "x@one.example"))
	if err := r.queue.Drop(context.Background(), ident("a"), ident("b"), ident("a")); err != nil {
		t.Fatal(err)
	}
	if s := r.queue.Stats(); s != (Stats{}) {
		t.Errorf("%+v", s)
	}
	r.close()
}

// A suspension that is ended while delivery looks at its mail keeps none of it
// back: delivery shelves what Resume could not find on the shelf.
func TestResumedMailIsNotShelvedBehindTheBack(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(serial(1), small, "x@one.example"))
	s, err := r.queue.Suspend(Suspension{ID: serial(2), Domain: "one.example", Until: start.Add(24 * time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	l := r.one() // delivery finds it suspended
	if _, err := r.queue.Resume(s.ID); err != nil {
		t.Fatal(err)
	}
	r.queue.Shelve(l.Message.ID(), l.Recipients, s.Until)
	if ls := r.due(); len(ls) != 1 {
		t.Errorf("%d messages are due, and nothing is suspended", len(ls))
	}
}
