// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// ledger is what the outside world may rely on: what was acknowledged.
type ledger struct {
	mu     sync.Mutex
	noted  *sync.Cond
	bodies map[string]int  // acknowledged messages and the length of their bodies
	going  map[string]bool // a settle or drop that removes the message has begun
	gone   map[string]bool // a drop has returned
	held   map[string]bool // a hold has returned and no release has begun
	quota  int             // sessions wait before they accept more messages
}

func newLedger() *ledger {
	l := &ledger{bodies: map[string]int{}, going: map[string]bool{}, gone: map[string]bool{}, held: map[string]bool{}}
	l.noted = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
	l.noted.Broadcast()
}

func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{bodies: maps.Clone(l.bodies), going: maps.Clone(l.going), gone: maps.Clone(l.gone), held: maps.Clone(l.held)}
}

const (
	small = 700
	big   = store.Inline + 1000
)

// script is the life of a small relay: each step notes in the ledger what its
// return value promises. It goes on after errors, as sessions do.
func script(r *rig, l *ledger) {
	ctx := context.Background()
	accept := func(n int, names ...string) {
		var ms []*Message
		for _, name := range names {
			ms = append(ms, message(ident(name), n, "x@one.example", "y@two.example"))
		}
		if err := r.queue.Enqueue(ctx, ms...); err != nil {
			if reply := mail.ReplyOf(err); !reply.Temporary() {
				r.t.Errorf("enqueue answers %v", err)
			}
			return
		}
		l.note(func() {
			for _, m := range ms {
				l.bodies[m.Envelope.ID] = n
			}
		})
	}
	finish := func(names ...string) {
		var rs []Result
		for _, name := range names {
			rs = append(rs, delivered(ident(name), 0, 1))
		}
		l.note(func() {
			for _, r := range rs {
				l.going[r.Message] = true
			}
		})
		_ = r.queue.Settle(ctx, rs...)
	}
	accept(small, "a")
	accept(big, "b")
	accept(small, "c", "d")
	_ = r.due()
	finish("a")
	late := later(ident("b"), 1, r.clock.Now().Add(time.Minute))
	late.Outcomes[0].Warned, late.DSN = true, []*Message{message(ident("warning"), small, "from@sender.example")}
	_ = r.queue.Settle(ctx, delivered(ident("b"), 0), late)
	accept(big, "e")
	bounce := message(ident("bounce"), small, "from@sender.example")
	bounce.Envelope.ID = ""
	fail := delivered(ident("c"), 0, 1)
	fail.Outcomes[1].Outcome.Status = mail.Failed
	fail.DSN = []*Message{bounce}
	l.note(func() { l.going[ident("c")] = true })
	_ = r.queue.Settle(ctx, fail)
	r.clock.Advance(SettleDelay)
	if r.queue.Hold(ctx, Hold{Kind: Quarantine, Reason: "test", By: "script"}, ident("d")) == nil {
		l.note(func() { l.held[ident("d")] = true })
	}
	l.note(func() { l.going[ident("e")] = true })
	if r.queue.Drop(ctx, ident("e")) == nil {
		l.note(func() { l.gone[ident("e")] = true })
	}
	accept(small, "f")
	accept(big, "g", "h")
	_ = r.due()
	finish("f", "g")
	r.clock.Advance(SettleDelay)
	accept(small, "i")
	accept(big, "j")
	if r.queue.Release(ctx, ident("i")) == nil {
		_ = r.queue.Retry(ctx, ident("b"))
	}
	accept(small, "k", "l", "m")
	_ = r.due()
	finish("k", "l", "j")
	r.clock.Advance(SettleDelay)
}

// verify opens what a crash left and returns what is wrong with it.
func verify(t *testing.T, fs vfs.FS, l *ledger) (faults []string) {
	r := &rig{t: t, fs: fs, dir: "/data", clock: newRigClock()}
	if err := r.tryOpen(); err != nil {
		return []string{"open: " + err.Error()}
	}
	defer r.close()
	for id, n := range l.bodies {
		if fault := r.verifyMessage(l, id, n); fault != "" {
			faults = append(faults, fault)
		}
	}
	faults = append(faults, r.verifyReports(l)...)
	return append(faults, r.verifySpool()...)
}

// verifyReports finds what was settled without its report, and the other way
// round: the sender would hear of it never, or twice.
func (r *rig) verifyReports(l *ledger) (faults []string) {
	queued := func(id string) bool {
		_, err := r.show(id)
		return err == nil
	}
	if m, err := r.show(ident("b")); err == nil && m.States[1].Warned != queued(ident("warning")) {
		faults = append(faults, fmt.Sprintf("told of a delay: %t; the report is queued: %t", m.States[1].Warned, !m.States[1].Warned))
	}
	if _, accepted := l.bodies[ident("c")]; accepted && queued(ident("c")) == queued(DSNID(ident("c"), []int{1}, 0)) {
		faults = append(faults, "the failure of c and its report are not on disk together")
	}
	return faults
}

func (r *rig) verifyMessage(l *ledger, id string, n int) string {
	m, err := r.show(id)
	switch {
	case errors.Is(err, ErrNotFound) && l.going[id]:
		return ""
	case err != nil:
		return fmt.Sprintf("acknowledged %s: %v", id, err)
	case l.gone[id]:
		return "dropped " + id + " is back"
	case l.held[id] && m.Hold == nil:
		return "held " + id + " is not held"
	}
	b, err := m.Open()
	if err != nil {
		return fmt.Sprintf("body of %s: %v", id, err)
	}
	defer b.Close()
	p := make([]byte, b.Body.Size())
	if _, err := b.Body.ReadAt(p, 0); err != nil && len(p) == 0 || string(p) != string(bodyOf(id, n)) {
		return fmt.Sprintf("body of %s is not what was acknowledged", id)
	}
	return ""
}

// verifySpool finds body files of no message.
func (r *rig) verifySpool() (faults []string) {
	ids, err := r.store.Spool().List()
	if err != nil {
		return []string{err.Error()}
	}
	for _, id := range ids {
		if _, err := r.queue.live(id); err != nil {
			faults = append(faults, "orphan body file "+id)
		}
	}
	return faults
}

// crashes runs the script on a disk that is copied, as a power loss would
// leave it, before every operation that changes it; and checks every copy.
func crashes(t *testing.T, cfg vfs.CrashCloneCfg, spoil func(vfs.FS) vfs.FS) (points int, faults []string) {
	mem := vfs.NewCrashableMem()
	l := newLedger()
	type crash struct {
		disk *vfs.MemFS
		l    *ledger
		op   string
	}
	var mu sync.Mutex
	var all []crash
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			known := l.copy() // first: what is acknowledged later need not be there
			all = append(all, crash{mem.CrashClone(cfg), known, fmt.Sprint(op.Kind, " ", op.Path)})
		}
		return nil
	}))
	r := newRig(t, spoil(fs))
	script(r, l)
	r.close()
	for _, c := range all {
		for _, fault := range verify(t, c.disk, c.l) {
			faults = append(faults, "crash before "+c.op+": "+fault)
		}
	}
	return len(all), faults
}

func unspoiled(fs vfs.FS) vfs.FS { return fs }

func TestPowerLossAtEveryOperation(t *testing.T) {
	for _, percent := range []int{0, 50} {
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rand.New(rand.NewPCG(1, uint64(percent)))}
		points, faults := crashes(t, cfg, unspoiled)
		for _, f := range faults {
			t.Errorf("%d%% of unsynced data survive: %s", percent, f)
		}
		t.Logf("%d crash points", points)
		if points < 80 {
			t.Errorf("only %d crash points: the test shows little", points)
		}
	}
}

// TestPowerLossIsFoundWithoutASync proves that the test above can see what it
// looks for: with any one of the three syncs taken out, it finds a loss.
func TestPowerLossIsFoundWithoutASync(t *testing.T) {
	for name, match := range map[string]func(path string) bool{
		"log":    func(path string) bool { return strings.HasSuffix(path, ".log") },
		"body":   func(path string) bool { return strings.Contains(path, "spool/tmp/") },
		"folder": func(path string) bool { return filepath.Base(path) == "spool" },
	} {
		_, faults := crashes(t, vfs.CrashCloneCfg{}, func(fs vfs.FS) vfs.FS { return unsynced{fs, match} })
		lost := 0
		for _, f := range faults {
			if strings.Contains(f, "acknowledged") || strings.Contains(f, "body of") {
				lost++
			}
		}
		if lost == 0 {
			t.Errorf("%s: no loss was found without its sync; other faults: %v", name, faults)
		}
	}
}

// unsynced is a disk that says it has synced the files that match.
type unsynced struct {
	vfs.FS
	match func(path string) bool
}

func (u unsynced) wrap(name string, f vfs.File, err error) (vfs.File, error) {
	if err == nil && u.match(name) {
		f = liar{f}
	}
	return f, err
}

func (u unsynced) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.Create(name, c)
	return u.wrap(name, f, err)
}

func (u unsynced) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := u.FS.ReuseForWrite(old, name, c)
	return u.wrap(name, f, err)
}

func (u unsynced) OpenDir(name string) (vfs.File, error) {
	f, err := u.FS.OpenDir(name)
	return u.wrap(name, f, err)
}

type liar struct{ vfs.File }

func (liar) Sync() error                      { return nil }
func (liar) SyncData() error                  { return nil }
func (liar) SyncTo(int64) (bool, error)       { return false, nil }
func (l liar) Preallocate(off, n int64) error { return l.File.Preallocate(off, n) }

// TestPowerLossUnderLoad does the same at random moments while sessions and
// deliveries run side by side.
func TestPowerLossUnderLoad(t *testing.T) {
	mem := vfs.NewCrashableMem()
	r := newRig(t, mem)
	l := newLedger()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() { session(r, l, w, stop) })
	}
	wg.Go(func() { deliveries(r, l, stop) })
	rng := rand.New(rand.NewPCG(7, 7))
	for i := range 25 {
		l.note(func() { l.quota = 20*i + 40 })
		l.waitFor(20*i + 20)
		known := l.copy()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: i % 3 * 50, RNG: rng})
		for _, fault := range verify(t, clone, known) {
			t.Errorf("crash %d: %s", i, fault)
		}
	}
	close(stop)
	l.note(func() { l.quota = 1 << 20 })
	wg.Wait()
}

// waitFor returns when n messages are acknowledged.
func (l *ledger) waitFor(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.bodies) < n {
		l.noted.Wait()
	}
}

// pace holds a session back.
func (l *ledger) pace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.bodies) >= l.quota {
		l.noted.Wait()
	}
}

func session(r *rig, l *ledger, w int, stop chan struct{}) {
	for i := 0; ; i++ {
		l.pace()
		select {
		case <-stop:
			return
		default:
		}
		id, n := ident(fmt.Sprint(w, "-", i)), small
		if i%8 == 7 {
			n = big
		}
		if err := r.queue.Enqueue(context.Background(), message(id, n, "x@one.example")); err != nil {
			r.t.Error(err)
			return
		}
		l.note(func() { l.bodies[id] = n })
	}
}

func deliveries(r *rig, l *ledger, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-r.queue.Wake():
		}
		var rs []Result
		for i, lease := range r.queue.Due(r.clock.Now(), 16) {
			id := lease.Message.ID()
			if i%2 == 0 {
				rs = append(rs, later(id, 0, r.clock.Now().Add(time.Hour)))
				continue
			}
			l.note(func() { l.going[id] = true })
			rs = append(rs, delivered(id, 0))
		}
		if err := r.queue.Settle(context.Background(), rs...); err != nil {
			r.t.Error(err)
		}
		r.clock.Advance(SettleDelay / 4)
	}
}

// TestOneFailureAtATime lets each operation of the disk fail in turn. Whatever
// was acknowledged in spite of it is there after a power loss.
func TestOneFailureAtATime(t *testing.T) {
	for n, reached := int32(0), true; reached; n++ {
		mem := vfs.NewCrashableMem()
		index := errorfs.OnIndex(n)
		l := newLedger()
		r := &rig{t: t, fs: errorfs.Wrap(mem, index), dir: "/data", clock: newRigClock()}
		if err := r.tryOpen(); err == nil {
			script(r, l)
		}
		disk := mem.CrashClone(vfs.CrashCloneCfg{})
		r.close()
		for _, fault := range verify(t, disk, l) {
			t.Errorf("operation %d failed: %s", n, fault)
		}
		if reached = index.Load() < 0; !reached {
			t.Logf("%d operations; %d messages without a failure", n, len(l.bodies))
		}
	}
}
