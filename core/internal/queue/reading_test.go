// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// readGate holds the reading of a queue, and lets one batch after the other through.
type readGate chan struct{}

func (g readGate) pace(stop <-chan struct{}) {
	select {
	case <-g:
	case <-stop:
	}
}

// holdReading makes the next start read a message only when it is let.
func (r *rig) holdReading() readGate {
	g := make(readGate)
	r.batch, r.pace = 1, g.pace
	return g
}

// let has n more messages read.
func (r *rig) let(g readGate, n int) {
	before, _ := r.queue.Reading()
	for range n {
		g <- struct{}{}
	}
	for now := before; now < before+n; now, _ = r.queue.Reading() {
		runtime.Gosched()
	}
}

// letAll has all of the queue read.
func (r *rig) letAll(g readGate) {
	r.t.Helper()
	close(g)
	r.pace, r.batch = nil, 0
	if err := r.queue.Whole(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

// nobodyWaits is a context that is over.
func nobodyWaits() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// names are ids in the order of their numbers.
func names(n int) (ids []string) {
	for i := range n {
		ids = append(ids, serial(int64(i)))
	}
	return ids
}

func ids(ls []Lease) (out []string) {
	for _, l := range ls {
		out = append(out, l.Message.ID())
	}
	return out
}

// TestMailGoesOnWhileTheQueueIsRead: of five old messages one is held, one is
// deferred, and one has a recipient that was delivered.
func TestMailGoesOnWhileTheQueueIsRead(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	old := names(5)
	for _, id := range old {
		r.enqueue(message(id, small, "x@one.example", "y@two.example"))
	}
	r.due()
	r.settle(delivered(old[2], 0), later(old[3], 0, start.Add(time.Hour)), later(old[3], 1, start.Add(time.Hour)))
	if err := r.queue.Hold(t.Context(), Hold{Kind: Quarantine, Reason: "why"}, old[1]); err != nil {
		t.Fatal(err)
	}
	g := r.holdReading()
	r.reopen()

	fresh := message(serial(100), big, "z@three.example")
	r.enqueue(fresh)
	if l := r.one(); l.Message.ID() != serial(100) {
		t.Fatalf("leased %v", ids(r.due()))
	}
	if s := r.queue.Stats(); s.Ready.Messages != 1 || s.Held.Messages+s.Quarantined.Messages != 0 {
		t.Errorf("stats before anything was read: %+v", s)
	}
	r.settle(delivered(serial(100), 0))
	for what, err := range map[string]error{
		"list":   func() error { _, err := r.queue.List(nobodyWaits(), Filter{}); return err }(),
		"select": func() error { _, _, err := r.queue.Select(nobodyWaits(), Filter{}); return err }(),
		"show":   func() error { _, err := r.queue.Show(nobodyWaits(), old[0]); return err }(),
		"check":  r.queue.Check(nobodyWaits(), old[:1]),
		"retry":  r.queue.Retry(nobodyWaits(), old[0]),
	} {
		if !errors.Is(err, ErrReading) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}

	for i, want := range []string{"[0 1]", "", "[1]", "", "[0 1]"} {
		r.let(g, 1)
		got := ""
		for _, l := range r.due() {
			got += fmt.Sprint(l.Recipients)
			if l.Message.ID() != old[i] {
				t.Errorf("message %d read, leased %s", i, l.Message.ID())
			}
			wantContent(t, l.Message, small)
		}
		if got != want {
			t.Errorf("message %d read, leased %q, want %q", i, got, want)
		}
		if _, err := r.queue.Show(nobodyWaits(), old[i]); err != nil {
			t.Errorf("message %d was read: %v", i, err)
		}
	}
	r.letAll(g)
	if s := r.queue.Stats(); s.Ready.Messages != 3 || s.Quarantined.Messages != 1 || s.Deferred.Messages != 1 {
		t.Errorf("stats: %+v", s)
	}
	if n := len(r.list(Filter{})); n != 5 {
		t.Errorf("%d messages", n)
	}
	if n, going := r.queue.Reading(); n != 5 || going {
		t.Errorf("read %d, still reading: %t", n, going)
	}
}

// TestAnIdThatWasNotReadIsNotNew: a report that a crash has let be made again, or
// an import, comes while its first copy has not been read.
func TestAnIdThatWasNotReadIsNotNew(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	first, second := serial(1), serial(2)
	r.enqueue(message(first, small, "x@one.example", "y@two.example"), message(second, small, "x@one.example"))
	g := r.holdReading()
	r.reopen()
	err := r.queue.Enqueue(t.Context(), message(second, 3, "x@one.example"))
	if err == nil || !strings.Contains(err.Error(), "queued already") {
		t.Errorf("enqueue of a message that is on disk: %v", err)
	}
	r.let(g, 1)
	r.one()
	res := delivered(first, 0)
	res.Outcomes[0].Outcome.Status = mail.Failed
	res.DSN = []*Message{message(second, 3, "other@one.example")}
	r.settle(res)
	r.letAll(g)
	if l := r.one(); l.Message.ID() != second {
		t.Fatalf("leased %s", l.Message.ID())
	} else {
		wantContent(t, l.Message, small)
	}
}

// TestStrayFilesGoWhenAllWasRead: not before, for an envelope may yet come that
// needs one; and not the file of a new message whose id a stray had.
func TestStrayFilesGoWhenAllWasRead(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	stray, reused := serial(10), serial(11)
	r.enqueue(message(serial(1), big, "x@one.example"), message(serial(2), small, "x@one.example"))
	r.close()
	for _, id := range []string{stray, reused} {
		writeFile(t, r.fs, "/data/spool/"+id, []byte("left by a crash"))
	}
	g := r.holdReading()
	r.open()
	r.let(g, 1)
	r.enqueue(message(reused, big, "x@one.example"))
	if _, err := r.fs.Stat("/data/spool/" + stray); err != nil {
		t.Errorf("gone before everything was read: %v", err)
	}
	r.letAll(g)
	if _, err := r.fs.Stat("/data/spool/" + stray); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	found := r.due()
	for _, l := range found {
		n := big
		if l.Message.ID() == serial(2) {
			n = small
		}
		wantContent(t, l.Message, n)
	}
	if len(found) != 3 {
		t.Errorf("leased %v", ids(found))
	}
}

// TestCloseEndsTheReading: who waits for it is told, and no file goes.
func TestCloseEndsTheReading(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(serial(1), small, "x@one.example"), message(serial(2), small, "x@one.example"))
	r.close()
	stray := serial(10)
	writeFile(t, r.fs, "/data/spool/"+stray, []byte("left by a crash"))
	g := r.holdReading()
	r.open()
	r.let(g, 1)
	waits, q := make(chan error), r.queue
	go func() { _, err := q.List(context.Background(), Filter{}); waits <- err }()
	r.close()
	if err := <-waits; !errors.Is(err, ErrClosed) {
		t.Errorf("a list that waited: %v", err)
	}
	if err := q.Whole(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("whole: %v", err)
	}
	if _, err := r.fs.Stat("/data/spool/" + stray); err != nil {
		t.Errorf("removed without everything having been read: %v", err)
	}
}

// TestAMessageWithoutItsFileIsNeverLeased, also not before its hold is on disk.
func TestAMessageWithoutItsFileIsNeverLeased(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(serial(1), big, "x@one.example"), message(serial(2), small, "x@one.example"))
	r.close()
	if err := r.fs.Remove("/data/spool/" + serial(1)); err != nil {
		t.Fatal(err)
	}
	g := r.holdReading()
	r.open()
	r.let(g, 1)
	if ls := r.due(); len(ls) > 0 {
		t.Errorf("leased %v", ids(ls))
	}
	r.letAll(g)
	m, err := r.show(serial(1))
	if err != nil || m.Hold == nil || !strings.Contains(m.Hold.Reason, "missing from the spool") || m.Hold.Since.IsZero() {
		t.Errorf("%+v, %v", m, err)
	}
	if r.one().Message.ID() != serial(2) || len(r.events) != 1 || r.events[0].Kind != "damaged" {
		t.Errorf("events %+v", r.events)
	}
}

// TestADiskThatDoesNotReadIsAFaultOfTheStore: the reading fails after the queue
// was opened. What was made known until then is right, nothing is removed, and
// after the disk is well again everything is there.
func TestADiskThatDoesNotReadIsAFaultOfTheStore(t *testing.T) {
	const n = 60
	var broken atomic.Bool
	mem := vfs.NewMem()
	disk := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if broken.Load() && op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return errors.New("input/output error")
		}
		return nil
	}))
	r := newRig(t, disk)
	for _, id := range names(n) {
		var to []string
		for i := range 60 {
			to = append(to, fmt.Sprintf("%s.%d@one.example", id, i))
		}
		r.enqueue(message(id, small, to...))
		r.one()
		r.settle(later(id, 0, start.Add(time.Hour)))
	}
	r.close()
	writeFile(t, mem, "/data/spool/"+serial(n+1), []byte("left by a crash"))
	r.batch, r.pace = 1, func(<-chan struct{}) { broken.Store(true) }
	r.open()
	err := r.queue.Whole(t.Context())
	if err == nil || !strings.Contains(err.Error(), "input/output error") {
		t.Fatalf("read: %v", err)
	}
	<-r.store.Failed()
	if err := r.store.Healthy(); !errors.Is(err, store.ErrFault) || !strings.Contains(err.Error(), "read the queue") {
		t.Errorf("the store: %v", err)
	}
	if err := r.queue.Enqueue(t.Context(), message(serial(n+2), small, "x@one.example")); mail.ReplyOf(err).Code != 451 {
		t.Errorf("mail after that: %v", err)
	}
	for _, e := range r.queue.index.byID {
		if e.slots[0].attempts != 1 {
			t.Errorf("%s was made known without its state", e.id)
		}
	}
	if read, _ := r.queue.Reading(); read == n {
		t.Error("everything was read: the test shows nothing")
	}
	broken.Store(false)
	r.pace, r.batch = nil, 0
	if _, err := mem.Stat("/data/spool/" + serial(n+1)); err != nil {
		t.Errorf("removed without everything having been read: %v", err)
	}
	r.reopen()
	if found := r.list(Filter{Limit: 2 * n}); len(found) != n {
		t.Errorf("%d messages after the disk was well again", len(found))
	}
}
