// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// walk is an operator without a plan, and mail meanwhile.
type walk struct {
	*rig
	rnd  *rand.Rand
	sent int
}

func walkAddrs() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("198.51.100.2")}
}

func (w *walk) one(n int) bool { return w.rnd.IntN(n) == 0 }

func (w *walk) rate() Rate {
	return []Rate{{}, {1, time.Hour}, {1, time.Second}, {20, time.Second}}[w.rnd.IntN(4)]
}

func (w *walk) reload() {
	r := &Route{Name: "internet", Kind: ViaMX, Connections: 1 + w.rnd.IntN(3), Rate: w.rate()}
	for i := range w.rnd.IntN(3) {
		r.Sources = append(r.Sources, &Source{Name: fmt.Sprint("s", i), Addresses: walkAddrs()[i : i+1]})
	}
	w.setRoute(r)
	w.setProvider(&Provider{Name: "big", Connections: w.rnd.IntN(3), Rate: w.rate()}, [][]string{{".big.example"}, {".none"}}[w.rnd.IntN(2)])
	w.s.Reload()
}

func (w *walk) step() {
	switch w.rnd.IntN(12) {
	case 0:
		w.reload()
	case 1:
		w.s.Pause("why")
	case 2:
		w.s.Resume()
	case 3:
		w.breaks(walkAddrs()[w.rnd.IntN(2)], w.one(2))
	case 4:
		w.s.Recall(fmt.Sprint("m", w.rnd.IntN(w.sent+1)))
	case 5:
		w.s.Reconsider()
	case 6:
		w.net.mu.Lock()
		w.net.mx[fmt.Sprintf("d%d.example", w.rnd.IntN(8))] = []MX{{Host: fmt.Sprintf("h%d.big.example", w.rnd.IntN(4)), TTL: time.Minute}}
		w.net.mu.Unlock()
	case 7:
		w.clock.Advance(time.Duration(w.rnd.IntN(90)) * time.Second)
	case 8:
		w.net.set(fmt.Sprintf("h%d.big.example", w.rnd.IntN(4)), []string{"ok", "refuse", "closes", "drop", "reply 451 4.0.0 no"}[w.rnd.IntN(5)])
	default:
		w.mail()
	}
}

func (w *walk) mail() {
	var to []string
	for i := range 1 + w.rnd.IntN(30) {
		to = append(to, fmt.Sprintf("x%d@d%d.example", i, w.rnd.IntN(8)))
	}
	env := w.envelope(fmt.Sprint("m", w.sent), "s@example.net", to...)
	env.Tenant, env.Priority = fmt.Sprint(w.rnd.IntN(3)), w.rnd.IntN(3)
	w.queue.enqueue(env)
	w.sent++
}

// Whatever an operator does in whatever order: once all is well again, all mail
// goes, and nothing of it is left in the counts.
func TestAllMailGoesWhateverTheOperatorDid(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := newRig(t, func(o *Options) {
				o.Leases, o.HopLeases, o.TransactionRecipients, o.Connections = 60, 20, 7, 4
			})
			w := &walk{rig: r, rnd: rand.New(rand.NewPCG(seed, 1))}
			r.hosts("h0.big.example", "h1.big.example", "h2.big.example", "h3.big.example")
			for i := range 8 {
				r.net.mx[fmt.Sprintf("d%d.example", i)] = []MX{{Host: fmt.Sprintf("h%d.big.example", i%4), TTL: time.Minute}}
			}
			for range 150 {
				w.step()
			}
			w.mend()
			r.advance(8 * time.Hour)
			r.advance(24 * time.Hour)
			w.check()
		})
	}
}

// mend makes all well.
func (w *walk) mend() {
	for i := range 4 {
		w.net.set(fmt.Sprintf("h%d.big.example", i), "ok")
	}
	for _, a := range walkAddrs() {
		w.breaks(a, false)
	}
	w.setProvider(&Provider{Name: "big", Connections: 1}, []string{".big.example"})
	w.setRoute(&Route{Name: "internet", Kind: ViaMX})
	w.s.Reload()
	w.s.Resume()
}

func (w *walk) check() {
	w.t.Helper()
	if got := w.doneOf(w.sent); got != w.sent {
		w.t.Errorf("%d of %d messages are done", got, w.sent)
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if s := w.s; s.held != 0 || s.parked != 0 || s.slots != 0 || s.dozing != 0 || len(s.hops) != 0 || len(s.budgets) != 0 || s.turns.len() != 0 {
		w.t.Errorf("held %d, parked %d, workers %d, dozing %d, hops %d, budgets %d, turns %d", s.held, s.parked, s.slots, s.dozing, len(s.hops), len(s.budgets), s.turns.len())
	}
}
