// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/queue"
)

// What people read begins with the word that programs read, once.
func TestWhyBeginsWithTheWordForIt(t *testing.T) {
	until := time.Date(2030, 1, 1, 9, 0, 0, 0, time.UTC)
	leased := delivery.State{Leased: true}
	held := delivery.State{Held: heldBy(&queue.Hold{Kind: queue.OnHold, By: "operator ann", Reason: "look"})}
	kept := delivery.State{Held: heldBy(&queue.Hold{Kind: queue.Quarantine, By: "stage filter", Reason: "odd"})}
	for _, c := range []struct {
		d    delivery.Decision
		st   delivery.State
		want string
	}{
		{delivery.Decision{Reason: "due: next hop has 0 of 4 connections", Hop: "mx a.example"}, delivery.State{}, "due: next hop has 0 of 4 connections, next hop mx a.example"},
		{delivery.Decision{Action: delivery.Wait, Reason: "attempt 1: 451 no", Until: until}, delivery.State{}, "waiting: attempt 1: 451 no, until 2030-01-01T09:00:00Z"},
		{delivery.Decision{Action: delivery.Wait, Reason: held.Held}, held, "held: by operator ann: look"},
		{delivery.Decision{Action: delivery.Wait, Reason: kept.Held}, kept, "held: quarantine by stage filter: odd"},
		{delivery.Decision{Action: delivery.NoRoute, Reason: "the configuration has no route \"x\""}, delivery.State{}, "no route: the configuration has no route \"x\""},
		{delivery.Decision{Action: delivery.Expire, Reason: "expired at noon"}, delivery.State{}, "expired at noon"},
		{delivery.Decision{Action: delivery.Suspend, Reason: "suspended (tenant a) by ann"}, delivery.State{}, "suspended (tenant a) by ann"},
		{delivery.Decision{Action: delivery.Stall, Reason: "stalled: the disk"}, delivery.State{}, "stalled: the disk"},
		{delivery.Decision{Reason: "leased: stages are asked"}, leased, "leased: stages are asked"},
		{delivery.Decision{Place: delivery.UnderWay, Reason: "attempt under way since noon"}, leased, "attempt under way since noon"},
		{delivery.Decision{Place: delivery.InLine, Reason: "in line: 1 recipient"}, leased, "in line: 1 recipient"},
		{delivery.Decision{Place: delivery.InLine, Action: delivery.Resolve, Reason: "the mail exchangers are being looked up"}, leased, "unresolved: the mail exchangers are being looked up"},
	} {
		if got := why(inAWord(c.d, c.st), c.d); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
