// SPDX-License-Identifier: Apache-2.0

package clock_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postroad-mail/postroad/core/internal/clock"
)

func TestClockRunsCallbacksInDueOrder(t *testing.T) {
	start := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	c := clock.NewFake(start)
	var got []string
	note := func(name string) func() {
		return func() { got = append(got, name+" "+c.Now().Sub(start).String()) }
	}
	c.AfterFunc(2*time.Second, note("b"))
	c.AfterFunc(time.Second, func() {
		note("a")()
		c.AfterFunc(500*time.Millisecond, note("added"))
	})
	c.AfterFunc(2*time.Second, note("c"))
	stop := c.AfterFunc(time.Second, note("stopped"))
	c.AfterFunc(time.Hour, note("later"))
	c.AfterFunc(-time.Second, note("at once"))
	if !stop() || stop() {
		t.Error("stop must report true once, then false")
	}
	c.Advance(0)
	c.Advance(3 * time.Second)
	want := []string{"at once 0s", "a 1s", "added 1.5s", "b 2s", "c 2s"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if next, ok := c.Next(); !ok || next != start.Add(time.Hour) {
		t.Errorf("next = %v %v", next, ok)
	}
	if c.Now() != start.Add(3*time.Second) {
		t.Errorf("now = %v", c.Now())
	}
}
