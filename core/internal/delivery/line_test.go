// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/fair"
)

// parcel is a value of a line in tests.
type parcel struct {
	key  fair.Key
	id   int
	size int
}

func (p *parcel) weight() int { return p.size }

// TestYield says who makes room in a line that is full: "PRIORITY TENANT
// CAMPAIGN xRECIPIENTS", the newcomer behind the arrow.
func TestYield(t *testing.T) {
	for _, c := range []struct{ waits, comes, yields string }{
		{"0 a news x3", "50 a codes", "0 a news"},
		{"0 a news x3", "-50 b news", ""},
		{"0 a news x3, 50 b codes x9", "50 a codes", "0 a news"},
		{"0 a news x3, -1 b news x1", "50 a codes", "-1 b news"},
		{"0 a news x3", "0 b news", "0 a news"},
		{"0 a news x3", "0 a news", ""},
		{"0 a news x3", "0 a codes", "0 a news"},
		{"0 a news x1", "0 b news", ""},
		{"0 a news x3, 0 b news x5, 0 b codes x1", "0 c news", "0 b news"},
		{"0 a news x3, 0 b news x2", "0 b codes", ""},
		{"0 a news x4, 0 b news x2", "0 b codes", "0 a news"},
		{"0 a news x4, 50 b news x2", "0 a news", ""},
	} {
		var l line[*parcel]
		for _, s := range strings.Split(c.waits, ", ") {
			k, n := keyFrom(s)
			for range n {
				l.push(k, &parcel{key: k, size: 1})
			}
		}
		k, _ := keyFrom(c.comes)
		got := ""
		if v, ok := l.yield(k); ok {
			got = fmt.Sprint(v.key.Priority, " ", v.key.Tenant, " ", v.key.Campaign)
		}
		if got != c.yields {
			t.Errorf("%s <- %s: %q yields, want %q", c.waits, c.comes, got, c.yields)
		}
	}
}

func keyFrom(s string) (k fair.Key, n int) {
	fmt.Sscanf(s, "%d %s %s x%d", &k.Priority, &k.Tenant, &k.Campaign, &n)
	return k, n
}

// TestLineAndModel does random things with a line and with a slice of each flow.
func TestLineAndModel(t *testing.T) {
	for seed := range uint64(30) {
		m := &lineModel{rng: rand.New(rand.NewPCG(seed, 5)), flows: map[fair.Key][]*parcel{}}
		for step := range 1000 {
			if fault := m.step(); fault != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, fault)
			}
		}
		rest := len(m.l.all())
		if n, weight := m.size(); rest != n || m.l.len() != 0 || m.l.weight != 0 || len(m.l.flows)+len(m.l.tenants) != 0 {
			t.Fatalf("seed %d: %d values of %d were left, %d of %d recipients in a line that is empty", seed, rest, n, m.l.weight, weight)
		}
	}
}

type lineModel struct {
	rng    *rand.Rand
	l      line[*parcel]
	flows  map[fair.Key][]*parcel
	serial int
}

func (m *lineModel) step() string {
	k := fair.Key{Priority: int8(m.rng.IntN(2)), Tenant: fmt.Sprint(m.rng.IntN(3)), Campaign: fmt.Sprint(m.rng.IntN(2))}
	switch n := m.rng.IntN(20); {
	case n < 8:
		m.serial++
		p := &parcel{key: k, id: m.serial, size: 1 + m.rng.IntN(9)}
		m.l.push(k, p)
		m.flows[k] = append(m.flows[k], p)
	case n < 9:
		m.serial++
		p := &parcel{key: k, id: m.serial, size: 1}
		m.l.unshift(k, p)
		m.flows[k] = append([]*parcel{p}, m.flows[k]...)
	case n < 10:
		if p, ok := m.l.yield(k); ok {
			return m.went(p, len(m.flows[p.key])-1)
		}
	case n < 11:
		m.remove()
	case m.l.len() > 0:
		return m.take()
	}
	if n, weight := m.size(); n != m.l.len() || weight != m.l.weight {
		return fmt.Sprintf("%d values of %d recipients, want %d of %d", m.l.len(), m.l.weight, n, weight)
	}
	return ""
}

// take takes up to four recipients of the value whose turn it is.
func (m *lineModel) take() (fault string) {
	first := m.l.first()
	m.l.take(func(p *parcel) (int, bool) {
		if p != first {
			fault = "take and first do not agree; "
		}
		fault += m.went(p, 0)
		if p.size <= 4 {
			return p.size, false
		}
		p.size -= 4
		m.flows[p.key] = append(m.flows[p.key], p)
		return 4, true
	})
	return fault
}

// went takes p out of the model, where it is to be the at-th one of its flow.
func (m *lineModel) went(p *parcel, at int) string {
	if is := slices.Index(m.flows[p.key], p); is != at {
		return fmt.Sprintf("number %d of %d of its flow goes", is, len(m.flows[p.key]))
	}
	m.flows[p.key] = slices.Delete(slices.Clone(m.flows[p.key]), at, at+1)
	return ""
}

func (m *lineModel) remove() {
	goes := func(p *parcel) bool { return p.id%7 == 0 }
	m.l.remove(goes)
	for k := range m.flows {
		m.flows[k] = slices.DeleteFunc(m.flows[k], goes)
	}
}

func (m *lineModel) size() (n, weight int) {
	for _, ps := range m.flows {
		for _, p := range ps {
			n, weight = n+1, weight+p.size
		}
	}
	return n, weight
}

// mailOf queues n messages of a tenant at a priority to a next hop, and returns
// their ids.
func (r *rig) mailOf(n int, tenant string, priority int, host string) (ids []string) {
	for i := range n {
		env := r.envelope(fmt.Sprintf("%s%d.%d", tenant, priority, i), "s@example.net", "x@"+host)
		env.Tenant, env.Priority = tenant, priority
		r.queue.enqueue(env)
		ids = append(ids, env.ID)
	}
	return ids
}

// got returns the ids of what a host got, in order.
func (r *rig) got(host string) (ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if rest, ok := strings.CutPrefix(l, host+" gets "); ok {
			ids = append(ids, strings.Fields(rest)[0])
		}
	}
	return ids
}

// behind returns how many others a host got before the last of ids.
func (r *rig) behind(host string, ids []string) (others int) {
	left := len(ids)
	for _, id := range r.got(host) {
		if slices.Contains(ids, id) {
			left--
		} else {
			others++
		}
		if left == 0 {
			return others
		}
	}
	return 1 << 30
}

// Mail that waits for one next hop, with a line that is full: what is urgent and
// what another tenant has does not wait for the rest.
func TestALineTakesTurns(t *testing.T) {
	r := newRig(t, func(o *Options) { o.HopLeases = 20 })
	r.setRoute(&Route{Name: "internet", Kind: ViaMX, Connections: 1})
	r.hosts("slow.example")
	r.net.set("slow.example", "hang")
	r.mailOf(200, "bulk", 0, "slow.example")
	r.waitFor(1)
	r.wait(func() bool { return r.inLineOrParked()+r.underWay() == 200 })
	other, urgent := r.mailOf(5, "other", 0, "slow.example"), r.mailOf(5, "bulk", 50, "slow.example")
	r.wait(func() bool { return r.inLineOrParked()+r.underWay() == 210 })
	for _, id := range append(urgent, other...) {
		r.inLine(id)
	}
	r.net.set("slow.example", "ok")
	r.idle()
	if n := r.behind("slow.example", urgent); n > 3 {
		t.Errorf("urgent mail went behind %d others", n)
	}
	if n := r.behind("slow.example", other); n > 20 {
		t.Errorf("another tenant's mail went behind %d others", n)
	}
	if n := len(r.got("slow.example")); n != 210 {
		t.Errorf("%d messages were sent", n)
	}
}

// BenchmarkLine has one value at a time pass a line that is empty otherwise, and
// one that has others.
func BenchmarkLine(b *testing.B) {
	for _, waits := range []int{0, 1000} {
		b.Run(fmt.Sprint("waits=", waits), func(b *testing.B) {
			var l line[*parcel]
			for i := range waits {
				l.push(fair.Key{Tenant: fmt.Sprint(i % 10)}, &parcel{size: 1})
			}
			p := &parcel{size: 1}
			b.ReportAllocs()
			for b.Loop() {
				l.push(fair.Key{Tenant: "5"}, p)
				l.pop()
			}
		})
	}
}
