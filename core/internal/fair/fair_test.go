// SPDX-License-Identifier: Apache-2.0

package fair

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestTurns runs Line by tables: flows with the recipients of their messages, in
// the order in which they wake, and who has the turns.
func TestTurns(t *testing.T) {
	for _, c := range []struct{ name, flows, turns string }{
		{"one flow goes on", "a/x:1,1,1", "a/x a/x a/x"},
		{"tenants take turns", "a/x:1,1,1 b/x:1,1 c/x:1", "a/x b/x c/x a/x b/x a/x"},
		{"campaigns take turns within their tenant", "a/x:1,1,1 a/y:1,1 b/x:1,1", "a/x b/x a/y b/x a/x a/y a/x"},
		{"a turn costs its recipients", "a/x:3,3 b/x:1,1,1,1,1", "a/x b/x b/x b/x a/x b/x b/x"},
		{"a higher priority goes first", "a/x:1,1 5a/x:1,1", "5a/x 5a/x a/x a/x"},
		{"one recipient in ten is of a lower one", "5a/x:1*20 a/x:1,1,1", strings.Repeat("5a/x ", 9) + "a/x " +
			strings.Repeat("5a/x ", 9) + "a/x 5a/x 5a/x a/x"},
		{"lower ones share that by turns", "5a/x:1*20 a/x:1,1 -5a/x:1", strings.Repeat("5a/x ", 9) + "a/x " +
			strings.Repeat("5a/x ", 9) + "-5a/x 5a/x 5a/x a/x"},
		{"a list of high priority brings lower ones their part", "5a/x:18,1,1 a/x:1,1,1", "5a/x a/x a/x 5a/x 5a/x a/x"},
	} {
		if got := strings.Join(turns(c.flows), " "); got != strings.TrimSpace(c.turns) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.turns)
		}
	}
}

// turns plays the flows of a text to the end.
func turns(text string) (got []string) {
	var l Line[*[]int]
	for _, spec := range strings.Fields(text) {
		name, costs, _ := strings.Cut(spec, ":")
		l.Wake(&Flow[*[]int]{Key: keyOf(name), Value: numbers(costs)})
	}
	for f := l.Next(); f != nil; f = l.Next() {
		got = append(got, nameOf(f.Key))
		l.Charge(f, (*f.Value)[0])
		if *f.Value = (*f.Value)[1:]; len(*f.Value) == 0 {
			l.Sleep(f)
		}
	}
	return got
}

func keyOf(name string) (k Key) {
	tenant, campaign, _ := strings.Cut(name, "/")
	fmt.Sscan(strings.TrimRight(tenant, "abc"), &k.Priority)
	k.Tenant, k.Campaign = strings.TrimLeft(tenant, "-0123456789"), campaign
	return k
}

func nameOf(k Key) string {
	if k.Priority == 0 {
		return k.Tenant + "/" + k.Campaign
	}
	return fmt.Sprint(k.Priority) + k.Tenant + "/" + k.Campaign
}

// numbers reads "3,1" or "1*20".
func numbers(s string) *[]int {
	var v, times int
	if n, _ := fmt.Sscanf(s, "%d*%d", &v, &times); n == 2 {
		ns := slices.Repeat([]int{v}, times)
		return &ns
	}
	var ns []int
	for _, one := range strings.Split(s, ",") {
		fmt.Sscan(one, &v)
		ns = append(ns, v)
	}
	return &ns
}

// TestLineAndModel does random things with a Line and with a model that has the
// rules in loops over everybody.
func TestLineAndModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var l Line[int]
		m := newModel()
		flows := everybody()
		for step := range 2000 {
			f := flows[rng.IntN(len(flows))]
			switch n := rng.IntN(10); {
			case n < 2:
				l.Wake(f)
				m.wake(f.Key)
			case n < 3:
				l.Sleep(f)
				m.sleep(f.Key)
			default:
				if !sameTurn(&l, m, 1+rng.IntN(4)*rng.IntN(4)) {
					t.Fatalf("seed %d, step %d: the line says %+v, the model otherwise", seed, step, l.Next())
				}
			}
		}
	}
}

// everybody is flows of three priorities, with tenants of up to three campaigns.
func everybody() (flows []*Flow[int]) {
	for _, p := range []int8{-5, 0, 5} {
		for _, name := range []string{"a/x", "a/y", "b/x", "c/x", "c/y", "c/z"} {
			k := keyOf(name)
			k.Priority = p
			flows = append(flows, &Flow[int]{Key: k})
		}
	}
	return flows
}

// sameTurn takes a turn if both say that it is the same flow's.
func sameTurn(l *Line[int], m *model, cost int) bool {
	f := l.Next()
	want, ok := m.next()
	if f == nil || !ok {
		return f == nil && !ok
	}
	if f.Key != want {
		return false
	}
	l.Charge(f, cost)
	m.charge(want, cost)
	return true
}

// TestNobodyIsLeftBehind: of tenants that have mail all the time, none gets ahead
// of another by more than a turn of each, whatever others do meanwhile.
func TestNobodyIsLeftBehind(t *testing.T) {
	const most = 50
	rng := rand.New(rand.NewPCG(1, 2))
	var l Line[int]
	had := map[string]int{}
	var guests []*Flow[int]
	for _, tenant := range []string{"a", "b", "c"} {
		l.Wake(&Flow[int]{Key: Key{Tenant: tenant}, Value: 1 + rng.IntN(most)})
	}
	for n := range 100_000 {
		if rng.IntN(3) == 0 { // one more guest, who goes after a turn or before
			g := &Flow[int]{Key: Key{Tenant: fmt.Sprint("guest", n)}, Value: 1 + rng.IntN(most)}
			l.Wake(g)
			guests = append(guests, g)
		}
		f := l.Next()
		l.Charge(f, f.Value)
		had[f.Key.Tenant] += f.Value
		if len(guests) > 20 {
			l.Sleep(guests[0])
			guests = guests[1:]
		}
		lowest, highest := min(had["a"], had["b"], had["c"]), max(had["a"], had["b"], had["c"])
		if highest-lowest > 2*most {
			t.Fatalf("after %d turns: %v", n, had)
		}
	}
	if had["a"] == 0 {
		t.Error("guests have all turns")
	}
	if n := len(l.lanes[0].byName); n > 100 {
		t.Errorf("%d tenants are remembered", n)
	}
}

// TestALastingDebt: a tenant whose list is through, and who is back with the next
// one at once, has still had the first.
func TestALastingDebt(t *testing.T) {
	var l Line[string]
	list, small := &Flow[string]{Key: Key{Tenant: "list"}}, &Flow[string]{Key: Key{Tenant: "small"}}
	l.Wake(list)
	l.Wake(small)
	l.Charge(list, 100)
	l.Sleep(list)
	l.Wake(list)
	for n := range 100 {
		if l.Next() != small {
			t.Fatalf("the list is back after %d recipients of others", n)
		}
		l.Charge(small, 1)
	}
	if l.Next() != list {
		t.Error("the list does not come back")
	}
}

func BenchmarkLine(b *testing.B) {
	for _, flows := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint("flows=", flows), func(b *testing.B) {
			var l Line[int]
			for n := range flows {
				l.Wake(&Flow[int]{Key: Key{Tenant: fmt.Sprint(n)}})
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Charge(l.Next(), 1)
			}
		})
	}
}
