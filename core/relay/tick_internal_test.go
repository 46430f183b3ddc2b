// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"testing"
	"time"
)

// A turn follows a turn at the interval; those that were missed are left out.
func TestTurnsThatWereMissedAreLeftOut(t *testing.T) {
	clock := NewFakeClock(time.Date(2030, 1, 1, 9, 0, 10, 0, time.UTC))
	k := &ticker{r: &Relay{clock: clock}, due: map[string]time.Time{}}
	s := ticking{"p", "s", time.Minute}
	turn := clock.Now().Add(-10 * time.Second)
	if next := k.after(s, turn); next != turn.Add(time.Minute) {
		t.Errorf("next turn %v", next)
	}
	clock.Advance(10 * time.Minute)
	if next := k.after(s, turn); next != clock.Now().Add(time.Minute) || k.due[stageKey("p", "s")] != next {
		t.Errorf("after missed turns the next is %v", next)
	}
}
