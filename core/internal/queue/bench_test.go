// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// onDisk is a queue on the real disk with the system's clock.
func onDisk(b *testing.B) *Queue {
	s, err := store.Open(store.Options{Dir: b.TempDir(), Ballast: -1})
	if err != nil {
		b.Fatal(err)
	}
	q, err := Open(Options{Store: s})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := q.Close(); err != nil {
			b.Error(err)
		}
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return q
}

// BenchmarkEnqueue accepts messages of 5 KiB, and of 100 KiB that become files,
// with 1, 4 and 20 sessions at once, and reports syncs per message.
func BenchmarkEnqueue(b *testing.B) {
	for _, size := range []int{5 << 10, 100 << 10} {
		for _, sessions := range []int{1, 4, 20} {
			b.Run(fmt.Sprintf("size=%d/sessions=%d", size, sessions), func(b *testing.B) {
				benchSessions(b, size, sessions, false)
			})
		}
	}
}

// BenchmarkThrough accepts messages and settles them right away, in groups, as
// a fast next hop would have it: syncs are those of accepts and settles both.
func BenchmarkThrough(b *testing.B) {
	for _, sessions := range []int{1, 20} {
		b.Run(fmt.Sprintf("sessions=%d", sessions), func(b *testing.B) {
			benchSessions(b, 5<<10, sessions, true)
		})
	}
}

func benchSessions(b *testing.B, size, sessions int, deliver bool) {
	q := onDisk(b)
	body := bodyOf(ident("x"), size)
	done := make(chan struct{})
	if deliver {
		go func() { defer close(done); benchDeliver(b, q, b.N) }()
	} else {
		close(done)
	}
	before := q.Syncs()
	var next atomic.Int64
	b.SetParallelism((sessions + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := message(serial(next.Add(1)), 0, "x@one.example")
			m.Body = mail.BytesBody(body)
			if err := q.Enqueue(context.Background(), m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	<-done
	b.ReportMetric(float64(q.Syncs()-before)/float64(b.N), "syncs/msg")
}

// benchDeliver settles n messages.
func benchDeliver(b *testing.B, q *Queue, n int) {
	for n > 0 {
		<-q.Wake()
		for leases := q.Due(time.Now(), 256); leases != nil; leases = q.Due(time.Now(), 256) {
			rs := make([]Result, len(leases))
			for i, l := range leases {
				rs[i] = delivered(l.Message.ID(), 0)
			}
			if err := q.Settle(context.Background(), rs...); err != nil {
				b.Error(err)
				return
			}
			n -= len(rs)
		}
	}
}

// serial makes ids in order.
func serial(n int64) string { return fmt.Sprintf("01%0*d", idLen-2, n) }

// filled is a queue with n deferred messages of one recipient.
func filled(b *testing.B, n int) *rig {
	r := newRig(b, vfs.NewMem())
	for i := 0; i < n; i += 1000 {
		var ms []*Message
		for j := i; j < min(i+1000, n); j++ {
			ms = append(ms, message(serial(int64(j)), 100, fmt.Sprintf("user%d@domain%d.example", j, j%1000)))
		}
		r.enqueue(ms...)
		var rs []Result
		for _, l := range r.due() {
			rs = append(rs, later(l.Message.ID(), 0, start.Add(time.Hour+time.Duration(i)*time.Second)))
		}
		r.settle(rs...)
	}
	return r
}

// BenchmarkLease leases deferred messages, which are read from the store, and
// gives them back.
func BenchmarkLease(b *testing.B) {
	r := filled(b, 10_000)
	r.clock.Advance(365 * 24 * time.Hour)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		leases := r.queue.Due(r.clock.Now(), min(100, b.N-n))
		n += len(leases)
		for _, l := range leases {
			r.queue.Return(l.Message.ID(), l.Recipients)
		}
	}
}

// BenchmarkSettle defers recipients in groups of 100.
func BenchmarkSettle(b *testing.B) {
	r := filled(b, 10_000)
	next := start
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 100 {
		rs := make([]Result, min(100, b.N-n))
		for i := range rs {
			rs[i] = later(serial(int64((n+i)%10_000)), 0, next)
		}
		r.settle(rs...)
	}
}

// BenchmarkList looks for a recipient domain among 100,000 messages.
func BenchmarkList(b *testing.B) {
	r := filled(b, 100_000)
	for b.Loop() {
		if len(r.list(Filter{RecipientDomain: "domain7.example"})) != 100 {
			b.Fatal("not found")
		}
	}
}

// BenchmarkSelect selects 1,000 of 1,000,000 messages by what memory knows, and
// reports how long somebody who wanted the lock meanwhile, as each accept does,
// waited for it: on average, and at the most.
func BenchmarkSelect(b *testing.B) {
	q := &Queue{index: newIndex(0), reading: &reading{done: make(chan struct{})}}
	close(q.reading.done)
	fillIndex(&q.index, 1_000_000)
	stop, waits := make(chan struct{}), make(chan [2]time.Duration)
	go func() { waits <- lockWaits(q, stop) }()
	b.ResetTimer()
	for b.Loop() {
		if ids, _, err := q.Select(b.Context(), Filter{RecipientDomain: "domain7.example"}); len(ids) != 1000 {
			b.Fatal(len(ids), err)
		}
	}
	b.StopTimer()
	close(stop)
	w := <-waits
	b.ReportMetric(float64(w[0].Microseconds()), "mean-wait-µs")
	b.ReportMetric(float64(w[1].Microseconds()), "max-wait-µs")
}

// BenchmarkSelectByRecord selects by the text of the last reply among 10,000
// messages, which has to be read from the store.
func BenchmarkSelectByRecord(b *testing.B) {
	r := filled(b, 10_000)
	for b.Loop() {
		if ids, _ := r.sel(Filter{Reply: "nothing says so"}); len(ids) != 0 {
			b.Fatal(len(ids))
		}
	}
}

// BenchmarkIndex adds a message to those in memory and takes the oldest
// one out, with 1,000 and with 1,000,000 of them.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x := newIndex(0)
			fillIndex(&x, n)
			r, _ := readEnvelope(serial(0), appendEnvelope(nil, &record{env: message(serial(0), 0, "x@one.example").Envelope}))
			b.ResetTimer()
			for i := range b.N {
				r.env.ID = serial(int64(n + i))
				x.put(newEntry(r, 0, start))
				x.drop(x.byID[serial(int64(i))])
			}
		})
	}
}

func fillIndex(x *index, n int) {
	for i := range n {
		m := message(serial(int64(i)), 0, fmt.Sprintf("user%d@domain%d.example", i, i%1000))
		x.put(newEntry(&record{env: m.Envelope}, 0, start))
	}
}

// lockWaits takes the lock every millisecond and returns how long that took, on
// average and at the most.
func lockWaits(q *Queue, stop chan struct{}) (w [2]time.Duration) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var sum time.Duration
	for n := time.Duration(1); ; n++ {
		select {
		case <-stop:
			return w
		case <-tick.C:
		}
		began := time.Now()
		q.mu.Lock()
		took := time.Since(began)
		q.mu.Unlock()
		sum += took
		w[0], w[1] = sum/n, max(w[1], took)
	}
}

// BenchmarkOpen reads a queue of 100,000 messages at the start.
func BenchmarkOpen(b *testing.B) {
	r := filled(b, 100_000)
	r.close()
	for b.Loop() {
		r.open()
		r.close()
	}
}

// BenchmarkMemory reports what a deferred message of one recipient costs in
// memory, and what each further recipient does.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		one := heapOf(n, 1)
		ten := heapOf(n/10, 10)
		b.ReportMetric(float64(one)/n, "B/msg")
		b.ReportMetric((float64(ten)/(n/10)-float64(one)/n)/9, "B/further-rcpt")
	}
}

// heapOf measures an index of n messages, without the store.
func heapOf(n, rcpts int) int64 {
	x := newIndex(0)
	before := heapInUse()
	for i := range n {
		var to []string
		for j := range rcpts {
			to = append(to, fmt.Sprintf("user%d@domain%d.example", i, (i+j)%1000))
		}
		m := message(serial(int64(i)), 0, to...)
		r, err := readEnvelope(m.Envelope.ID, appendEnvelope(nil, &record{env: m.Envelope}))
		if err != nil {
			panic(err)
		}
		x.put(newEntry(r, 0, start))
	}
	after := heapInUse()
	runtime.KeepAlive(x)
	return after - before
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
