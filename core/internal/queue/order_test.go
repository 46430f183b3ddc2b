// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestOrderIsASortedSet compares it with a sorted slice, over many puts and
// drops, in pages of any size.
func TestOrderIsASortedSet(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var o order
	known := map[string]*entry{}
	for step := range 60_000 {
		id := serial(rng.Int64N(8000))
		if step < 5000 {
			id = serial(int64(step)) // in order, as new mail comes
		}
		if e := known[id]; e != nil {
			o.drop(e)
			delete(known, id)
		} else {
			known[id] = &entry{id: id}
			o.put(known[id])
		}
		if step > 50_000 && rng.IntN(3) > 0 { // get small
			for id, e := range known {
				o.drop(e)
				delete(known, id)
				break
			}
		}
		if step%2000 == 0 {
			compareOrder(t, &o, known, 1+rng.IntN(700))
		}
	}
	compareOrder(t, &o, known, 1)
	if most := len(known)/(leafSize/8) + 2; len(o.leaves) > most {
		t.Errorf("%d leaves for %d messages", len(o.leaves), len(known))
	}
}

func compareOrder(t *testing.T, o *order, known map[string]*entry, page int) {
	t.Helper()
	var want, got []string
	for id := range known {
		want = append(want, id)
	}
	slices.Sort(want)
	for last, more := "", true; more; {
		last, more = o.page(last, page, func(e *entry) bool { got = append(got, e.id); return true })
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%d ids in order, want %d", len(got), len(want))
	}
}
