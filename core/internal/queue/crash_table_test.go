// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// wide is a body that is part of the batch and fills the memory tables soon.
const wide = store.Inline - 4000

// turnover is the life of a relay with much mail: the memory tables are flushed
// and compacted, and logs change, while most of the mail is delivered. It goes
// on after errors, as sessions do.
func turnover(r *rig, l *ledger) {
	ctx := context.Background()
	for n := range 80 {
		id, size := ident(fmt.Sprint("turnover", n)), wide
		if n%15 == 7 {
			size = big
		}
		if r.queue.Enqueue(ctx, message(id, size, "x@one.example")) == nil {
			l.note(func() { l.bodies[id] = size })
		}
		r.due()
		if n%6 != 0 {
			l.note(func() { l.going[id] = true })
			_ = r.queue.Settle(ctx, delivered(id, 0))
		}
		if n%5 == 0 {
			r.clock.Advance(SettleDelay)
		}
	}
	_ = r.store.Pebble().Flush()
}

// photo is a disk as a power loss would leave it, and what was acknowledged by
// then.
type photo struct {
	disk *vfs.MemFS
	l    *ledger
	op   string
}

// photographer copies a disk before operations that change it: before every
// one on files and folders, and before every tenth write into a file, for there
// are many.
type photographer struct {
	mem    *vfs.MemFS
	cfg    vfs.CrashCloneCfg
	l      *ledger
	mu     sync.Mutex
	writes int
	all    []photo
}

// inject sees an operation before it happens.
func (p *photographer) inject(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if op.Kind == errorfs.OpFileWrite {
		if p.writes++; p.writes%10 != 0 {
			return nil
		}
	}
	known := p.l.copy() // first: what is acknowledged later need not be there
	p.all = append(p.all, photo{p.mem.CrashClone(p.cfg), known, fmt.Sprint(op.Kind, " ", op.Path)})
	return nil
}

func (p *photographer) fs() vfs.FS { return errorfs.Wrap(p.mem, errorfs.InjectorFunc(p.inject)) }

// turnoverPhotos runs turnover on a disk that spoil may have tampered with.
func turnoverPhotos(t *testing.T, cfg vfs.CrashCloneCfg, spoil func(vfs.FS) vfs.FS) (photos []photo, flushes, compactions int64) {
	t.Helper()
	p := &photographer{mem: vfs.NewCrashableMem(), cfg: cfg, l: newLedger()}
	r := newRig(t, spoil(p.fs()))
	turnover(r, p.l)
	m := r.store.Pebble().Metrics()
	flushes, compactions = m.Flush.Count, m.Compact.Count
	r.close()
	return p.all, flushes, compactions
}

// TestPowerLossWhileTablesChange is TestPowerLossAtEveryOperation with enough
// mail that logs are replaced by tables and tables by others.
func TestPowerLossWhileTablesChange(t *testing.T) {
	for percent, step := range map[int]int{0: 1, 50: 3} { // a torn log takes long to read
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(2, uint64(percent)))}
		photos, flushes, compactions := turnoverPhotos(t, cfg, unspoiled)
		t.Logf("%d crash points, %d flushes, %d compactions", len(photos), flushes, compactions)
		if flushes < 4 || compactions == 0 {
			t.Error("the tables hardly change: the test shows little")
		}
		for i := 0; i < len(photos); i += step {
			p := photos[i]
			for _, fault := range verify(t, p.disk, p.l) {
				t.Errorf("%d%% of unsynced data survive: crash before %s: %s", percent, p.op, fault)
			}
		}
	}
}

// TestPowerLossWhileTablesChangeIsFoundWithoutASync takes the syncs out that
// keep what a removed log held.
func TestPowerLossWhileTablesChangeIsFoundWithoutASync(t *testing.T) {
	for name, match := range map[string]func(path string) bool{
		"tables":   func(path string) bool { return strings.HasSuffix(path, ".sst") },
		"manifest": func(path string) bool { return strings.HasPrefix(filepath.Base(path), "MANIFEST") },
		"folder":   func(path string) bool { return filepath.Base(path) == "db" },
	} {
		photos, _, _ := turnoverPhotos(t, vfs.CrashCloneCfg{}, func(fs vfs.FS) vfs.FS { return unsynced{fs, match} })
		faults := 0
		for _, p := range photos {
			faults += len(verify(t, p.disk, p.l))
		}
		if faults == 0 {
			t.Errorf("%s: nothing was found without its sync at %d crash points", name, len(photos))
		}
	}
}

// TestPowerLossDuringRecovery crashes a relay, and again at every operation of
// the start that follows.
func TestPowerLossDuringRecovery(t *testing.T) {
	photos, _, _ := turnoverPhotos(t, vfs.CrashCloneCfg{}, unspoiled)
	points := 0
	for i := 0; i < len(photos); i += len(photos)/12 + 1 {
		first := photos[i]
		p := &photographer{mem: first.disk, l: first.l}
		r := &rig{t: t, fs: p.fs(), dir: "/data", clock: newRigClock()}
		if err := r.tryOpen(); err != nil {
			t.Errorf("crash before %s: %v", first.op, err)
			continue
		}
		r.close()
		for _, second := range p.all {
			for _, fault := range verify(t, second.disk, second.l) {
				t.Errorf("crash before %s, then before %s: %s", first.op, second.op, fault)
			}
		}
		points += len(p.all)
	}
	t.Logf("%d crash points", points)
	if points < 100 {
		t.Errorf("only %d crash points: the test shows little", points)
	}
}

// TestPowerLossKeepsWhatWasSettled: what was settled before a sync is not sent
// again, and what was deferred keeps its attempts.
func TestPowerLossKeepsWhatWasSettled(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem)
	r.enqueue(message(ident("a"), big, "x@one.example"), message(ident("b"), small, "x@one.example"))
	r.due()
	r.settle(delivered(ident("a"), 0), later(ident("b"), 0, r.clock.Now().Add(SettleDelay*10)))
	r.enqueue(message(ident("c"), small, "x@one.example")) // its sync takes the settles along
	disk := mem.CrashClone(vfs.CrashCloneCfg{})
	r.close()
	r = newRig(t, disk)
	if _, err := r.show(ident("a")); err == nil {
		t.Error("a delivered message is back")
	}
	b, err := r.show(ident("b"))
	if err != nil || b.States[0].Attempts != 1 || b.States[0].Status != mail.Deferred {
		t.Errorf("the deferred message is %+v, %v", b, err)
	}
	if ls := r.due(); len(ls) != 1 || ls[0].Message.ID() != ident("c") {
		t.Errorf("due: %v", ls)
	}
}
