// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// TestBackupUnderLoad makes backups while sessions and deliveries are at work.
// Of the copy, as a power loss right after the backup leaves it, everything is
// there that was acknowledged before the backup began, or was being settled by
// its end, and each message in it is whole.
func TestBackupUnderLoad(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem)
	l := newLedger()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { session(r, l, w, stop) })
	}
	wg.Go(func() { deliveries(r, l, stop) })
	for i := range 6 {
		l.note(func() { l.quota = 40*i + 80 })
		l.waitFor(40*i + 40)
		known := l.copy()
		dir := fmt.Sprint("/backups/", i)
		if err := r.queue.Backup(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		known.going = l.copy().going // what was settled meanwhile may be gone
		for _, fault := range verifyBackup(t, mem.CrashClone(vfs.CrashCloneCfg{}), dir, known) {
			t.Errorf("backup %d: %s", i, fault)
		}
	}
	close(stop)
	l.note(func() { l.quota = 1 << 20 })
	wg.Wait()
}

// verifyBackup opens a copy, and looks at every message in it.
func verifyBackup(t *testing.T, fs vfs.FS, dir string, l *ledger) (faults []string) {
	f, err := CheckDir(store.Options{FS: fs, Dir: dir})
	if err != nil || len(f.Problems) > 0 {
		return []string{fmt.Sprintf("fsck: %+v, %v", f, err)}
	}
	r := &rig{t: t, fs: fs, dir: dir, clock: newRigClock()}
	if err := r.tryOpen(); err != nil {
		return []string{err.Error()}
	}
	defer r.close()
	for id, n := range l.bodies {
		if fault := r.verifyMessage(l, id, n); fault != "" {
			faults = append(faults, fault)
		}
	}
	for _, m := range r.list(Filter{Limit: 1 << 20}) {
		if q, err := r.show(m.ID); err != nil {
			faults = append(faults, err.Error())
		} else if c, err := q.Open(); err != nil {
			faults = append(faults, err.Error())
		} else {
			c.Close()
		}
	}
	return faults
}

// TestABackupIsWholeOrNotThere lets each operation on the disk fail in turn
// while a backup is made, and takes the disk away before each: what has the
// backup's name is whole. The queue goes on after a failed backup.
func TestABackupIsWholeOrNotThere(t *testing.T) {
	whole, failed := 0, 0
	for n := int32(0); ; n++ {
		mem := vfs.NewCrashableMem()
		index := errorfs.OnIndex(1 << 30)
		fs := errorfs.Wrap(mem, index)
		r, l := &rig{t: t, fs: fs, dir: "/data", clock: newRigClock()}, newLedger()
		r.open()
		for i, size := range []int{small, big} {
			id := ident(fmt.Sprint(i))
			r.enqueue(message(id, size, "x@one.example"))
			l.bodies[id] = size
		}
		index.Store(n)
		err := r.queue.Backup(context.Background(), "/backups/a")
		reached := index.Load() < 0
		index.Store(1 << 30)
		disk := mem.CrashClone(vfs.CrashCloneCfg{})
		r.close()
		if _, statErr := disk.Stat("/backups/a"); statErr == nil {
			whole++
			for _, fault := range verifyBackup(t, disk, "/backups/a", l) {
				t.Errorf("operation %d failed: %s", n, fault)
			}
		} else if err == nil {
			t.Errorf("operation %d failed: a backup that was reported is not there", n)
		} else {
			failed++
		}
		for _, fault := range verify(t, disk, l) {
			t.Errorf("operation %d failed: the queue itself: %s", n, fault)
		}
		if !reached {
			break
		}
	}
	t.Logf("%d failures left no backup, %d a whole one", failed, whole)
	if failed < 10 || whole == 0 {
		t.Error("the test shows little")
	}
}

// TestABackupGoesWhereNothingIs: it writes over nothing, and says so.
func TestABackupGoesWhereNothingIs(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	for _, dir := range []string{"/there", "/half" + store.Unfinished} {
		if err := r.fs.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for dir, want := range map[string]string{"/there": "exists already", "/half": "interrupted", "/data/b": "in the data directory", "/data": "in the data directory"} {
		if err := r.queue.Backup(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r.enqueue(message(ident("a"), big, "x@one.example"))
	if err := r.queue.Backup(gone, "/new"); !errors.Is(err, context.Canceled) {
		t.Errorf("a backup that nobody waits for: %v", err)
	}
	if _, err := r.fs.Stat("/new" + store.Unfinished); err == nil {
		t.Error("it left something")
	}
}

// TestBodiesGoAfterTheBackup: what was delivered while it was made is removed in
// the end.
func TestBodiesGoAfterTheBackup(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(ident("a"), big, "x@one.example"))
	r.due()
	r.queue.tail.keepFiles(+1)
	r.settle(delivered(ident("a"), 0))
	r.clock.Advance(SettleDelay)
	if _, there := r.store.Spool().Size(ident("a")); !there {
		t.Error("a body went while a backup was made")
	}
	r.queue.tail.keepFiles(-1)
	r.clock.Advance(SettleDelay)
	if _, there := r.store.Spool().Size(ident("a")); there {
		t.Error("a body is left")
	}
}
