// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/postroad-mail/postroad/core/mail"
)

// A walk does random operations on a queue and on a model, side by side. At
// random it ends the process in order, or takes the power away, between two
// operations or in the middle of one, at a write to the disk. What is there
// afterwards has to be exactly what the model was after some operation: of
// those that the queue has promised to keep, or a later one. The log is one
// line, so that nothing may be missing from the middle.
//
// After some starts the queue is read message by message, at random between the
// operations: of what was not read yet none may be handed out or changed, and all
// else goes on.
type walk struct {
	*rig
	rng   *rand.Rand
	spoil func(vfs.FS) vfs.FS // tampers with the disk
	disk  *vfs.MemFS

	live    model
	history []model // after each operation since the last one that is durable, that one first
	serial  int

	power struct { // what a power loss leaves of the disk
		sync.Mutex
		rng *rand.Rand
	}
	mu     sync.Mutex
	cut    int // writes to come before the power goes; 0: it stays
	photo  *vfs.MemFS
	faulty *errorfs.InjectIndex // nil: no faults
	gate   readGate             // holds the reading; nil: everything was read

	cycles, cuts, torn int // crashes; those within an operation; those that kept more than was promised
	early              int // operations while the queue was being read
	faults             []string
}

func newWalk(t *testing.T, seed uint64, spoil func(vfs.FS) vfs.FS) *walk {
	w := &walk{rng: rand.New(rand.NewPCG(seed, 11)), spoil: spoil, live: model{}, history: []model{{}}}
	w.rig = &rig{t: t, dir: "/data", clock: newRigClock()}
	w.power.rng = rand.New(rand.NewPCG(seed, 12))
	w.start(vfs.NewCrashableMem())
	return w
}

// start opens the queue on a disk.
func (w *walk) start(disk *vfs.MemFS) {
	if w.pace == nil {
		w.gate = nil
	}
	w.disk = disk
	var fs vfs.FS = errorfs.Wrap(disk, errorfs.InjectorFunc(w.inject))
	if w.faulty != nil {
		fs = errorfs.Wrap(fs, w.faulty)
	}
	w.fs = w.spoil(fs)
	defer w.withoutFaults()()
	if err := w.tryOpen(); err != nil {
		w.fault("open: %v", err)
	}
}

// withoutFaults keeps the failure for later, until its result is called: while
// Pebble opens, a failure may meet a compaction that has begun, and Pebble v2.1
// then panics. Failures at the start are TestOneFailureAtATime's.
func (w *walk) withoutFaults() func() {
	if w.faulty == nil || w.fired() {
		return func() {}
	}
	left := w.faulty.Load()
	w.faulty.Store(1 << 30)
	return func() { w.faulty.Store(left) }
}

// inject counts writes down to the cut.
func (w *walk) inject(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut > 0 {
		if w.cut--; w.cut == 0 {
			w.photo = w.crash()
		}
	}
	return nil
}

// fired reports whether the failure has happened.
func (w *walk) fired() bool { return w.faulty != nil && w.faulty.Load() < 0 }

// crash is the disk without some of what was not synced. Goroutines of the database
// may bring it about as well.
func (w *walk) crash() *vfs.MemFS {
	w.power.Lock()
	defer w.power.Unlock()
	percent := []int{0, 0, 50, 90}[w.power.rng.IntN(4)]
	return w.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: w.power.rng})
}

func (w *walk) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// did enters an operation. A durable one makes durable what came before.
func (w *walk) did(durable bool) {
	w.history = append(w.history, w.live.clone())
	if durable {
		w.history = w.history[len(w.history)-1:]
	}
}

// run does n operations.
func (w *walk) run(n int) {
	for range n {
		if w.queue == nil || len(w.faults) > 0 {
			break
		}
		w.step()
	}
	w.close()
}

// step is one operation, and with it perhaps the end.
func (w *walk) step() {
	before := slices.Clone(w.history)
	if w.rng.IntN(8) == 0 {
		w.mu.Lock()
		w.cut = 1 + w.rng.IntN(8)
		w.mu.Unlock()
	}
	err := w.operation()
	w.mu.Lock()
	photo := w.photo
	w.photo, w.cut = nil, 0
	w.mu.Unlock()
	switch {
	case photo != nil:
		w.cuts++
		w.history = append(before, w.history...) // it may have come before or after
		w.recover(photo)
	case err != nil && w.store.Healthy() != nil: // nobody knows whether the last batch is there
		w.recover(w.crash())
	}
}

// operation does one at random and enters it. After an error the model with the
// operation is one of those that may be true.
func (w *walk) operation() error {
	w.readOn()
	switch n := w.rng.IntN(100); {
	case n < 30:
		return w.accept()
	case n < 50:
		w.checkDue()
	case n < 70:
		return w.finish()
	case n < 74:
		w.giveBack()
	case n < 90:
		return w.operate()
	case n < 94:
		w.pass(time.Duration(1+w.rng.IntN(90)) * time.Second)
	case n < 97:
		w.orderly()
	default:
		w.recover(w.crash())
	}
	return nil
}

// try enters an operation by its error. On a store that goes on after an error
// nothing has changed.
func (w *walk) try(err error, durable bool, change func(model)) error {
	if err != nil && w.store.Healthy() == nil {
		return nil
	}
	change(w.live)
	w.did(durable && err == nil)
	return err
}

func (w *walk) accept() error {
	var ms []*Message
	for range 1 + w.rng.IntN(3) {
		w.serial++
		size := []int{0, small, small, big}[w.rng.IntN(4)]
		m := message(ident(fmt.Sprint(w.serial)), size, []string{"x@one.example", "y@two.example", "z@three.example"}[:1+w.rng.IntN(3)]...)
		if w.rng.IntN(10) == 0 {
			m.Hold = &Hold{Kind: Quarantine, Reason: "why"}
		}
		ms = append(ms, m)
	}
	return w.try(w.queue.Enqueue(context.Background(), ms...), true, func(live model) {
		for _, m := range ms {
			msg := &modelMessage{size: int(m.Body.Size()), rcpts: make([]modelRcpt, len(m.Envelope.Recipients))}
			if m.Hold != nil {
				msg.hold = m.Hold.Kind
			}
			live[m.Envelope.ID] = msg
		}
	})
}

// checkDue leases everything, and compares. What cannot be read rests, and a
// restart knows nothing of that.
func (w *walk) checkDue() {
	want, fired := w.live.due(w.clock.Now()), w.fired()
	maps.DeleteFunc(want, func(id string, _ []int) bool { return !w.known(id) })
	got := map[string][]int{}
	for _, l := range w.due() {
		got[l.Message.ID()] = l.Recipients
	}
	if w.fired() != fired {
		w.recover(w.crash())
		return
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.fault("due %v, want %v", got, want)
	}
	w.live.lease(want)
}

// leased returns a message with a leased recipient.
func (w *walk) leased() (id string, rcpts []int) {
	ids := w.live.ids()
	w.rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		for i, r := range w.live[id].rcpts {
			if r.leased {
				rcpts = append(rcpts, i)
			}
		}
		if len(rcpts) > 0 {
			return id, rcpts
		}
	}
	return "", nil
}

// finish settles some recipients of a message.
func (w *walk) finish() error {
	id, rcpts := w.leased()
	if id == "" {
		return nil
	}
	res := Result{Message: id}
	for _, i := range rcpts[:1+w.rng.IntN(len(rcpts))] {
		res.Outcomes = append(res.Outcomes, w.outcome(id, i))
	}
	if len(failedOf(&res)) > 0 && w.live[id].size >= 0 {
		dsn := message("", 0, "from@sender.example")
		dsn.Envelope.Sender, dsn.Header = "", []byte("Subject: report\r\n\r\n")
		res.DSN = []*Message{dsn}
	}
	return w.try(w.queue.Settle(context.Background(), res), false, func(live model) { live.settle(res) })
}

func (w *walk) outcome(id string, rcpt int) Settled {
	switch w.rng.IntN(5) {
	case 0:
		return later(id, rcpt, w.clock.Now().Add(time.Minute)).Outcomes[0]
	case 1:
		o := later(id, rcpt, time.Time{}).Outcomes[0]
		o.Held = true
		return o
	case 2:
		o := delivered(id, rcpt).Outcomes[0]
		o.Outcome.Status = mail.Failed
		return o
	}
	return delivered(id, rcpt).Outcomes[0]
}

// giveBack ends a lease without an attempt.
func (w *walk) giveBack() {
	id, rcpts := w.leased()
	if id == "" {
		return
	}
	r := &w.live[id].rcpts[rcpts[0]]
	r.leased = false
	if w.rng.IntN(2) == 0 {
		w.queue.Return(id, rcpts[:1])
		return
	}
	r.until = w.clock.Now().Add(time.Minute)
	w.queue.Postpone(id, rcpts[:1], r.until)
}

// operate is an operator.
func (w *walk) operate() error {
	ids, ctx, now := w.live.ids(), context.Background(), w.clock.Now()
	ids = slices.DeleteFunc(ids, func(id string) bool { return !w.known(id) })
	if len(ids) == 0 {
		return nil
	}
	id := ids[w.rng.IntN(len(ids))]
	switch w.rng.IntN(4) {
	case 0:
		return w.try(w.queue.Hold(ctx, Hold{Kind: OnHold, Reason: "why"}, id), true, func(m model) { m[id].hold = OnHold })
	case 1:
		return w.try(w.queue.Drop(ctx, id), true, func(m model) { delete(m, id) })
	case 2:
		return w.try(w.queue.Retry(ctx, id), w.live[id].hold == "", func(m model) { m.retry(id, now) })
	}
	return w.try(w.queue.Release(ctx, id), w.live[id].hold != "", func(m model) { m.release(id, now) })
}

// pass lets time go by; settles become durable meanwhile.
func (w *walk) pass(d time.Duration) {
	w.clock.Advance(d)
	w.did(w.store.Healthy() == nil)
}

// orderly ends the process in order and starts it again. All is durable then,
// unless the end says that it is not.
func (w *walk) orderly() {
	err := errors.Join(w.queue.Close(), w.store.Close())
	w.queue = nil
	w.did(err == nil)
	w.compare(w.disk)
}

// recover starts on what a crash has left.
func (w *walk) recover(disk *vfs.MemFS) {
	w.cycles++
	w.close()
	w.compare(disk)
}

// compare opens a disk and finds the model that is true of it.
func (w *walk) compare(disk *vfs.MemFS) {
	defer w.withoutFaults()()
	w.start(disk)
	if w.queue == nil {
		return
	}
	got, err := w.observed()
	if err != nil {
		w.fault("after %d operations: %v", w.serial, err)
		return
	}
	for i, m := range slices.Backward(w.history) {
		if m.String() == got.String() {
			w.torn += one(i > 0)
			w.live = m.restarted()
			w.history = []model{w.live.clone()}
			w.startEarly()
			return
		}
	}
	w.fault("crash %d: the queue holds\n%swhich it never did since it held\n%s", w.cycles, got, w.history[0])
}

// startEarly starts again at some times, and holds the reading.
func (w *walk) startEarly() {
	if w.rng.IntN(2) > 0 {
		return
	}
	w.close()
	w.gate = w.holdReading()
	w.start(w.disk)
	w.pace, w.batch = nil, 0 // of the next start
}

// readOn has the next message read, at some times, if there is one.
func (w *walk) readOn() {
	if w.gate == nil {
		return
	}
	w.early++
	if w.rng.IntN(2) == 0 {
		return
	}
	before, _ := w.queue.Reading()
	select {
	case w.gate <- struct{}{}:
	case <-w.queue.reading.done:
	}
	for {
		switch n, going := w.queue.Reading(); {
		case !going:
			w.gate = nil
			return
		case n > before:
			return
		}
		runtime.Gosched()
	}
}

// known reports whether a message was read.
func (w *walk) known(id string) bool {
	_, err := w.queue.live(id)
	return err == nil
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// walks is how many walks are asked for.
func walks(t *testing.T, usual int) int {
	s := os.Getenv("POSTROAD_WALKS")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		t.Fatalf("POSTROAD_WALKS=%q is no number of walks", s)
	}
	return n
}

// TestWalksAndPowerLoss is the campaign. POSTROAD_WALKS sets how many walks of
// 150 operations there are.
func TestWalksAndPowerLoss(t *testing.T) {
	cycles, cuts, more, early := 0, 0, 0, 0
	seed := rand.Uint64N(1 << 32)
	for n := range walks(t, 12) {
		w := newWalk(t, seed+uint64(n), unspoiled)
		w.run(150)
		for _, f := range w.faults {
			t.Errorf("seed %d: %s", seed+uint64(n), f)
		}
		cycles, cuts, more, early = cycles+w.cycles, cuts+w.cuts, more+w.torn, early+w.early
	}
	t.Logf("%d acknowledged states checked after as many crashes, %d of them within an operation; %d kept more than was promised; %d operations while the queue was being read", cycles, cuts, more, early)
	if cycles < 60 || cuts < 20 || early < 60 {
		t.Errorf("only %d crashes, %d within an operation, %d operations while reading: the test shows little", cycles, cuts, early)
	}
}

// TestWalksFindALossWithoutASync proves that the campaign sees what it looks
// for: on a disk that leaves one of the syncs out it finds a loss.
func TestWalksFindALossWithoutASync(t *testing.T) {
	for name, match := range map[string]func(path string) bool{
		"log":    func(path string) bool { return strings.HasSuffix(path, ".log") },
		"body":   func(path string) bool { return strings.Contains(path, "spool/tmp/") },
		"folder": func(path string) bool { return strings.HasSuffix(path, "/spool") },
	} {
		found := 0
		for n := range 8 {
			w := newWalk(t, uint64(n), func(fs vfs.FS) vfs.FS { return unsynced{fs, match} })
			w.run(150)
			found += one(len(w.faults) > 0)
		}
		if found == 0 {
			t.Errorf("%s: no loss was found without its sync", name)
		}
	}
}

// TestWalksWithOneFailure does the same walk again and again, in which another
// operation of the disk fails each time, every one of them once; then the power
// goes.
func TestWalksWithOneFailure(t *testing.T) {
	step := int32(1)
	if testing.Short() {
		step = 5
	}
	early := 0
	for n, reached := int32(0), true; reached; n += step {
		w := &walk{rng: rand.New(rand.NewPCG(5, 5)), spoil: unspoiled, live: model{}, history: []model{{}}, faulty: errorfs.OnIndex(n)}
		w.rig = &rig{t: t, dir: "/data", clock: newRigClock()}
		w.power.rng = rand.New(rand.NewPCG(5, 12))
		w.start(vfs.NewCrashableMem())
		w.run(60)
		for _, f := range w.faults {
			t.Errorf("operation %d failed: %s", n, f)
		}
		early += w.early
		if reached = w.faulty.Load() < 0; !reached {
			t.Logf("%d operations; %d of the walks while the queue was being read", n, early)
		}
	}
}
