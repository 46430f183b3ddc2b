// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

const diskConfig = `
admin { address = "" }
listener "smtp" "in" {
  address = "127.0.0.1:0"
}
routing {
  rule { route = route.out }
}
route "out" {
  smarthost { hosts = ["127.0.0.1:1"] }
}
`

// brokenDisk is a disk in memory whose next sync fails when broken is set.
type brokenDisk struct {
	broken atomic.Bool
	fs     vfs.FS
}

func newBrokenDisk() *brokenDisk {
	d := &brokenDisk{}
	d.fs = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if sync && d.broken.CompareAndSwap(true, false) {
			return errors.New("input/output error")
		}
		return nil
	}))
	return d
}

func submit(r *Relay) error {
	_, err := r.Submit(context.Background(), Submission{Sender: "a@b.test", Recipients: []string{"c@d.test"}, Content: strings.NewReader("Subject: x\n\ny\n")})
	return err
}

func TestADiskFaultIsSurvivedOnceThenEndsTheRelay(t *testing.T) {
	disk := newBrokenDisk()
	r, err := Open(context.Background(), Options{Config: []byte(diskConfig), InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
		Clock: NewFakeClock(time.Now()), disk: func(o *store.Options) { o.FS = disk.fs }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(context.Background()) }()
	if err := submit(r); err != nil {
		t.Fatal(err)
	}

	first := r.engine.Load()
	disk.broken.Store(true)
	var reply *mail.Reply
	if err := submit(r); !errors.As(err, &reply) || reply.Code != 451 {
		t.Fatalf("on a broken disk a message gave %v", err)
	}
	for e := first; e == nil || e == first; e = r.engine.Load() {
		select {
		case err := <-ended:
			t.Fatalf("the relay ended at the first fault: %v", err)
		default:
			runtime.Gosched()
		}
	}
	if err := submit(r); err != nil {
		t.Errorf("after the disk was opened again: %v", err)
	}
	q, err := r.Queue(context.Background(), 0)
	if err != nil || len(q) < 2 { // the refused one may be there too: its client comes again
		t.Errorf("the queue holds %d messages (%v), want those that were acknowledged", len(q), err)
	}

	disk.broken.Store(true)
	if err := submit(r); err == nil {
		t.Error("a message was taken on a broken disk")
	}
	if err := <-ended; !errors.Is(err, ErrDisk) {
		t.Errorf("the relay ended with %v", err)
	}
}
