// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// leafLoops are the exports of testdata/leaf.wasm that come to an end.
func leafLoops() []string {
	return []string{"vector", "types", "nested", "results", "returns", "helped", "switch", "params", "empty", "pairs"}
}

// TestReentry ends the slice at every place of loops that call nothing: they go
// on as if nothing had been, and burn the same units as with one long slice.
func TestReentry(t *testing.T) {
	wasm := read(t, "testdata/leaf.wasm")
	for engine, config := range engines() {
		plain, err := start(t, config, wasm)
		if err != nil {
			t.Fatal(err)
		}
		g, err := start(t, config, rewrite(t, wasm))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range leafLoops() {
			t.Run(engine+"/"+name, func(t *testing.T) { reenter(t, plain, g, name) })
		}
	}
}

func reenter(t *testing.T, plain, g *guest, name string) {
	const budget, rounds = 3 * metering.SliceUnits, 9
	_, whole, err := g.call(metering.NewState(budget, 10), name, rounds)
	if _, errPlain := plain.ExportedFunction(name).Call(plain.ctx, rounds); err != nil || errPlain != nil {
		t.Fatal(err, errPlain)
	}
	for slice := range int64(600) {
		want, err := plain.ExportedFunction(name).Call(plain.ctx, rounds)
		if err != nil {
			t.Fatal(err)
		}
		got, s, err := g.call(metering.State{Slice: slice, Total: budget - slice, Depth: 10}, name, rounds)
		if err != nil || got[0] != want[0] || s.Left() != whole.Left() && name != "switch" || s.Depth != 10 {
			t.Fatalf("with %d units in the first slice: %x, want %x; %+v, want %+v: %v", slice, got, want, s, whole, err)
		}
	}
}

// TestLeafFuel: a loop that calls nothing ends by its fuel, no later than one
// iteration behind it, whatever the budget.
func TestLeafFuel(t *testing.T) {
	const iteration = 200 // units of the longest
	g := mustGuest(t, read(t, "testdata/leaf.wasm"))
	for _, name := range append(leafLoops(), "endless") {
		if name == "helped" {
			continue // it is not long enough
		}
		for _, fuel := range []int64{0, 1, 50, metering.SliceUnits, metering.SliceUnits + 1, 2*metering.SliceUnits + 7} {
			_, s, err := g.call(metering.NewState(fuel, 10), name, 1<<30)
			mustCause(t, s, err, metering.CauseFuel)
			if over := -s.Left(); over < 1 || over > iteration {
				t.Errorf("%s with %d units went %d units over", name, fuel, over)
			}
		}
	}
}

func mustGuest(t *testing.T, wasm []byte) *guest {
	g, err := start(t, engines()["compiler"], rewrite(t, wasm))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestLeafKill: while a loop that calls nothing runs, the garbage collector gets
// its turn, and once kill is set the loop burns no more than what is left of its
// slice and one slice that the helper may be about to give.
func TestLeafKill(t *testing.T) {
	g := mustGuest(t, read(t, "testdata/leaf.wasm"))
	total := mutable(g, metering.NameTotal)
	setState(g, metering.NewState(1<<50, 10))
	left := make(chan int64)
	go func() {
		for range 5 {
			runtime.GC() // comes to an end only when the guest gives way
		}
		mutable(g, metering.NameKill).Set(1)
		left <- int64(total.Get())
	}()
	_, err := g.ExportedFunction("endless").Call(g.ctx, 0)
	atKill, s := <-left, readState(g)
	mustCause(t, s, err, metering.CauseKill)
	if refilled := atKill - s.Total; refilled > metering.SliceUnits || s.Slice < -200 {
		t.Errorf("refilled %d units after kill was set, slice is %d", refilled, s.Slice)
	}
}

// TestGrowth: no module becomes much larger than it was, whatever it is made of.
func TestGrowth(t *testing.T) {
	many := func(code string) string { return strings.Repeat(code, 6_000/len(code)) }
	sets := strings.Repeat("\x20\x00\x21\x00\x20\x01\x21\x01\x20\x02\x21\x02\x20\x03\x21\x03", 4)
	for name, body := range map[string]string{
		"branches":     "\x02\x40" + many("\x20\x00\x0d\x00") + "\x0b",
		"loops":        many("\x03\x40\x20\x00\x0d\x00\x0b"),
		"empty loops":  many("\x03\x40\x0b"),
		"nested loops": strings.Repeat("\x03\x40", 2_000) + sets + strings.Repeat("\x0b", 2_000),
		"in one loop":  "\x03\x40" + sets + many("\x03\x40\x20\x00\x0d\x00\x0b") + "\x0b",
		"deep labels":  strings.Repeat("\x03\x40", 900) + many("\x20\x00\x0d\x00") + strings.Repeat("\x0b", 900),
		"tables":       "\x03\x40" + many("\x02\x40\x03\x40\x41\x00\x0e\x03\x00\x01\x02\x02\x0b\x0b") + "\x0b",
		"bulk":         many("\x41\x00\x41\x00\x41\x00\xfc\x0b\x00"),
	} {
		wasm := magic + types + section(2, "\x00") + functions + memories +
			"\x0a" + long("\x01"+long("\x01\x04\x7f"+body+"\x0b"))
		out := rewrite(t, []byte(wasm))
		if err := compile(t, out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if times := float64(len(out)) / float64(len(wasm)); times > 8 {
			t.Errorf("%s: %.1f times as large as before", name, times)
		} else {
			t.Logf("%s: %.1f times as large as before", name, times)
		}
	}
}
