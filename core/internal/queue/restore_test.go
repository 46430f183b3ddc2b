// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
)

// backedUp makes a backup with a small message and one that has a body file, at
// /backups/a.
func backedUp(t *testing.T, fs vfs.FS) *ledger {
	t.Helper()
	r, l := &rig{t: t, fs: fs, dir: "/data", clock: newRigClock()}, newLedger()
	r.open()
	for i, size := range []int{small, big} {
		id := ident(fmt.Sprint(i))
		r.enqueue(message(id, size, "x@one.example", "y@two.example"))
		l.bodies[id] = size
	}
	if err := r.queue.Backup(t.Context(), "/backups/a"); err != nil {
		t.Fatal(err)
	}
	r.close()
	return l
}

// TestARestoreIsWholeOrRefused lets each operation on the disk fail in turn while
// a backup is restored, and takes the power away right after: then the data
// directory has no queue, or no relay starts on it, and says why; and to give the
// command again brings everything. The backup is as it was.
func TestARestoreIsWholeOrRefused(t *testing.T) {
	refused, failed := 0, 0
	for n := int32(0); ; n++ {
		mem := vfs.NewCrashableMem()
		index := errorfs.OnIndex(1 << 30)
		fs := errorfs.Wrap(mem, index)
		l := backedUp(t, fs)
		index.Store(n)
		_, _, err := RestoreDir(t.Context(), store.Options{FS: fs, Dir: "/new"}, "/backups/a")
		reached := index.Load() < 0
		index.Store(1 << 30)
		for _, disk := range []vfs.FS{mem, mem.CrashClone(vfs.CrashCloneCfg{})} {
			if err != nil {
				failed++
				if refuses(t, disk, n) {
					refused++
				}
				if _, _, err := RestoreDir(t.Context(), store.Options{FS: disk, Dir: "/new"}, "/backups/a"); err != nil && !ended(disk) {
					t.Errorf("operation %d failed, and then the restore again: %v", n, err)
					continue
				}
			}
			for _, dir := range []string{"/new", "/backups/a"} {
				for _, fault := range verifyBackup(t, disk, dir, l) {
					t.Errorf("operation %d failed: %s: %s", n, dir, fault)
				}
			}
		}
		if !reached {
			break
		}
	}
	t.Logf("%d failures, %d left a data directory that is refused", failed, refused)
	if failed < 20 || refused == 0 {
		t.Error("the test shows little")
	}
}

// ended reports whether all was done, and only the last sync failed.
func ended(disk vfs.FS) bool {
	_, db := disk.Stat("/new/db")
	_, part := disk.Stat("/new/restore.unfinished")
	return db == nil && part != nil
}

// refuses reports whether a relay is refused on a half restored data directory.
func refuses(t *testing.T, disk vfs.FS, n int32) bool {
	if _, err := disk.Stat("/new/restore.unfinished"); err != nil {
		return false
	}
	s, err := store.Open(store.Options{FS: disk, Dir: "/new"})
	if err == nil {
		t.Errorf("operation %d failed: a half restored data directory was opened", n)
		s.Close()
		return false
	}
	if !strings.Contains(err.Error(), "queue restore again") {
		t.Errorf("operation %d failed: %v", n, err)
	}
	return true
}

func TestWhatIsNotRestored(t *testing.T) {
	mem := vfs.NewMem()
	backedUp(t, mem)
	newer := func() error {
		s, err := store.Open(store.Options{FS: mem, Dir: "/backups/newer"})
		if err != nil {
			return err
		}
		b := s.NewBatch()
		return errors.Join(b.Set(layoutKey(), []byte{envelopeVersion + 1}, nil), s.Commit(b, true), b.Close(), s.Close())
	}
	if err := errors.Join(newer(), mem.MkdirAll("/empty", 0o700), mem.MkdirAll("/half.unfinished/db", 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"/damaged", "/running"} {
		if _, _, err := RestoreDir(t.Context(), store.Options{FS: mem, Dir: again}, "/backups/a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := mem.Remove("/damaged/spool/" + ident("1")); err != nil {
		t.Fatal(err)
	}
	running, err := store.Open(store.Options{FS: mem, Dir: "/running"})
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	for _, c := range []struct{ from, to, want string }{
		{"/gone", "/new", "no folders db and spool"},
		{"/empty", "/new", "no folders db and spool"},
		{"/half.unfinished", "/new", "not whole"},
		{"/data", "/data", "itself"},
		{"/running", "/new", "is running on it"},
		{"/backups/newer", "/new", "newer postroad"},
		{"/damaged", "/new", "the body file is missing"},
		{"/backups/a", "/data", "it has a queue"},
	} {
		_, _, err := RestoreDir(t.Context(), store.Options{FS: mem, Dir: c.to}, c.from)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s into %s: %v", c.from, c.to, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := RestoreDir(gone, store.Options{FS: mem, Dir: "/new"}, "/backups/a"); !errors.Is(err, context.Canceled) {
		t.Errorf("a restore that nobody waits for: %v", err)
	}
	if names, err := mem.List("/new"); err != nil || len(names) > 0 {
		t.Errorf("refused restores left %v, %v", names, err)
	}
	f, earlier, err := RestoreDir(t.Context(), store.Options{FS: mem, Dir: "/new"}, "/backups/a")
	if err != nil || earlier || f.Messages != 2 || f.Recipients != 4 || f.BodyFiles != 1 || f.DataDir != "/new" {
		t.Errorf("%+v, %t, %v", f, earlier, err)
	}
}

// TestARestoreThatLacksItsLastStep: everything is in place, so nothing is copied
// again, and what somebody else put there is not touched.
func TestARestoreThatLacksItsLastStep(t *testing.T) {
	mem := vfs.NewMem()
	backedUp(t, mem)
	o := store.Options{FS: mem, Dir: "/data"}
	if err := mem.MkdirAll("/data/restore.unfinished", 0o700); err != nil {
		t.Fatal(err)
	}
	if f, earlier, err := RestoreDir(t.Context(), o, "/backups/a"); err != nil || !earlier || f.Messages != 2 {
		t.Errorf("%+v, %t, %v", f, earlier, err)
	}
	if err := mem.MkdirAll("/data/restore.unfinished/db", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := RestoreDir(t.Context(), o, "/backups/a"); err == nil || !strings.Contains(err.Error(), "it has a queue") {
		t.Errorf("two queues: %v", err)
	}
}
