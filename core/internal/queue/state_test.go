// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// TestStates runs the texts in testdata: commands as delivery, sessions and
// operators give them, and the state of the queue after each. Run with -rewrite
// to write them anew. The commands are the cases of director.run.
func TestStates(t *testing.T) {
	datadriven.Walk(t, "testdata/states", func(t *testing.T, path string) {
		d := &director{rig: newRig(t, vfs.NewCrashableMem()), names: map[string]string{}}
		datadriven.RunTest(t, path, d.run)
	})
}

// director carries out the commands of one text, in which messages have names.
type director struct {
	*rig
	names map[string]string // of ids
}

// id makes the id of a name; ids sort as names do.
func (d *director) id(name string) string {
	id := fmt.Sprintf("%-*s", idLen, strings.ToUpper(name))
	id = strings.ReplaceAll(id, " ", "0")
	d.names[id] = name
	return id
}

func (d *director) name(id string) string {
	if name, ok := d.names[id]; ok {
		return name
	}
	return "dsn"
}

func (d *director) run(t *testing.T, td *datadriven.TestData) string {
	var out strings.Builder
	d.events = nil
	if err := d.do(&out, td); err != nil {
		fmt.Fprintln(&out, "error:", d.readable(err.Error()))
	}
	for _, e := range d.events {
		fmt.Fprintf(&out, "event: %s %s (%d waiting)\n", e.Kind, d.name(e.ID), e.Recipients)
	}
	if out.Len() == 0 {
		return "ok\n"
	}
	return out.String()
}

// readable puts names back in place of ids.
func (d *director) readable(s string) string {
	for id, name := range d.names {
		s = strings.ReplaceAll(s, id, name)
	}
	return s
}

func (d *director) do(out *strings.Builder, td *datadriven.TestData) error {
	ctx := context.Background()
	switch td.Cmd {
	case "enqueue": // name… to=(address…) [body=octets] [hold=kind] [for=duration] [from=address] [route=name] [priority=n] [tenant=] [campaign=] [not-before=duration] [expires=duration]
		return d.queue.Enqueue(ctx, d.messages(td)...)
	case "due": // [max=n]
		d.printDue(out, d.queue.Due(d.clock.Now(), number(td, "max", 100)))
	case "settle": // one line each: name recipient delivered|failed|retry-in duration|dsn
		return d.queue.Settle(ctx, d.results(td)...)
	case "return":
		d.queue.Return(d.id(arg(td, "message")), []int{number(td, "rcpt", 0)})
	case "postpone":
		d.queue.Postpone(d.id(arg(td, "message")), []int{number(td, "rcpt", 0)}, d.after(td, "for"))
	case "advance": // for=duration
		d.clock.Advance(d.after(td, "for").Sub(d.clock.Now()))
	case "restart":
		d.reopen()
	case "crash": // what was not synced is gone
		disk := d.fs.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
		d.close()
		d.fs = disk
		d.open()
	case "hold":
		return d.queue.Hold(ctx, Hold{Kind: arg(td, "kind"), Reason: "why", By: "who", Until: d.after(td, "for")}, d.ids(td)...)
	case "release":
		return d.queue.Release(ctx, d.ids(td)...)
	case "retry":
		return d.queue.Retry(ctx, d.ids(td)...)
	case "change": // [filter as for list] verb=retry|release|drop|reroute|hold [to=route]: the messages that match
		f := d.filter(td)
		ids, meant := d.sel(f)
		done, err := d.queue.Change(ctx, Change{Verb: arg(td, "verb"), Only: f, Route: arg(td, "to"), Reason: "why",
			Hold: Hold{Kind: OnHold, Reason: "why", By: "who", Until: d.after(td, "for")}}, ids)
		fmt.Fprintf(out, "meant %+v\ndone %+v\n", meant, done)
		return err
	case "drop":
		return d.queue.Drop(ctx, d.ids(td)...)
	case "list": // [state=] [domain=] [rcpt=] [sender=] [tenant=] [campaign=] [route=] [reply=] [older=duration] [newer=duration] [after=name] [limit=n]
		d.printList(out, d.list(d.filter(td)))
	case "show":
		return d.printMessage(out, d.ids(td)[0])
	case "suspend": // name [tenant=] [campaign=] [domain=] [route=] for=duration
		_, err := d.queue.Suspend(Suspension{ID: d.ids(td)[0], Tenant: arg(td, "tenant"), Campaign: arg(td, "campaign"),
			Domain: arg(td, "domain"), Route: arg(td, "route"), Reason: "why", By: "who", Until: d.after(td, "for")})
		return err
	case "resume":
		ended, err := d.queue.Resume(d.ids(td)...)
		d.printSuspensions(out, ended)
		return err
	case "suspensions":
		d.printSuspensions(out, d.queue.Suspensions())
	case "suspended": // [tenant=] [campaign=] [domain=] [route=]: as delivery asks
		s := d.queue.Suspended(arg(td, "tenant"), arg(td, "campaign"), arg(td, "domain"), arg(td, "route"), d.clock.Now())
		if s == nil {
			fmt.Fprintln(out, "no")
			return nil
		}
		d.printSuspensions(out, []Suspension{*s})
	case "shelve":
		d.queue.Shelve(d.id(arg(td, "message")), []int{number(td, "rcpt", 0)}, d.after(td, "for"))
	case "seize":
		d.queue.Seize(d.ids(td)...)
	case "unseize":
		d.queue.Unseize(d.ids(td)...)
	case "take-over": // name [filter as for list]
		l, busy, err := d.queue.TakeOver(d.ids(td)[0], d.filter(td))
		fmt.Fprintln(out, "leased", l.Recipients, "busy", busy)
		return err
	case "leased-before": // older=duration
		for _, l := range d.queue.LeasedBefore(d.filter(td).OlderThan, 10) {
			fmt.Fprintln(out, d.name(l.ID), l.Recipients, d.until(l.Since))
		}
	case "oldest-due":
		id, since, ok := d.queue.OldestDue(d.clock.Now())
		fmt.Fprintln(out, d.name(id), d.until(since), ok)
	case "stats":
		d.printStats(out)
	case "files":
		return d.printFiles(out)
	case "delete-file":
		return d.store.Spool().Remove(d.id(arg(td, "message")))
	case "damage": // message=name kind=e|c|r|h
		return d.damage(arg(td, "kind"), d.id(arg(td, "message")))
	default:
		td.Fatalf(d.t, "unknown command %s", td.Cmd)
	}
	return nil
}

func arg(td *datadriven.TestData, key string) string {
	for _, a := range td.CmdArgs {
		if a.Key == key {
			return strings.Join(a.Vals, " ")
		}
	}
	return ""
}

func number(td *datadriven.TestData, key string, n int) int {
	if v, err := strconv.Atoi(arg(td, key)); err == nil {
		return v
	}
	return n
}

// after returns now and a duration, the zero time without one.
func (d *director) after(td *datadriven.TestData, key string) time.Time {
	s := arg(td, key)
	if s == "" {
		return time.Time{}
	}
	dur, err := time.ParseDuration(s)
	if err != nil {
		td.Fatalf(d.t, "%v", err)
	}
	return d.clock.Now().Add(dur)
}

// ids returns the ids of the arguments without a value.
func (d *director) ids(td *datadriven.TestData) (ids []string) {
	for _, a := range td.CmdArgs {
		if len(a.Vals) == 0 {
			ids = append(ids, d.id(a.Key))
		}
	}
	return ids
}

func (d *director) messages(td *datadriven.TestData) (ms []*Message) {
	for _, id := range d.ids(td) {
		m := message(id, number(td, "body", 10), strings.Fields(arg(td, "to"))...)
		m.Envelope.Received = d.clock.Now()
		if from := arg(td, "from"); from != "" {
			m.Envelope.Sender = mail.Address(strings.Trim(from, "<>"))
		}
		m.Envelope.Priority = number(td, "priority", 0)
		m.Envelope.Tenant, m.Envelope.Campaign = arg(td, "tenant"), arg(td, "campaign")
		m.Envelope.NotBefore, m.Envelope.Expires = d.after(td, "not-before"), d.after(td, "expires")
		for i := range m.Envelope.Recipients {
			m.Envelope.Recipients[i].Route = arg(td, "route")
		}
		if kind := arg(td, "hold"); kind != "" {
			m.Hold = &Hold{Kind: kind, Reason: "why", By: "stage", Until: d.after(td, "for")}
		}
		ms = append(ms, m)
	}
	return ms
}

func (d *director) results(td *datadriven.TestData) (rs []Result) {
	for _, line := range strings.Split(td.Input, "\n") {
		f := strings.Fields(line)
		var rcpt int
		if _, err := fmt.Sscan(f[1], &rcpt); err != nil {
			td.Fatalf(d.t, "%s: %v", line, err)
		}
		s := Settled{Recipient: rcpt, Outcome: mail.Outcome{Recipient: rcpt, Reply: mail.Reply{Code: 451, Text: "not now"}}}
		r := Result{Message: d.id(f[0])}
		switch f[2] {
		case "delivered":
			s.Outcome.Status, s.Outcome.Reply = mail.Delivered, mail.Reply{Code: 250, Text: "ok"}
		case "failed", "failed-with-dsn":
			s.Outcome.Status, s.Outcome.Reply = mail.Failed, mail.Reply{Code: 550, Text: "no"}
		case "retry-in":
			dur, err := time.ParseDuration(f[3])
			if err != nil {
				td.Fatalf(d.t, "%s: %v", line, err)
			}
			s.Next = d.clock.Now().Add(dur)
		}
		r.Outcomes = []Settled{s}
		if f[2] == "failed-with-dsn" {
			dsn := message(r.Message, 30, "from@sender.example")
			dsn.Envelope.ID, dsn.Envelope.Sender = "", ""
			r.DSN = []*Message{dsn}
		}
		rs = append(rs, r)
	}
	return rs
}

func (d *director) filter(td *datadriven.TestData) Filter {
	f := Filter{
		State: Class(arg(td, "state")), RecipientDomain: arg(td, "domain"), Sender: mail.Address(arg(td, "sender")),
		Route: arg(td, "route"), Limit: number(td, "limit", 0),
		Recipient: mail.Address(arg(td, "rcpt")), Tenant: arg(td, "tenant"), Campaign: arg(td, "campaign"), Reply: arg(td, "reply"),
	}
	if after := arg(td, "after"); after != "" {
		f.After = d.id(after)
	}
	if arg(td, "older") != "" {
		f.OlderThan = d.clock.Now().Add(d.clock.Now().Sub(d.after(td, "older")))
	}
	if arg(td, "newer") != "" {
		f.NewerThan = d.clock.Now().Add(d.clock.Now().Sub(d.after(td, "newer")))
	}
	return f
}

func (d *director) printDue(out *strings.Builder, leases []Lease) {
	for _, l := range leases {
		fmt.Fprintf(out, "%s %v%s\n", d.name(l.Message.ID()), l.Recipients, contentFault(l.Message))
	}
	if at, ok := d.queue.NextDue(); ok {
		fmt.Fprintf(out, "next in %v\n", d.until(at))
	} else {
		fmt.Fprintln(out, "nothing next")
	}
}

// contentFault opens the message, as a transport does.
func contentFault(m *Queued) string {
	c, err := m.Open()
	if err != nil {
		return " content: " + err.Error()
	}
	c.Close()
	return ""
}

func (d *director) until(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.Sub(d.clock.Now()).String()
}

func (d *director) printList(out *strings.Builder, sums []Summary) {
	for _, s := range sums {
		fmt.Fprintf(out, "%s %s from=%s to=%d waiting=%d leased=%d attempts=%d domains=%s next=%s size=%d\n",
			d.name(s.ID), s.State, s.Sender.Path(), s.Recipients, s.Waiting, s.Leased, s.Attempts, strings.Join(s.Domains, ","), d.until(s.Next), s.Size)
	}
}

func (d *director) printMessage(out *strings.Builder, id string) error {
	m, err := d.show(id)
	if err != nil {
		return err
	}
	for i, s := range m.States {
		fmt.Fprintf(out, "%d %s: %s attempts=%d next=%s last=%d %s\n", i, m.Envelope.Recipients[i].Address, s.Status, s.Attempts, d.until(s.Next), s.Last.Reply.Code, s.Last.Reply.Text)
	}
	if m.Hold != nil {
		fmt.Fprintf(out, "%s by %s: %s, ends in %s\n", m.Hold.Kind, m.Hold.By, d.readable(m.Hold.Reason), d.until(m.Hold.Until))
	}
	return nil
}

func (d *director) printSuspensions(out *strings.Builder, ss []Suspension) {
	for _, s := range ss {
		fmt.Fprintf(out, "%s tenant=%q campaign=%q domain=%q route=%q: %s by %s, ends in %s\n",
			d.name(s.ID), s.Tenant, s.Campaign, s.Domain, s.Route, s.Reason, s.By, d.until(s.Until))
	}
}

func (d *director) printStats(out *strings.Builder) {
	s := d.queue.Stats()
	for _, c := range []Class{Ready, Deferred, Held, Quarantined} {
		if n := *s.of(c); n != (Count{}) {
			fmt.Fprintf(out, "%s: %d messages, %d recipients, %d octets\n", c, n.Messages, n.Recipients, n.Bytes)
		}
	}
	fmt.Fprintf(out, "leased: %d\n", s.Leased)
}

func (d *director) printFiles(out *strings.Builder) error {
	ids, err := d.store.Spool().List()
	slices.Sort(ids)
	for _, id := range ids {
		fmt.Fprintln(out, d.name(id))
	}
	if len(ids) == 0 {
		fmt.Fprintln(out, "none")
	}
	return err
}

// damage cuts a record short.
func (d *director) damage(k, id string) error {
	which := key(kind(k[0]), id)
	if kind(k[0]) == kindState {
		which = stateKey(id, 0)
	}
	var half []byte
	ok, err := d.store.Get(which, func(v []byte) error { half = append(half, v[:len(v)/2]...); return nil })
	if !ok || err != nil {
		return errors.Join(errors.New("no such record"), err)
	}
	b := d.store.NewBatch()
	defer b.Close()
	return errors.Join(b.Set(which, half, nil), d.store.Commit(b, true))
}

func TestWhatCannotBeQueued(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	good := ident("good")
	r.enqueue(message(good, 10, "x@one.example"))
	nobody := message(ident("n"), 10, "x@one.example")
	nobody.Envelope.Recipients[0].Removed = true
	held := message(ident("h"), 10, "x@one.example")
	held.Hold = &Hold{Kind: "parked"}
	short := message(ident("s"), 10, "x@one.example")
	short.Body = shortBody{}
	for what, m := range map[string]*Message{
		"a bad id": message("../x", 10, "x@one.example"), "a queued id": message(good, 10, "x@one.example"),
		"no recipients": nobody, "an unknown hold": held, "a body that ends early": short,
	} {
		other := message(ident("other "+what), store.Inline+1, "x@one.example")
		err := r.queue.Enqueue(context.Background(), other, m)
		if reply := mail.ReplyOf(err); err == nil || reply.Code != 451 || reply.Cause == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.queue.Enqueue(canceled, message(ident("c"), 10, "x@one.example")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if ids, err := r.store.Spool().List(); err != nil || len(ids) > 0 {
		t.Errorf("body files of refused messages: %v %v", ids, err)
	}
	if s := r.queue.Stats(); s.Ready.Messages != 1 {
		t.Errorf("%+v", s)
	}
	r.close()
}

// shortBody promises more than it has.
type shortBody struct{}

func (shortBody) Size() int64                       { return 100 }
func (shortBody) ReadAt([]byte, int64) (int, error) { return 10, nil }

func TestClosedQueue(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.enqueue(message(ident("a"), 10, "x@one.example"))
	l := r.one()
	q := r.queue
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for what, err := range map[string]error{
		"close":   q.Close(),
		"enqueue": q.Enqueue(ctx, message(ident("b"), 10, "x@one.example")),
		"settle":  q.Settle(ctx, delivered(l.Message.ID(), 0)),
		"drop":    q.Drop(ctx, l.Message.ID()),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if q.Due(r.clock.Now(), 10) != nil {
		t.Error("a closed queue has work")
	}
}

// TestFreshMessagesAreHandedOverInMemory: what fits under the cap is not read
// again, what does not is; and what is settled or deferred is not kept.
func TestFreshMessagesAreHandedOverInMemory(t *testing.T) {
	r := &rig{t: t, fs: vfs.NewMem(), dir: "/data", clock: newRigClock(), hot: 10_000}
	r.open()
	t.Cleanup(r.close)
	for i := range 20 {
		r.enqueue(message(serial(int64(i)), 1000, "x@one.example"))
	}
	inMemory := 0
	for i, l := range r.due() {
		wantContent(t, l.Message, 1000)
		if r.queue.index.byID[l.Message.ID()].fresh != nil {
			inMemory++
		}
		if i%2 == 0 {
			r.settle(delivered(l.Message.ID(), 0))
		} else {
			r.settle(later(l.Message.ID(), 0, start.Add(time.Minute)))
		}
	}
	if inMemory < 5 || inMemory > 9 {
		t.Errorf("%d messages of about 1,600 octets were kept under a cap of 10,000", inMemory)
	}
	if hot := r.queue.index.hot; hot != 0 {
		t.Errorf("%d octets are kept for deferred and delivered messages", hot)
	}
}
