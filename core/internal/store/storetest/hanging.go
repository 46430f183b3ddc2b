// SPDX-License-Identifier: Apache-2.0

// Package storetest has disks for tests of the store and of what stands on it.
package storetest

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Hanging is a disk in memory whose syncs wait, from Hang to Release.
type Hanging struct {
	vfs.FS
	Entered chan struct{} // holds a value once a sync waits

	mu   sync.Mutex
	gate chan struct{} // nil: open
}

// NewHanging returns a disk that does not hang yet.
func NewHanging() *Hanging {
	d := &Hanging{Entered: make(chan struct{}, 1)}
	d.FS = errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(d.inject))
	return d
}

func (d *Hanging) inject(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileSync && op.Kind != errorfs.OpFileSyncData && op.Kind != errorfs.OpFileSyncTo {
		return nil
	}
	d.mu.Lock()
	gate := d.gate
	d.mu.Unlock()
	if gate == nil {
		return nil
	}
	select {
	case d.Entered <- struct{}{}:
	default:
	}
	<-gate
	return nil
}

// Hang has syncs wait from now on.
func (d *Hanging) Hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gate = make(chan struct{})
}

// Release ends what Hang began.
func (d *Hanging) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.gate)
	d.gate = nil
}
