// SPDX-License-Identifier: Apache-2.0

package fair

import (
	"cmp"
	"maps"
	"slices"
)

// model is the rules of a Line without heaps: a loop over everybody for each
// question.
type model struct {
	flows       []Key // awake
	marks       map[place]*mark
	served      map[int8]int // turns as a lower priority
	owed, turns int
	clock       int // counts arrivals
}

// place is a flow, a tenant or a lane: what is behind depth is empty.
type place struct {
	depth int
	key   Key
}

type mark struct {
	had, since int
	floor      int // of those within
}

func newModel() *model { return &model{marks: map[place]*mark{}, served: map[int8]int{}} }

func lanePlace(k Key) place   { return place{1, Key{Priority: k.Priority}} }
func tenantPlace(k Key) place { return place{2, Key{Priority: k.Priority, Tenant: k.Tenant}} }
func flowPlace(k Key) place   { return place{3, k} }

func (m *model) at(p place) *mark {
	if m.marks[p] == nil {
		m.marks[p] = &mark{}
	}
	return m.marks[p]
}

// awake returns the flows within a place.
func (m *model) awake(p place) (ks []Key) {
	for _, k := range m.flows {
		if p == lanePlace(k) || p == tenantPlace(k) || p == flowPlace(k) {
			ks = append(ks, k)
		}
	}
	return ks
}

func (m *model) arrive(p place, floor int) {
	m.clock++
	a := m.at(p)
	a.had, a.since = max(a.had, floor), m.clock
}

func (m *model) wake(k Key) {
	if len(m.awake(flowPlace(k))) > 0 {
		return
	}
	if len(m.awake(lanePlace(k))) == 0 { // a lane that was empty knows nothing
		maps.DeleteFunc(m.marks, func(p place, _ *mark) bool { return p.key.Priority == k.Priority })
		m.served[k.Priority] = m.turns
	}
	if len(m.awake(tenantPlace(k))) == 0 {
		m.arrive(tenantPlace(k), m.at(lanePlace(k)).floor)
	}
	m.arrive(flowPlace(k), m.at(tenantPlace(k)).floor)
	m.flows = append(m.flows, k)
}

func (m *model) sleep(k Key) {
	m.flows = slices.DeleteFunc(m.flows, func(o Key) bool { return o == k })
	delete(m.marks, flowPlace(k))
	if len(m.awake(tenantPlace(k))) == 0 && m.at(tenantPlace(k)).had <= m.at(lanePlace(k)).floor {
		delete(m.marks, tenantPlace(k))
	}
}

// next returns the flow whose turn it is.
func (m *model) next() (k Key, ok bool) {
	if len(m.flows) == 0 {
		return Key{}, false
	}
	tenant := m.least(m.awake(lanePlace(Key{Priority: m.priority()})), tenantPlace)
	return m.least(m.awake(tenant), flowPlace).key, true
}

// priority says which one has its turn.
func (m *model) priority() int8 {
	ps := map[int8]bool{}
	for _, k := range m.flows {
		ps[k.Priority] = true
	}
	sorted := slices.Sorted(maps.Keys(ps))
	slices.Reverse(sorted)
	if len(sorted) == 1 || m.owed < Share-1 {
		return sorted[0]
	}
	return slices.MinFunc(sorted[1:], func(a, b int8) int { return cmp.Compare(m.served[a], m.served[b]) })
}

func (m *model) least(ks []Key, of func(Key) place) place {
	return of(slices.MinFunc(ks, func(a, b Key) int {
		x, y := m.at(of(a)), m.at(of(b))
		return cmp.Or(cmp.Compare(x.had, y.had), cmp.Compare(x.since, y.since))
	}))
}

func (m *model) charge(k Key, cost int) {
	switch {
	case len(m.awake(lanePlace(k))) == len(m.flows):
		m.owed = 0
	case !slices.ContainsFunc(m.flows, func(o Key) bool { return o.Priority > k.Priority }):
		m.owed += cost
	default:
		m.owed -= cost * (Share - 1)
		m.turns++
		m.served[k.Priority] = m.turns
	}
	m.pay(lanePlace(k), tenantPlace(k), cost)
	m.pay(tenantPlace(k), flowPlace(k), cost)
}

func (m *model) pay(within, who place, cost int) {
	m.at(within).floor = max(m.at(within).floor, m.at(who).had+1)
	m.clock++
	m.at(who).had += cost
	m.at(who).since = m.clock
}
