// SPDX-License-Identifier: Apache-2.0

package bucket

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// take takes n times one token and returns how many were there.
func take(b *Buckets, key string, n int) (got int) {
	for range n {
		if ok, _ := b.Take(key, 1); ok {
			got++
		}
	}
	return got
}

func TestBurstThenRate(t *testing.T) {
	clock := testkit.NewClock(start)
	b := New(Options{Rate: 60, Per: time.Minute, Burst: 10, Clock: clock})
	if n := take(b, "a", 100); n != 10 {
		t.Errorf("%d taken from a full bucket, want 10", n)
	}
	if n := take(b, "b", 1); n != 1 {
		t.Error("keys share a bucket")
	}
	ok, wait := b.Take("a", 3)
	if ok || wait != 3*time.Second {
		t.Errorf("an empty bucket says %v, %v", ok, wait)
	}
	clock.Advance(wait - time.Nanosecond)
	if ok, wait = b.Take("a", 3); ok || wait != time.Nanosecond {
		t.Errorf("a nanosecond early: %v, %v", ok, wait)
	}
	clock.Advance(wait)
	if ok, wait = b.Take("a", 3); !ok || wait != 0 {
		t.Errorf("after the wait: %v, %v", ok, wait)
	}
	clock.Advance(24 * time.Hour)
	if n := take(b, "a", 100); n != 10 {
		t.Errorf("%d taken after a day, want 10", n)
	}
}

func TestDeniedTakesNothing(t *testing.T) {
	clock := testkit.NewClock(start)
	b := New(Options{Rate: 1, Per: time.Second, Burst: 5, Clock: clock})
	if ok, _ := b.Take("a", 4); !ok {
		t.Fatal("4 of 5 denied")
	}
	for range 10 {
		if ok, wait := b.Take("a", 2); ok || wait != time.Second {
			t.Fatalf("2 of 1: %v, %v", ok, wait)
		}
	}
	if ok, _ := b.Take("a", 1); !ok {
		t.Error("the last token is gone")
	}
}

func TestPeekTakesNothing(t *testing.T) {
	clock := testkit.NewClock(start)
	b := New(Options{Rate: 1, Per: time.Second, Burst: 5, Clock: clock})
	for range 10 {
		if ok, wait := b.Peek("a", 5); !ok || wait != 0 {
			t.Fatalf("a full bucket: %v, %v", ok, wait)
		}
	}
	if b.Len() != 0 {
		t.Error("a key that was only looked at is kept")
	}
	take(b, "a", 4)
	for range 10 {
		if ok, wait := b.Peek("a", 2); ok || wait != time.Second {
			t.Fatalf("2 of 1: %v, %v", ok, wait)
		}
	}
	if ok, wait := b.Peek("a", 6); ok || wait != math.MaxInt64 {
		t.Errorf("beyond the burst: %v, %v", ok, wait)
	}
	if n := take(b, "a", 5); n != 1 {
		t.Errorf("%d are left, want 1", n)
	}
}

func TestCostBeyondTheBurst(t *testing.T) {
	b := New(Options{Rate: 1, Per: time.Second, Clock: testkit.NewClock(start)})
	if ok, wait := b.Take("a", 2); ok || wait != math.MaxInt64 {
		t.Errorf("2 of a burst of 1: %v, %v", ok, wait)
	}
	if ok, _ := b.Take("a", math.MaxInt); ok {
		t.Error("the biggest cost was allowed")
	}
	if ok, _ := b.Take("a", 1); !ok {
		t.Error("1 of 1 denied")
	}
}

func TestKeysAreBounded(t *testing.T) {
	clock := testkit.NewClock(start)
	var told []int64
	b := New(Options{Rate: 1, Per: time.Hour, Burst: 2, Keys: 10, Clock: clock, Forgets: func(so int64) { told = append(told, so) }})
	for i := range 100 {
		take(b, fmt.Sprint(i), 2)
		take(b, "regular", 1)
	}
	if n := b.Len(); n != 10 {
		t.Errorf("%d keys are kept, want 10", n)
	}
	if n := take(b, "regular", 1); n != 0 {
		t.Error("a key in use was forgotten")
	}
	if want := []int64{1, 2, 4, 8, 16, 32, 64}; b.forgotten != 91 || !slices.Equal(told, want) {
		t.Errorf("%d buckets counted as forgotten, want 91; told were %d", b.forgotten, told)
	}
	clock.Advance(24 * time.Hour)
	take(b, "new", 1)
	if n := b.Len(); n != 9 {
		t.Errorf("%d keys after all were full again, want 9", n)
	}
}

func TestReload(t *testing.T) {
	clock := testkit.NewClock(start)
	b := New(Options{Rate: 1, Per: time.Minute, Burst: 2, Clock: clock})
	take(b, "a", 2)
	b.Configure(Options{Rate: 1, Per: time.Minute, Burst: 3})
	if n := take(b, "a", 3); n != 1 {
		t.Errorf("%d taken after the burst grew by one", n)
	}
}

func TestHammer(t *testing.T) {
	clock := testkit.NewClock(start)
	b := New(Options{Rate: 10, Per: time.Second, Burst: 1000, Keys: 20, Clock: clock})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 500 {
				taken.Add(int64(take(b, "shared", 1)))
				take(b, fmt.Sprint(w, i), 1)
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1000 {
		t.Errorf("%d taken by all, want the burst of 1000", n)
	}
	if b.Len() > 20 {
		t.Errorf("%d keys are kept", b.Len())
	}
}

func BenchmarkTake(b *testing.B) {
	bs := New(Options{Rate: 1000, Per: time.Second, Clock: testkit.NewClock(start)})
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("192.0.2.%d", i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		bs.Take(keys[i%len(keys)], 1)
	}
}

// BenchmarkMemory reports the octets that one kept key costs.
func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		bs := New(Options{Rate: 1, Per: time.Hour, Clock: testkit.NewClock(start)})
		before := heap()
		for i := range DefaultKeys {
			bs.Take(fmt.Sprintf("client-%020d", i), 1)
		}
		b.ReportMetric(float64(heap()-before)/DefaultKeys, "B/key")
		runtime.KeepAlive(bs)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
