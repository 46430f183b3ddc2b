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

// restarted is what the process measures that opens a queue after a crash.
type restarted struct {
	Accepting  time.Duration // until mail can be accepted: store and queue are open, with the log read
	Delivering time.Duration // until the first 100 messages are leased, and their contents read
	CPU        time.Duration // used until then
	Heap       int64         // that the queue added, after a collection
	Resident   int64         // of the process
	Messages   int
}

// regrowProcess opens a queue that growProcess has left.
func regrowProcess(_ context.Context, args []string, _ io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("regrow DIR")
	}
	empty := heap()
	begin := time.Now()
	g, err := openGrown(args[0])
	if err != nil {
		return err
	}
	r := restarted{Accepting: time.Since(begin)}
	if err := g.readFirst(); err != nil {
		return err
	}
	r.Delivering, r.CPU = time.Since(begin), cpuTime(os.Getpid())
	r.Heap = heap() - empty
	r.Resident = memory(os.Getpid())
	s := g.queue.Stats()
	r.Messages = s.Ready.Messages + s.Deferred.Messages
	return errors.Join(json.NewEncoder(out).Encode(r), g.queue.Close(), g.store.Close())
}

// readFirst leases a hundred messages and reads them, as delivery would. They
// are due a day later than the queue was filled.
func (g *grown) readFirst() error {
	g.clock.Advance(30 * 24 * time.Hour)
	leases := g.queue.Due(g.clock.Now(), 100)
	if len(leases) == 0 {
		return errors.New("nothing is due after the restart")
	}
	for _, l := range leases {
		c, err := l.Message.Open()
		if err != nil {
			return err
		}
		c.Close()
	}
	giveBack(g.queue, leases)
	return nil
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
