// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/kv"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// realStore is a store of the relay.
type realStore struct{ *kv.Store }

func (s realStore) Begin(writes []StoreWrite) (StoreTx, error) {
	var own []kv.Write
	for _, w := range writes {
		own = append(own, kv.Write{Kind: kv.Kind(w.Kind), Key: w.Key, Old: w.Old, Value: w.Value, TTL: w.TTL})
	}
	tx, err := s.Store.Begin(own)
	if err != nil {
		return nil, err
	}
	return tx, nil
}

// realStores returns stores that take n keys each, with "k" = "a" and "l" = "a".
func realStores(t *testing.T, n int64, names ...string) map[string]Store {
	ss := kv.NewStores(kv.Config{Clock: testkit.NewClock(time.Now())})
	t.Cleanup(ss.Close)
	out := map[string]Store{}
	for _, name := range names {
		s, err := ss.Open(kv.Options{Name: name, Engine: "memory", MaxKeys: n})
		if err != nil {
			t.Fatal(err)
		}
		out[name] = realStore{s}
		set(t, s, "k", "a")
		set(t, s, "l", "a")
	}
	return out
}

func set(t *testing.T, s Store, key, value string) {
	if _, err := s.Put([]byte(key), []byte(value), 0, false); err != nil {
		t.Fatal(err)
	}
}

func holds(t *testing.T, s Store, key, want string) {
	t.Helper()
	if v, _, err := s.Get([]byte(key)); err != nil || string(v) != want {
		t.Errorf("%s is %q, %v; want %q", key, v, err, want)
	}
}

// TestAFullStoreIsAnAnswerNotAFault: the stage failed at the commit, and every
// sender saw 451 until values expired.
func TestAFullStoreIsAnAnswerNotAFault(t *testing.T) {
	stores := realStores(t, 3, "db")
	sc := newScript(t)
	sc.atInit("store", "db")
	first := sc.call("kv_put", 0, "new", "1", int64(0), 0)
	second := sc.call("kv_put", 0, "more", "1", int64(0), 0)
	swapped := sc.call("kv_cas", 0, "k", "a", "b", int64(0))
	sc.call("kv_del", 0, "l")
	third := sc.call("kv_put", 0, "more", "2", int64(0), 0)
	again := sc.call("kv_put", 0, "more", "3", int64(0), 0)
	counted := sc.call("kv_add", 0, "n", int64(1), int64(0), scriptBuffers)
	fourth := sc.call("kv_add", 0, "m", int64(1), int64(0), scriptBuffers)
	s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Stores: stores})
	h := newHook(mail.PhaseMail, 0, testEnvelope())
	run(t, s, h)
	for n, want := range map[int]int64{first: 0, second: int64(abi.ErrLimit), swapped: 0, third: 0, again: 0, counted: 0, fourth: int64(abi.ErrLimit)} {
		if got := result(t, s, n); got != want {
			t.Errorf("step %d gave %d, want %d", n, got, want)
		}
	}
	// The counter took at once what the hook counted on.
	if err := h.Commit(); !errors.Is(err, abi.ErrLimit) {
		t.Errorf("a commit without room gave %v", err)
	}
	holds(t, stores["db"], "k", "a")
	holds(t, stores["db"], "l", "a")
}

// TestALostRaceOnOneKeyLeavesTheOthersAlone, in the same store and in another:
// writes before it stayed.
func TestALostRaceOnOneKeyLeavesTheOthersAlone(t *testing.T) {
	for _, order := range [][]string{{"db", "other"}, {"other", "db"}} {
		stores := realStores(t, 10, "db", "other")
		sc := newScript(t)
		sc.atInit("store", order[0])
		sc.atInit("store", order[1])
		for n := range order {
			sc.call("kv_put", n, "new", "x", int64(0), 0)
			sc.call("kv_cas", n, "k", "a", "b", int64(0))
			sc.call("kv_cas", n, "l", "a", "b", int64(0))
		}
		s := scriptStage(t, sc.end(allPhases, 0), StageOptions{Grant: everything(), Stores: stores})
		h := newHook(mail.PhaseMail, 0, testEnvelope())
		run(t, s, h)
		set(t, stores["other"], "l", "meanwhile")
		if err := h.Commit(); !errors.Is(err, abi.ErrConflict) {
			t.Errorf("commit gave %v", err)
		}
		for _, st := range stores {
			holds(t, st, "k", "a")
			holds(t, st, "new", "")
		}
		holds(t, stores["db"], "l", "a")

		set(t, stores["other"], "l", "a")
		h = newHook(mail.PhaseMail, 0, testEnvelope())
		run(t, s, h)
		if err := h.Commit(); err != nil {
			t.Errorf("commit gave %v", err)
		}
		for _, st := range stores {
			holds(t, st, "l", "b")
			holds(t, st, "new", "x")
		}
	}
}

// Hooks that write to the same stores in different orders move amounts between
// them: the sum stays, and none waits for another for ever.
func TestHooksOnSeveralStoresNeitherMixNorWaitForEachOther(t *testing.T) {
	stores := realStores(t, 10, "a", "b")
	for _, st := range stores {
		set(t, st, "n", "100")
	}
	var wg sync.WaitGroup
	for w := range 8 {
		order := []Store{stores["a"], stores["b"]}
		names := []string{"a", "b"}
		if w%2 == 1 {
			slices.Reverse(order)
			slices.Reverse(names)
		}
		wg.Go(func() {
			for range 100 {
				if err := move(order, names); err != nil && !errors.Is(err, abi.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if sum := amount(stores["a"]) + amount(stores["b"]); sum != 200 {
		t.Errorf("the sum is %d", sum)
	}
}

// move takes one from the first store and gives it to the second.
func move(stores []Store, names []string) error {
	var o overlay
	for n, st := range stores {
		v := amount(st)
		w := StoreWrite{Kind: StoreSwap, Key: []byte("n"), Old: []byte(strconv.Itoa(v)), Value: []byte(strconv.Itoa(v + 2*n - 1))}
		if err := o.put(st, write{n, w}); err != nil {
			return err
		}
	}
	return o.take(stores, names)()
}

func amount(s Store) int {
	v, _, _ := s.Get([]byte("n"))
	n, _ := strconv.Atoi(string(v))
	return n
}
