// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gate is a disk whose log syncs wait until they are let through.
type gate struct {
	vfs.FS
	shut atomic.Bool
	pass chan struct{}
}

func (g *gate) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, c)
	if err == nil && strings.HasSuffix(name, ".log") {
		f = &gated{f, g}
	}
	return f, err
}

type gated struct {
	vfs.File
	gate *gate
}

func (f *gated) SyncData() error {
	if f.gate.shut.Load() {
		<-f.gate.pass
	}
	return f.File.SyncData()
}

func (f *gated) Sync() error { return f.SyncData() }

// TestSessionsShareSyncs: 20 sessions send five messages each while deliveries
// settle what came in. Each sync takes as long as all sessions need to write
// their next message, as a slow disk's does: the first of a round may be one
// message's alone, and the next covers the rest. With one for the last settles that
// is at most 0.11 syncs a message; a third in a round would be 0.16.
func TestSessionsShareSyncs(t *testing.T) {
	const sessions, each = 20, 5
	g := &gate{FS: vfs.NewMem(), pass: make(chan struct{})}
	r := newRig(t, g)
	g.shut.Store(true)
	t.Cleanup(func() { close(g.pass) }) // runs before the rig's
	before := r.queue.Syncs()
	var acked sync.Map
	var wg sync.WaitGroup
	var rounds [each]chan struct{}
	for i := range rounds {
		rounds[i] = make(chan struct{})
	}
	for s := range sessions {
		wg.Go(func() {
			for i := range each {
				<-rounds[i]
				m := message(ident(fmt.Sprint(s, "-", i)), small, "x@one.example")
				if err := r.queue.Enqueue(context.Background(), m); err != nil {
					t.Error(err)
				}
				acked.Store(m.Envelope.ID, true)
			}
		})
	}
	acknowledged := func(s, i int) bool {
		_, ok := acked.Load(ident(fmt.Sprint(s, "-", i)))
		return ok
	}
	for i := range each {
		close(rounds[i])
		for s := range sessions {
			r.until("message to be written", func() bool { return acknowledged(s, i) || r.written(ident(fmt.Sprint(s, "-", i))) })
		}
		for s := range sessions {
			r.until("sync", func() bool { g.letOne(); return acknowledged(s, i) })
		}
		r.deliverAll()
	}
	wg.Wait()
	g.shut.Store(false)
	r.deliverAll()
	r.clock.Advance(SettleDelay)
	perMessage := float64(r.queue.Syncs()-before) / (sessions * each)
	t.Logf("%.2f syncs per message", perMessage)
	if perMessage > 0.11 {
		t.Errorf("%.2f syncs per message", perMessage)
	}
	if s := r.queue.Stats(); s != (Stats{}) {
		t.Errorf("left: %+v", s)
	}
}

// letOne lets one sync pass if one is waiting.
func (g *gate) letOne() {
	select {
	case g.pass <- struct{}{}:
	default:
	}
}

// written reports whether a message is in the log, synced or not.
func (r *rig) written(id string) bool {
	ok, err := r.store.Get(key(kindEnvelope, id), func([]byte) error { return nil })
	if err != nil {
		r.t.Fatal(err)
	}
	return ok
}

func (r *rig) deliverAll() {
	for _, l := range r.due() {
		r.settle(delivered(l.Message.ID(), 0))
	}
}

// until waits for a condition; the limit only ends a test that has gone wrong.
func (r *rig) until(what string, done func() bool) {
	r.t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); runtime.Gosched() {
		if time.Now().After(limit) {
			r.t.Fatalf("waited in vain for %s", what)
		}
	}
}
