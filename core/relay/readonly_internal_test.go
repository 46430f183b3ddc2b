// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// TestADiskThatBecomesReadOnlyEndsTheRelayWithASentence: as a kernel does that
// has found an error on the disk. Mail that was acknowledged is there when the
// disk can be written again.
func TestADiskThatBecomesReadOnlyEndsTheRelayWithASentence(t *testing.T) {
	mem := vfs.NewMem()
	var readOnly atomic.Bool
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if readOnly.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EROFS
		}
		return nil
	}))
	open := func() *Relay {
		r, err := Open(context.Background(), Options{Config: []byte(diskConfig), InMemory: true, DataDir: t.TempDir(), LogOutput: t.Output(),
			Clock: NewFakeClock(time.Now()), disk: func(o *store.Options) { o.FS, o.Dir = fs, "/data" }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(context.Background()) }()
	if err := submit(r); err != nil {
		t.Fatal(err)
	}
	readOnly.Store(true)
	var reply *mail.Reply
	if err := submit(r); !errors.As(err, &reply) || !reply.Temporary() {
		t.Errorf("on a read-only disk a message gave %v", err)
	}
	if err := <-ended; !errors.Is(err, ErrDisk) || !strings.Contains(err.Error(), "is not writable: make it so") {
		t.Errorf("the relay ended with %v", err)
	}
	readOnly.Store(false)
	r = open()
	defer r.Close()
	if q, err := r.Queue(context.Background(), 0); err != nil || len(q) == 0 {
		t.Errorf("the queue holds %d messages (%v)", len(q), err)
	}
}
