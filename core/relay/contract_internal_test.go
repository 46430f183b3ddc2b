// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/delivery/contract"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// TestQueueContract runs delivery's contract on every queue that a relay can
// have, through the adapter that it has in a relay. The in-memory queue of
// embedders is the same Pebble on a filesystem in memory.
func TestQueueContract(t *testing.T) {
	t.Run("pebble on disk", func(t *testing.T) {
		contract.Run(t, func(t *testing.T) *contract.Engine {
			return newQueueEngine(t, vfs.Default, t.TempDir()).restarts(sameDisk)
		})
	})
	t.Run("pebble on a disk that forgets what was not synced", func(t *testing.T) {
		contract.Run(t, func(t *testing.T) *contract.Engine {
			return newQueueEngine(t, vfs.NewCrashableMem(), "/data").restarts(powerLoss)
		})
	})
	t.Run("in memory, for embedders", func(t *testing.T) {
		contract.Run(t, func(t *testing.T) *contract.Engine { return newQueueEngine(t, store.Memory(), "/data").engine })
	})
}

// queueEngine is a queue as openEngine builds it.
type queueEngine struct {
	t      *testing.T
	fs     vfs.FS
	dir    string
	clock  *clock.Fake
	store  *store.Store
	queue  *queue.Queue
	engine *contract.Engine
}

func newQueueEngine(t *testing.T, fs vfs.FS, dir string) *queueEngine {
	q := &queueEngine{t: t, fs: fs, dir: dir, clock: clock.NewFake(contract.Start())}
	q.engine = &contract.Engine{Enqueue: q.enqueue, Advance: func(d time.Duration) { q.clock.Advance(d) }}
	q.open()
	t.Cleanup(q.close)
	return q
}

func (q *queueEngine) open() {
	var err error
	if q.store, err = store.Open(store.Options{FS: q.fs, Dir: q.dir, MinFree: -1, Ballast: -1}); err != nil {
		q.t.Fatal(err)
	}
	if q.queue, err = queue.Open(queue.Options{Store: q.store, Clock: q.clock}); err != nil {
		q.t.Fatal(err)
	}
	if err := q.queue.Whole(q.t.Context()); err != nil {
		q.t.Fatal(err)
	}
	q.engine.Queue = deliveryQueue{q.queue}
}

func (q *queueEngine) close() {
	if err := q.queue.Close(); err != nil {
		q.t.Error(err)
	}
	if err := q.store.Close(); err != nil {
		q.t.Error(err)
	}
}

func (q *queueEngine) enqueue(env *mail.Envelope, header, body []byte) error {
	return q.queue.Enqueue(context.Background(), &queue.Message{Envelope: env, Header: header, Body: mail.BytesBody(body)})
}

// restarts makes the engine a durable one.
func (q *queueEngine) restarts(how func(*queueEngine)) *contract.Engine {
	q.engine.Restart = func() { how(q) }
	return q.engine
}

func sameDisk(q *queueEngine) {
	q.close()
	q.open()
}

// powerLoss goes on with what was synced.
func powerLoss(q *queueEngine) {
	disk := q.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
	q.close()
	q.fs = disk
	q.open()
}
