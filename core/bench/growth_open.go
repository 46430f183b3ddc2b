// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/postroad-mail/postroad/core/internal/queue"
)

// restarted is what the process measures that opens a queue after a crash: times
// and CPU since its start.
type restarted struct {
	Accepting    time.Duration // until a first new message is queued and synced
	Delivering   time.Duration // until the first 100 old messages are leased, and their contents read
	AllRead      time.Duration // until all that was queued is known
	AcceptingCPU time.Duration
	AllReadCPU   time.Duration
	Heap         int64 // that the queue added, after a collection
	Resident     int64 // of the process
	Messages     int
}

// firstLeases is how many old messages have to be leased for Delivering.
const firstLeases = 100

// regrowProcess opens a queue that growProcess has left.
func regrowProcess(ctx context.Context, args []string, _ io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("regrow DIR")
	}
	empty := heap()
	begin := time.Now()
	g, err := openGrown(args[0])
	if err != nil {
		return err
	}
	var r restarted
	if err := g.restart(ctx, begin, &r); err != nil {
		return err
	}
	r.Heap = heap() - empty
	r.Resident, _ = memory(os.Getpid())
	s := g.queue.Stats()
	r.Messages = s.Ready.Messages + s.Deferred.Messages
	return errors.Join(json.NewEncoder(out).Encode(r), g.queue.Close(), g.store.Close())
}

func (g *grown) restart(ctx context.Context, begin time.Time, r *restarted) error {
	m := g.message()
	m.Envelope.ID = newID
	if err := g.queue.Enqueue(ctx, m); err != nil {
		return err
	}
	r.Accepting, r.AcceptingCPU = time.Since(begin), cpuTime(os.Getpid())
	if err := g.readFirst(ctx); err != nil {
		return err
	}
	r.Delivering = time.Since(begin)
	if err := g.queue.Whole(ctx); err != nil {
		return err
	}
	r.AllRead, r.AllReadCPU = time.Since(begin), cpuTime(os.Getpid())
	return nil
}

// newID is greater than the ids of what the queue was filled with.
const newID = "02000000000000000000000000"

// readFirst leases old messages and reads them, as delivery would. They are due
// some days later than the queue was filled.
func (g *grown) readFirst(ctx context.Context) error {
	g.clock.Advance(30 * 24 * time.Hour)
	var all []queue.Lease
	for old := 0; old < firstLeases; {
		_, reading := g.queue.Reading()
		leases := g.queue.Due(g.clock.Now(), firstLeases-old)
		n, err := readAll(leases)
		if err != nil {
			return err
		}
		all, old = append(all, leases...), old+n
		if len(leases) > 0 {
			continue
		}
		if !reading {
			return errors.New("too little is due after the restart")
		}
		select {
		case <-g.queue.Wake():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	giveBack(g.queue, all)
	return nil
}

// readAll opens the contents of leases, and counts those of old messages.
func readAll(leases []queue.Lease) (old int, err error) {
	for _, l := range leases {
		c, err := l.Message.Open()
		if err != nil {
			return old, err
		}
		c.Close()
		if l.Message.ID() != newID {
			old++
		}
	}
	return old, nil
}

func giveBack(q *queue.Queue, leases []queue.Lease) {
	for _, l := range leases {
		q.Return(l.Message.ID(), l.Recipients)
	}
}

// heap returns the octets in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
