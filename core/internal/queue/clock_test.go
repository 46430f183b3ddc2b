// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const day = 24 * time.Hour

// TestAClockThatJumps: the clock is a day off and is set right, or the other way
// round. Nothing is lost or stuck: new mail is due at once by either clock, also
// after a restart, and what was deferred by the wrong clock is due when that
// time comes by the right one, or when somebody says retry.
func TestAClockThatJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{"forth": day, "back": -day} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			before, after, late := ident("before"), ident("after"), ident("late")
			r.enqueue(message(before, small, "x@one.example"), message(late, small, "x@one.example"))
			r.due()
			r.queue.Return(before, []int{0})
			r.settle(later(late, 0, r.clock.Now().Add(time.Hour)))
			r.clock.Advance(jump)
			m := message(after, small, "x@one.example")
			m.Envelope.Received = r.clock.Now()
			r.enqueue(m)
			r.reopen()
			due := map[string]bool{}
			for _, l := range r.due() {
				due[l.Message.ID()] = true
			}
			if !due[before] || !due[after] {
				t.Errorf("due after the jump: %v", due)
			}
			if due[late] != (jump > 0) {
				t.Errorf("what was deferred by an hour is due: %v", due[late])
			}
			r.setRight(jump, late, due[late])
		})
	}
}

// setRight undoes the jump, and checks that a deferred message comes.
func (r *rig) setRight(jump time.Duration, late string, leased bool) {
	r.t.Helper()
	if leased {
		r.queue.Return(late, []int{0})
	}
	r.clock.Advance(-jump + time.Hour)
	for _, l := range r.due() {
		if l.Message.ID() == late {
			return
		}
	}
	r.t.Error("a deferred message is stuck")
}

// TestADayAheadIsCaughtUpByRetry: mail that was deferred while the clock was a
// day ahead waits for that day; an operator need not.
func TestADayAheadIsCaughtUpByRetry(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.clock.Advance(day)
	r.enqueue(message(ident("a"), small, "x@one.example"))
	r.due()
	r.settle(later(ident("a"), 0, r.clock.Now().Add(time.Minute)))
	r.clock.Advance(-day)
	if ls := r.due(); len(ls) != 0 {
		t.Fatalf("due: %v", ls)
	}
	if next, ok := r.queue.NextDue(); !ok || next.Sub(r.clock.Now()) != day+time.Minute {
		t.Errorf("next at %v, %v", next, ok)
	}
	if err := r.queue.Retry(t.Context(), ident("a")); err != nil {
		t.Fatal(err)
	}
	r.one()
}

// TestHoldsWhileTheClockJumps: a quarantine that ends a day too early by a wrong
// clock is the price of a wrong clock; one without an end never ends.
func TestHoldsWhileTheClockJumps(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	m := message(ident("a"), small, "x@one.example")
	m.Hold = &Hold{Kind: OnHold, Reason: "why"}
	r.enqueue(m)
	for _, jump := range []time.Duration{day, -2 * day, day} {
		r.clock.Advance(jump)
		if ls := r.due(); len(ls) != 0 {
			t.Errorf("held mail is due after a jump of %v", jump)
		}
	}
	if s := r.queue.Stats(); s.Held.Messages != 1 {
		t.Errorf("%+v", s)
	}
}
