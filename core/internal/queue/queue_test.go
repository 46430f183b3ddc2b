// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
)

var start = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// rig is a queue on a store, with a clock that stands still. It waits at the start
// until the queue was read, unless pace holds the reading.
type rig struct {
	t      testing.TB
	fs     vfs.FS
	dir    string
	clock  *testkit.Clock
	store  *store.Store
	queue  *Queue
	hot    int64
	mu     sync.Mutex
	events []Event

	batch int // of the reading; 0: as usual
	pace  func(stop <-chan struct{})
}

// QueueEvent implements Observer.
func (r *rig) QueueEvent(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func newRig(t testing.TB, fs vfs.FS) *rig {
	t.Helper()
	r := &rig{t: t, fs: fs, dir: "/data", clock: testkit.NewClock(start)}
	r.open()
	t.Cleanup(r.close)
	return r
}

func (r *rig) tryOpen() error {
	s, err := store.Open(store.Options{FS: r.fs, Dir: r.dir, Memtable: 1 << 20})
	if err != nil {
		return err
	}
	q, err := Open(Options{Store: s, Clock: r.clock, Observer: r, Hot: r.hot, Logger: hclog.NewNullLogger(), batch: r.batch, pace: r.pace})
	if err == nil && r.pace == nil {
		if err = q.Whole(context.Background()); err != nil {
			_ = q.Close()
		}
	}
	if err != nil {
		_ = s.Close()
		return err
	}
	r.store, r.queue = s, q
	return nil
}

func (r *rig) show(id string) (*Queued, error) { return r.queue.Show(context.Background(), id) }

func (r *rig) list(f Filter) []Summary {
	r.t.Helper()
	sums, err := r.queue.List(context.Background(), f)
	if err != nil {
		r.t.Error(err)
	}
	return sums
}

func (r *rig) sel(f Filter) ([]string, Tally) {
	r.t.Helper()
	ids, t, err := r.queue.Select(context.Background(), f)
	if err != nil {
		r.t.Error(err)
	}
	return ids, t
}

func (r *rig) open() {
	r.t.Helper()
	if err := r.tryOpen(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) close() {
	if r.queue != nil {
		_ = r.queue.Close()
		_ = r.store.Close()
		r.queue = nil
	}
}

func (r *rig) reopen() {
	r.t.Helper()
	r.close()
	r.open()
}

// ident makes a valid id of any name: names sort as their ids do.
func ident(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("01%.*s", idLen-2, base32.NewEncoding(crockford).EncodeToString(sum[:]))
}

// message makes a message with a body of n octets.
func message(id string, n int, rcpts ...string) *Message {
	e := &mail.Envelope{ID: id, Sender: "from@sender.example", Received: start}
	for _, a := range rcpts {
		e.Recipients = append(e.Recipients, mail.Recipient{Address: mail.Address(a), Original: mail.Address(a)})
	}
	return &Message{Envelope: e, Header: []byte("Subject: " + id + "\r\n\r\n"), Body: mail.BytesBody(bodyOf(id, n))}
}

// bodyOf makes n octets that differ from message to message.
func bodyOf(id string, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = id[(i+i/251)%len(id)]
	}
	return b
}

func (r *rig) enqueue(ms ...*Message) {
	r.t.Helper()
	if err := r.queue.Enqueue(context.Background(), ms...); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) settle(results ...Result) {
	r.t.Helper()
	if err := r.queue.Settle(context.Background(), results...); err != nil {
		r.t.Fatal(err)
	}
}

// due leases what is due now.
func (r *rig) due() []Lease { return r.queue.Due(r.clock.Now(), 1000) }

// one leases exactly one message.
func (r *rig) one() Lease {
	r.t.Helper()
	ls := r.due()
	if len(ls) != 1 {
		r.t.Fatalf("%d leases, want 1", len(ls))
	}
	return ls[0]
}

// delivered settles recipients as delivered.
func delivered(id string, rcpts ...int) Result {
	r := Result{Message: id}
	for _, i := range rcpts {
		r.Outcomes = append(r.Outcomes, Settled{Recipient: i, Outcome: mail.Outcome{Recipient: i, Status: mail.Delivered, Reply: mail.Reply{Code: 250}}})
	}
	return r
}

// later defers one recipient.
func later(id string, rcpt int, next time.Time) Result {
	return Result{Message: id, Outcomes: []Settled{{
		Recipient: rcpt, Next: next,
		Outcome: mail.Outcome{Recipient: rcpt, Reply: mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 7, 1}, Text: "not now"}, NextHop: "mx.example", Address: "192.0.2.1:25", Remote: true},
	}}}
}

func contentOf(t testing.TB, m *Queued) string {
	t.Helper()
	b, err := m.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := io.ReadAll(io.NewSectionReader(b.Body, 0, b.Body.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b.Header) + string(p)
}

func wantContent(t testing.TB, m *Queued, bodyLen int) {
	t.Helper()
	want := message(m.ID(), bodyLen)
	if got := contentOf(t, m); got != string(want.Header)+string(want.Body.(mail.BytesBody)) {
		t.Errorf("message %s: content of %d octets is not what was queued", m.ID(), len(got))
	}
}

func TestSmallAndBigBodiesComeBackAfterRestart(t *testing.T) {
	for _, n := range []int{0, 1, 5000, store.Inline, store.Inline + 1, 300_000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			id := ident("a")
			r.enqueue(message(id, n, "x@one.example", "y@two.example"))
			l := r.one()
			wantContent(t, l.Message, n)
			r.reopen()
			l = r.one()
			wantContent(t, l.Message, n)
			if len(l.Recipients) != 2 {
				t.Fatalf("leased %v", l.Recipients)
			}
			r.settle(delivered(id, 0, 1))
			if s := r.queue.Stats(); s != (Stats{}) {
				t.Errorf("stats after the last settle: %+v", s)
			}
			r.reopen()
			if ls := r.due(); ls != nil {
				t.Errorf("delivered message is due again: %v", ls)
			}
			if ids, err := r.store.Spool().List(); err != nil || len(ids) > 0 {
				t.Errorf("body files left: %v %v", ids, err)
			}
		})
	}
}

func TestDeferredRecipientComesBackWhenDue(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	id := ident("a")
	r.enqueue(message(id, 100, "x@one.example", "y@two.example"))
	r.one()
	r.settle(delivered(id, 0), later(id, 1, start.Add(time.Minute)))
	if r.due() != nil {
		t.Fatal("deferred recipient is due")
	}
	r.reopen()
	if at, ok := r.queue.NextDue(); !ok || !at.Equal(start.Add(time.Minute)) {
		t.Fatalf("next due %v %v", at, ok)
	}
	r.clock.Advance(time.Minute)
	l := r.one()
	if len(l.Recipients) != 1 || l.Recipients[0] != 1 {
		t.Fatalf("leased %v", l.Recipients)
	}
	st := l.Message.States
	if st[0].Status != mail.Delivered || st[0].Attempts != 1 || st[0].Last.Reply.Code != 250 {
		t.Errorf("state of the delivered one: %+v", st[0])
	}
	if st[1].Status != mail.Deferred || st[1].Attempts != 1 || st[1].Last.Reply.Text != "not now" ||
		!st[1].Last.Remote || st[1].Last.Address != "192.0.2.1:25" || !st[1].FirstTry.Equal(start) {
		t.Errorf("state of the deferred one: %+v", st[1])
	}
	wantContent(t, l.Message, 100)
}

func newRigClock() *testkit.Clock { return testkit.NewClock(start) }
