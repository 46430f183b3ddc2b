// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/mail"
)

func whole(r *rig) {
	id := r.put("a@one.example", "b@two.example")
	l := r.one()
	env := l.Message.Envelope()
	if env.ID != id || env.Sender != "from@sender.example" || len(env.Recipients) != 2 || env.Recipients[1].Address != "b@two.example" {
		r.Errorf("envelope %+v", env)
	}
	if len(l.Recipients) != 2 || l.Message.State(0).Attempts != 0 || l.Message.State(1).Done {
		r.Errorf("lease of %v, state %+v", l.Recipients, l.Message.State(0))
	}
	r.holds(l.Message, 100)
}

// holds checks a message's content.
func (r *rig) holds(m delivery.Message, octets int) {
	r.Helper()
	id := m.Envelope().ID
	got, err := content(m)
	if want := string(header(id)) + string(body(id, octets)); err != nil || got != want {
		r.Errorf("content of %d octets, want %d (%v)", len(got), len(want), err)
	}
}

func leases(r *rig) {
	id := r.put("a@one.example", "b@two.example")
	r.wants(id, 0, 1)
	r.wait(24 * time.Hour)
	r.nothing("both recipients are leased")
	r.Queue.Return(id, []int{1})
	r.wants(id, 1)
}

func returned(r *rig) {
	id := r.put("a@one.example")
	r.wants(id, 0)
	r.Queue.Return(id, []int{0})
	l := r.one()
	if s := l.Message.State(0); s.Attempts != 0 {
		r.Errorf("a return counts as an attempt: %+v", s)
	}
	r.Queue.Return("00000000000000000000000000", []int{0, 7}) // of nobody
}

func postponed(r *rig) {
	id := r.put("a@one.example")
	r.wants(id, 0)
	r.Queue.Postpone(id, []int{0}, r.now.Add(time.Minute))
	r.nothing("it was postponed")
	if at, ok := r.Queue.NextDue(); !ok || !at.Equal(r.now.Add(time.Minute)) {
		r.Errorf("NextDue: %v, %v", at, ok)
	}
	r.wait(time.Minute)
	if s := r.one().Message.State(0); s.Attempts != 0 {
		r.Errorf("a postponement counts as an attempt: %+v", s)
	}
}

func gone(r *rig) {
	id := r.put("a@one.example", "b@two.example")
	r.due()
	r.settle(delivered(id, 0, 1))
	r.wait(24 * time.Hour)
	r.nothing("everything was delivered")
	if at, ok := r.Queue.NextDue(); ok {
		r.Errorf("an empty queue waits for %v", at)
	}
}

func oneByOne(r *rig) {
	id := r.put("a@one.example", "b@two.example", "c@three.example")
	r.due()
	r.settle(delivered(id, 1))
	r.Queue.Return(id, []int{0, 2})
	l := r.one()
	if len(l.Recipients) != 2 || l.Recipients[0] != 0 || l.Recipients[1] != 2 || !l.Message.State(1).Done {
		r.Errorf("lease of %v", l.Recipients)
	}
	r.settle(delivered(id, 0), delivered(id, 2))
	r.nothing("everything was delivered")
}

func deferred(r *rig) {
	id := r.put("a@one.example")
	r.due()
	r.settle(later(id, 0, r.now.Add(time.Hour)))
	r.nothing("it was deferred")
	if at, ok := r.Queue.NextDue(); !ok || !at.Equal(r.now.Add(time.Hour)) {
		r.Errorf("NextDue: %v, %v", at, ok)
	}
	r.wait(time.Hour)
	l := r.one()
	if s := l.Message.State(0); s.Attempts != 1 || s.Done || s.Last.Reply.Text != "not now" || s.Last.NextHop != "mx.example" {
		r.Errorf("state %+v", s)
	}
	r.holds(l.Message, 100)
}

func untried(r *rig) {
	id := r.put("a@one.example")
	r.due()
	res := later(id, 0, r.now)
	res.Outcomes[0].Untried = true
	r.settle(res)
	if s := r.one().Message.State(0); s.Attempts != 0 {
		r.Errorf("state %+v", s)
	}
}

func held(r *rig) {
	id := r.put("a@one.example", "b@two.example")
	r.due()
	res := later(id, 0, time.Time{})
	res.Outcomes[0].Held = true
	res.Outcomes[0].Reply.Text = "held stage x: odd"
	r.settle(res)
	r.wait(24 * time.Hour)
	r.nothing("one recipient is held, one leased")
	r.Queue.Return(id, []int{1})
	l := r.one()
	if len(l.Recipients) != 1 || l.Recipients[0] != 1 || !strings.Contains(l.Message.State(0).Held, "stage x") || l.Message.State(1).Held != "" {
		r.Errorf("lease of %v, state %+v", l.Recipients, l.Message.State(0))
	}
}

func reports(r *rig) {
	id := r.put("a@one.example")
	r.due()
	r.settle(failed(id, 0), failed(id, 0))
	l := r.one()
	env := l.Message.Envelope()
	if !env.Sender.IsNull() || env.ID == "" || env.ID == id || env.Recipients[0].Address != "from@sender.example" {
		r.Errorf("report %+v", env)
	}
	if got, err := content(l.Message); err != nil || got != "Subject: report\r\n\r\nit failed\r\n" {
		r.Errorf("report %q, %v", got, err)
	}
	r.settle(failed(id, 0)) // again, after the message went
	r.nothing("the report is leased")
}

func strangers(r *rig) {
	id := r.put("a@one.example")
	r.settle(delivered("00000000000000000000000000", 0))
	r.wants(id, 0)
	r.settle(delivered(id, 0))
	r.settle(delivered(id, 0), later(id, 0, r.now))
	r.nothing("it was delivered")
}

func bounded(r *rig) {
	for range 5 {
		r.put("a@one.example")
	}
	if n := len(r.Queue.Due(r.now, 2)); n > 2 || n == 0 {
		r.Errorf("%d leases of at most 2", n)
	}
	if n := len(r.Queue.Due(r.now, 0)); n > 0 {
		r.Errorf("%d leases of at most 0", n)
	}
}

func nothingBack(r *rig) {
	for range 25 {
		r.put("a@one.example")
	}
	seen := 0
	for {
		n := len(r.Queue.Due(r.now, 4))
		if n == 0 {
			break
		}
		seen += n
	}
	if seen != 25 {
		r.Errorf("%d messages were handed out before nothing was due, want 25", seen)
	}
}

func order(r *rig) {
	first, second := r.put("a@one.example"), r.put("b@one.example")
	r.due()
	r.settle(later(first, 0, r.now.Add(2*time.Hour)), later(second, 0, r.now.Add(time.Hour)))
	r.wait(3 * time.Hour)
	if id := r.Queue.Due(r.now, 1)[0].Message.Envelope().ID; id != second {
		r.Errorf("%s goes first", id)
	}
}

// mail queues n messages of a tenant and campaign at a priority.
func (r *rig) mail(n int, tenant, campaign string, priority int) {
	r.Helper()
	for range n {
		r.n++
		env := &mail.Envelope{ID: id(r.n), Sender: "from@sender.example", Received: r.now, Tenant: tenant, Campaign: campaign, Priority: priority,
			Recipients: []mail.Recipient{{Address: "a@one.example", Original: "a@one.example"}}}
		if err := r.Enqueue(env, header(env.ID), nil); err != nil {
			r.Fatal(err)
		}
	}
}

// next leases one message.
func (r *rig) next() delivery.Lease {
	r.Helper()
	leases := r.Queue.Due(r.now, 1)
	if len(leases) != 1 {
		r.Fatalf("%d leases of one", len(leases))
	}
	return leases[0]
}

// counts leases n messages, one by one, and counts them by what name says.
func (r *rig) counts(n int, name func(*mail.Envelope) string) map[string]int {
	r.Helper()
	had := map[string]int{}
	for range n {
		had[name(r.next().Message.Envelope())]++
	}
	return had
}

func turns(r *rig) {
	r.mail(100, "huge", "news", 0)
	r.mail(30, "huge", "receipts", 0)
	r.next()
	r.mail(10, "small", "", 0)
	had := r.counts(21, func(e *mail.Envelope) string { return e.Tenant })
	if had["small"] != 10 {
		r.Errorf("of 21 turns: %v", had)
	}
	if had := r.counts(40, func(e *mail.Envelope) string { return e.Campaign }); had["receipts"] < 19 || had["news"] < 19 {
		r.Errorf("of 40 turns: %v", had)
	}
}

func longList(r *rig) {
	to := make([]string, 20_000)
	for i := range to {
		to[i] = fmt.Sprintf("u%d@one.example", i)
	}
	list := r.put(to...)
	first := r.next()
	r.mail(10, "small", "", 0)
	for n := range 10 {
		if e := r.next().Message.Envelope(); e.ID == list {
			r.Errorf("the list goes on before message %d of another tenant", n)
		}
	}
	if rest := r.due()[list]; len(first.Recipients)+len(rest) != len(to) {
		r.Errorf("%d and %d recipients of %d are leased", len(first.Recipients), len(rest), len(to))
	}
}

func priority(r *rig) {
	r.mail(30, "bulk", "", -10)
	r.mail(30, "", "", 0)
	r.mail(300, "urgent", "", 50)
	had := r.counts(200, func(e *mail.Envelope) string { return e.Tenant })
	if had["urgent"] < 160 || had[""] == 0 || had["bulk"] == 0 {
		r.Errorf("of 200 turns: %v", had)
	}
}

func nextDue(r *rig) {
	if at, ok := r.Queue.NextDue(); ok {
		r.Errorf("an empty queue waits for %v", at)
	}
	id := r.put("a@one.example")
	if at, ok := r.Queue.NextDue(); !ok || at.After(r.now) {
		r.Errorf("new mail is due at %v, %v", at, ok)
	}
	r.due()
	if at, ok := r.Queue.NextDue(); ok {
		r.Errorf("all is leased, and the queue waits for %v", at)
	}
	r.settle(later(id, 0, r.now.Add(time.Minute)))
	if at, ok := r.Queue.NextDue(); !ok || !at.Equal(r.now.Add(time.Minute)) {
		r.Errorf("NextDue: %v, %v", at, ok)
	}
}

func wakes(r *rig) {
	for len(r.Queue.Wake()) > 0 {
		<-r.Queue.Wake()
	}
	r.put("a@one.example")
	select {
	case <-r.Queue.Wake():
	default:
		r.Error("new mail does not wake")
	}
}

func readers(r *rig) {
	r.putSize(200_000, "a@one.example")
	m := r.one().Message
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { r.holds(m, 200_000) })
	}
	wg.Wait()
}

// hammer has many lease and settle at once.
func hammer(r *rig) {
	const messages = 200
	for range messages {
		r.put("a@one.example", "b@two.example")
	}
	var mu sync.Mutex
	leased := map[string]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ls := r.Queue.Due(r.now, 3); len(ls) > 0; ls = r.Queue.Due(r.now, 3) {
				for _, l := range ls {
					r.claim(&mu, leased, l)
				}
			}
		})
	}
	wg.Wait()
	if len(leased) != messages {
		r.Errorf("%d messages were leased, want %d", len(leased), messages)
	}
	r.wait(24 * time.Hour)
	r.nothing("everything was delivered")
}

// claim checks that a message is leased once, whole, and delivers it.
func (r *rig) claim(mu *sync.Mutex, leased map[string]bool, l delivery.Lease) {
	id := l.Message.Envelope().ID
	mu.Lock()
	twice := leased[id]
	leased[id] = true
	mu.Unlock()
	if twice || len(l.Recipients) != 2 {
		r.Errorf("%s: recipients %v, twice: %v", id, l.Recipients, twice)
	}
	if err := r.Queue.Settle(r.Context(), delivered(id, l.Recipients...)); err != nil {
		r.Error(err)
	}
}

// durable leaves out engines that forget everything.
func (r *rig) durable() {
	if r.Restart == nil {
		r.Skip("the engine forgets everything")
	}
}

func restart(r *rig) {
	r.durable()
	small, large := r.put("a@one.example"), r.putSize(200_000, "b@two.example")
	r.due()
	r.Restart()
	for range 2 {
		leases := r.Queue.Due(r.now, 1)
		if len(leases) != 1 {
			r.Fatal("a message is missing")
		}
		switch m := leases[0].Message; m.Envelope().ID {
		case small:
			r.holds(m, 100)
		case large:
			r.holds(m, 200_000)
		default:
			r.Errorf("%s was never queued", m.Envelope().ID)
		}
	}
	r.nothing("all is leased")
}

func restartKeeps(r *rig) {
	r.durable()
	id := r.put("a@one.example", "b@two.example")
	r.due()
	r.settle(later(id, 0, r.now.Add(time.Hour)), delivered(id, 1))
	r.put("x@one.example") // makes durable what came before
	r.Restart()
	r.due()
	r.wait(time.Hour)
	l := r.one()
	if s := l.Message.State(0); s.Attempts != 1 || s.Last.Reply.Code != 451 || !l.Message.State(1).Done {
		r.Errorf("state %+v", s)
	}
}

func restartGone(r *rig) {
	r.durable()
	id := r.putSize(200_000, "a@one.example")
	r.due()
	r.settle(delivered(id, 0))
	last := r.put("x@one.example") // makes durable what came before
	r.Restart()
	r.wants(last, 0)
}

func big(r *rig) {
	id := r.putSize(1<<20, "a@one.example")
	l := r.one()
	r.holds(l.Message, 1<<20)
	r.settle(later(id, 0, r.now))
	r.holds(r.one().Message, 1<<20)
}

func removed(r *rig) {
	env := &mail.Envelope{ID: id(900), Sender: "from@sender.example", Received: r.now, Recipients: []mail.Recipient{
		{Address: "a@one.example", Original: "a@one.example", Removed: true}, {Address: "b@two.example", Original: "b@two.example"}}}
	if err := r.Enqueue(env, header(env.ID), nil); err != nil {
		r.Fatal(err)
	}
	r.wants(env.ID, 1)
	r.settle(delivered(env.ID, 1))
	r.nothing("everything was delivered")
}
