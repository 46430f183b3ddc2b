// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/store"
)

const readingConfig = `
server { watchdog = "2m" }
admin { address = "127.0.0.1:0" }
listener "smtp" "in" {
  address = "127.0.0.1:0"
}
routing {
  rule { route = route.nowhere }
}
route "nowhere" {
  discard {}
}
`

// heldDisk is a disk in memory. Once it is held, whoever reads the first half of a
// table waits until it is released; there are the envelopes, but not the few
// records that a start needs.
type heldDisk struct {
	fs       vfs.FS
	held     atomic.Bool
	broken   atomic.Bool // they get an error
	waiting  atomic.Bool
	released chan struct{}
}

func newHeldDisk() *heldDisk {
	d := &heldDisk{released: make(chan struct{})}
	mem := vfs.NewMem()
	d.fs = errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !d.held.Load() && !d.broken.Load() || op.Kind != errorfs.OpFileReadAt || !strings.HasSuffix(op.Path, ".sst") {
			return nil
		}
		if info, err := mem.Stat(op.Path); err != nil || op.Offset >= info.Size()/2 {
			return nil
		}
		return d.meet()
	}))
	return d
}

// meet is what befalls who reads the first half of a table.
func (d *heldDisk) meet() error {
	if d.broken.Load() {
		return errors.New("input/output error")
	}
	d.waiting.Store(true)
	<-d.released
	return nil
}

func (d *heldDisk) open(t *testing.T) *Relay {
	t.Helper()
	r, err := Open(context.Background(), Options{Config: []byte(readingConfig), InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Clock: NewFakeClock(time.Now()), disk: func(o *store.Options) { o.FS, o.Dir = d.fs, "/data" }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fill queues messages with many recipients, so that the envelopes fill a table.
func (d *heldDisk) fill(t *testing.T, n int) {
	t.Helper()
	r := d.open(t)
	for range n {
		var to []string
		for i := range 100 {
			to = append(to, fmt.Sprintf("user%d@%s.example", i, r.newID()))
		}
		if _, err := r.Submit(t.Context(), Submission{Sender: "a@b.test", Recipients: to, Content: strings.NewReader("Subject: x\n\ny\n")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(r.engine.Load().store.Pebble().Flush(), r.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNothingWaitsForTheReadingOfTheQueue starts a relay on a disk that does not
// give the old envelopes. It takes mail and delivers it, and its doors for
// operators say how things stand.
func TestNothingWaitsForTheReadingOfTheQueue(t *testing.T) {
	const old = 30
	d := newHeldDisk()
	d.fill(t, old)
	d.held.Store(true)
	r := d.open(t)
	ended := make(chan error, 1)
	ctx, end := context.WithCancel(context.Background())
	go func() { ended <- r.Run(ctx) }()

	if code := submitCode(r, "Subject: x\n\nx\n"); code != 250 {
		t.Errorf("new mail: %d", code)
	}
	if err := r.engine.Load().sched.Idle(t.Context()); err != nil {
		t.Errorf("delivery: %v", err)
	}
	if n, going := r.reading(); n != 0 || !going || !d.waiting.Load() {
		t.Fatalf("%d messages read, reading: %t, the disk is waited for: %t", n, going, d.waiting.Load())
	}
	r.watchdog.look()
	if err := r.Reload(t.Context()); err != nil {
		t.Errorf("reload: %v", err)
	}
	o, gone := operator{r}, overContext()
	if i, err := o.Info(t.Context()); err != nil || !i.Reading || i.Queue["ready"] != 0 {
		t.Errorf("info: %+v, %v", i, err)
	}
	if _, err := o.List(gone, control.Filter{}); !errors.Is(err, queue.ErrReading) {
		t.Errorf("list: %v", err)
	}
	if _, err := o.Show(gone, r.newID()); !errors.Is(err, queue.ErrReading) {
		t.Errorf("show: %v", err)
	}
	if _, err := o.Act(gone, control.Action{Verb: verbBounce, IDs: []string{r.newID()}, Reason: "why", GoneOK: true}); !errors.Is(err, queue.ErrReading) {
		t.Errorf("bounce: %v", err)
	}
	health := page(t, r.Info().Admin, "/healthz")
	if !strings.Contains(health, `"status":"ok"`) || !strings.Contains(health, `"queue":"still being read after the start, 0 messages so far"`) {
		t.Errorf("health: %s", health)
	}
	if figures := page(t, r.Info().Admin, "/metrics"); !strings.Contains(figures, "postroad_queue_reading 1") {
		t.Error("the figures do not say that the queue is being read")
	}

	close(d.released)
	if err := r.Idle(t.Context()); err != nil {
		t.Errorf("delivery of the old mail: %v", err)
	}
	if n, going := r.reading(); n != old || going {
		t.Errorf("%d messages read, reading: %t", n, going)
	}
	if all, err := o.List(t.Context(), control.Filter{}); err != nil || len(all) != 0 {
		t.Errorf("%d messages are still there, %v", len(all), err)
	}
	if health := page(t, r.Info().Admin, "/healthz"); strings.Contains(health, "queue") {
		t.Errorf("health: %s", health)
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// overContext is a context that is over.
func overContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestAQueueThatCannotBeReadEndsTheRelay: as with every fault of the disk, the data
// directory is opened once more, and then the relay ends.
func TestAQueueThatCannotBeReadEndsTheRelay(t *testing.T) {
	d, log := newHeldDisk(), &logged{}
	d.fill(t, 30)
	d.broken.Store(true)
	r, err := Open(context.Background(), Options{Config: []byte(readingConfig), InMemory: true, DataDir: t.TempDir(), LogOutput: log,
		Clock: NewFakeClock(time.Now()), disk: func(o *store.Options) { o.FS, o.Dir = d.fs, "/data" }})
	if err != nil {
		t.Fatal(err)
	}
	err = r.Run(t.Context())
	if !errors.Is(err, ErrDisk) || !strings.Contains(err.Error(), "read the queue") || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("the relay ended with %v", err)
	}
	if n := log.count("the data directory was opened again after a fault"); n != 1 {
		t.Errorf("it was opened again %d times", n)
	}
	d.broken.Store(false)
	r = d.open(t)
	defer r.Close()
	if all, err := r.Queue(t.Context(), 0); err != nil || len(all) != 30 {
		t.Errorf("after the disk was well again: %d messages, %v", len(all), err)
	}
}
