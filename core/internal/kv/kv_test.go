// SPDX-License-Identifier: Apache-2.0

package kv

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/sdk/abi"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// onEngines runs f with stores on each engine.
func onEngines(t *testing.T, f func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options)) {
	for _, engine := range []string{"memory", "pebble"} {
		t.Run(engine, func(t *testing.T) {
			st, err := store.Open(store.Options{FS: vfs.NewMem(), Dir: "/data"})
			if err != nil {
				t.Fatal(err)
			}
			defer st.Close()
			clock := testkit.NewClock(start)
			ss := NewStores(Config{Range: rangeOf(st), Clock: clock})
			defer ss.Close()
			f(t, ss, clock, Options{Name: "s", Engine: engine, TTL: time.Hour})
		})
	}
}

func rangeOf(st *store.Store) func(string) Engine {
	return func(name string) Engine { return st.Range("k" + name + "\x00") }
}

func open(t *testing.T, ss *Stores, o Options) *Store {
	t.Helper()
	s, err := ss.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func want(t *testing.T, s *Store, key, value string) {
	t.Helper()
	v, ok, err := s.Get([]byte(key))
	if err != nil || ok != (value != "") || string(v) != value {
		t.Errorf("%s = %q %v %v, want %q", key, v, ok, err, value)
	}
}

func put(t *testing.T, s *Store, key, value string, ttl time.Duration) {
	t.Helper()
	if ok, err := s.Put([]byte(key), []byte(value), ttl, false); !ok || err != nil {
		t.Fatalf("put %s: %v %v", key, ok, err)
	}
}

func TestPutGetDelete(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, _ *testkit.Clock, o Options) {
		s := open(t, ss, o)
		want(t, s, "a", "")
		put(t, s, "a", "1", 0)
		put(t, s, "a", "22", 0)
		want(t, s, "a", "22")
		if ok, err := s.Put([]byte("a"), []byte("3"), 0, true); ok || err != nil {
			t.Errorf("put-if-absent over a value: %v %v", ok, err)
		}
		want(t, s, "a", "22")
		if err := errors.Join(s.Delete([]byte("a")), s.Delete([]byte("a"))); err != nil {
			t.Error(err)
		}
		want(t, s, "a", "")
		if keys, octets := s.Len(); keys != 0 || octets != 0 {
			t.Errorf("an empty store has %d keys and %d octets", keys, octets)
		}
	})
}

func TestExpiry(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options) {
		s := open(t, ss, o)
		put(t, s, "short", "1", time.Minute)
		put(t, s, "own", "2", 0)
		clock.Advance(time.Minute)
		want(t, s, "short", "")
		want(t, s, "own", "2")
		if ok, err := s.Put([]byte("short"), []byte("3"), 0, true); !ok || err != nil {
			t.Errorf("put-if-absent over an expired value: %v %v", ok, err)
		}
		clock.Advance(time.Hour - time.Minute)
		want(t, s, "own", "")
		want(t, s, "short", "3")
		clock.Advance(time.Minute + 2*sweepEvery)
		if keys, octets := s.Len(); keys != 0 || octets != 0 {
			t.Errorf("%d keys and %d octets are left after the sweep", keys, octets)
		}
	})
}

func TestSweepGoesThroughABigStore(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options) {
		s := open(t, ss, o)
		for i := range 3 * sweepKeys {
			put(t, s, fmt.Sprintf("%05d", i), "v", time.Duration(i%2)*time.Hour+time.Second)
		}
		clock.Advance(4 * sweepEvery)
		if keys, _ := s.Len(); keys != 3*sweepKeys/2 {
			t.Errorf("%d keys after the sweep, want %d", keys, 3*sweepKeys/2)
		}
	})
}

func TestAdd(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options) {
		s := open(t, ss, o)
		key := []byte("n")
		for _, c := range []struct{ delta, want int64 }{{5, 5}, {-7, -2}, {0, -2}} {
			if n, err := s.Add(key, c.delta, time.Minute); n != c.want || err != nil {
				t.Errorf("add %d: %d %v", c.delta, n, err)
			}
			clock.Advance(20 * time.Second)
		}
		want(t, s, "n", "") // the time to live is that of the first add
		put(t, s, "text", "no counter", 0)
		if _, err := s.Add([]byte("text"), 1, 0); !errors.Is(err, abi.ErrConflict) {
			t.Errorf("add to a text: %v", err)
		}
		for _, edge := range []int64{math.MaxInt64, math.MinInt64} {
			k := []byte(fmt.Sprint(edge))
			if n, err := s.Add(k, edge, 0); n != edge || err != nil {
				t.Errorf("add %d: %d %v", edge, n, err)
			}
			if _, err := s.Add(k, edge/math.MaxInt64, 0); !errors.Is(err, abi.ErrConflict) {
				t.Errorf("add beyond %d: %v", edge, err)
			}
		}
	})
}

func TestCompareAndSwap(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, _ *testkit.Clock, o Options) {
		s := open(t, ss, o)
		key := []byte("k")
		if ok, err := s.CompareAndSwap(key, nil, []byte("x"), 0); ok || err != nil {
			t.Errorf("swap of an absent key: %v %v", ok, err)
		}
		put(t, s, "k", "a", 0)
		if ok, err := s.CompareAndSwap(key, []byte("b"), []byte("x"), 0); ok || err != nil {
			t.Errorf("swap of another value: %v %v", ok, err)
		}
		if ok, err := s.CompareAndSwap(key, []byte("a"), []byte("x"), 0); !ok || err != nil {
			t.Errorf("swap: %v %v", ok, err)
		}
		want(t, s, "k", "x")
	})
}

func TestBounds(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, _ *testkit.Clock, o Options) {
		o.MaxKeys, o.MaxBytes = 2, 60
		s := open(t, ss, o)
		put(t, s, "a", "1", 0)
		put(t, s, "b", "1", 0)
		if _, err := s.Put([]byte("c"), []byte("1"), 0, false); !errors.Is(err, abi.ErrLimit) {
			t.Errorf("a key too many: %v", err)
		}
		if _, err := s.Put([]byte("a"), make([]byte, 50), 0, false); !errors.Is(err, abi.ErrLimit) {
			t.Errorf("octets too many: %v", err)
		}
		want(t, s, "a", "1")
		if err := s.Delete([]byte("b")); err != nil {
			t.Error(err)
		}
		put(t, s, "c", "1", 0)
		for _, key := range [][]byte{nil, make([]byte, MaxKey+1)} {
			if _, err := s.Put(key, nil, 0, false); !errors.Is(err, abi.ErrBadArgument) {
				t.Errorf("key of %d octets: %v", len(key), err)
			}
		}
		if _, err := s.Put([]byte("a"), make([]byte, MaxValue+1), 0, false); !errors.Is(err, abi.ErrLimit) {
			t.Errorf("value too long: %v", err)
		}
	})
}

func TestReloadKeepsDataAndRefusesAnotherEngine(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options) {
		put(t, open(t, ss, o), "a", "1", 0)
		o.TTL = time.Minute
		s := open(t, ss, o)
		want(t, s, "a", "1")
		put(t, s, "b", "2", 0)
		clock.Advance(time.Minute)
		want(t, s, "b", "")
		o.Engine = map[string]string{"memory": "pebble", "pebble": "memory"}[o.Engine]
		if _, err := ss.Open(o); err == nil {
			t.Error("the engine of an open store was changed")
		}
	})
}

func TestPebbleStoresSurviveARestartAndDoNotMix(t *testing.T) {
	fs, clock := vfs.NewMem(), testkit.NewClock(start)
	session := func(f func(a, b *Store)) {
		st, err := store.Open(store.Options{FS: fs, Dir: "/data"})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		ss := NewStores(Config{Range: rangeOf(st), Clock: clock})
		defer ss.Close()
		f(open(t, ss, Options{Name: "a", Engine: "pebble"}), open(t, ss, Options{Name: "ab", Engine: "pebble"}))
	}
	session(func(a, b *Store) { put(t, a, "bk", "1", 0); put(t, b, "k", "22", 0) })
	session(func(a, b *Store) {
		want(t, a, "bk", "1")
		want(t, b, "k", "22")
		want(t, a, "k", "")
		if keys, octets := a.Len(); keys != 1 || octets != 2+8+1 {
			t.Errorf("a holds %d keys, %d octets", keys, octets)
		}
	})
}

func TestHammer(t *testing.T) {
	onEngines(t, func(t *testing.T, ss *Stores, clock *testkit.Clock, o Options) {
		s := open(t, ss, o)
		const workers, rounds = 8, 200
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := range rounds {
					if _, err := s.Add([]byte("sum"), 1, 0); err != nil {
						t.Error(err)
					}
					key := []byte(fmt.Sprint("k", i%17))
					_, _ = s.Put(key, []byte{byte(w)}, time.Second, i%2 == 0)
					_, _ = s.CompareAndSwap(key, []byte{byte(w)}, []byte("x"), 0)
					_, _, _ = s.Get(key)
					_ = s.Delete(key)
				}
			})
		}
		for range 20 {
			clock.Advance(sweepEvery)
			_ = open(t, ss, o)
		}
		wg.Wait()
		if n, err := s.Add([]byte("sum"), 0, 0); n != workers*rounds || err != nil {
			t.Errorf("counted %d %v, want %d", n, err, workers*rounds)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	for _, engine := range []string{"memory", "pebble"} {
		b.Run(engine, func(b *testing.B) {
			st, err := store.Open(store.Options{Dir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer st.Close()
			ss := NewStores(Config{Range: rangeOf(st), Clock: testkit.NewClock(start)})
			defer ss.Close()
			s, err := ss.Open(Options{Name: "s", Engine: engine})
			if err != nil {
				b.Fatal(err)
			}
			keys := make([][]byte, 1000)
			for i := range keys {
				keys[i] = fmt.Appendf(nil, "client-%d", i)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Add(keys[i%len(keys)], 1, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
