// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"errors"

	"github.com/tetratelabs/wazero/api"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// meter holds the counters of one metered instance. kill belongs to the watch.
type meter struct {
	slice, total, depth api.MutableGlobal
	budget              int64
}

var errNoMeter = errors.New("module lost its meter: counters are missing")

// meterOf finds the counters in an instance.
func meterOf(mod api.Module) (meter, api.MutableGlobal, error) {
	var gs [4]api.MutableGlobal
	for i, name := range []string{metering.NameSlice, metering.NameTotal, metering.NameDepth, metering.NameKill} {
		g, ok := mod.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			return meter{}, nil, errNoMeter
		}
		gs[i] = g
	}
	return meter{slice: gs[0], total: gs[1], depth: gs[2]}, gs[3], nil
}

// set gives a call its budget of fuel and depth.
func (m *meter) set(fuel int64, depth int) {
	s := metering.NewState(fuel, int32(depth))
	m.budget = fuel
	m.slice.Set(uint64(s.Slice))
	m.total.Set(uint64(s.Total))
	m.depth.Set(api.EncodeI32(s.Depth))
}

// state reads the counters; kill is left to the watch.
func (m *meter) state() metering.State {
	return metering.State{
		Slice: int64(m.slice.Get()),
		Total: int64(m.total.Get()),
		Depth: api.DecodeI32(m.depth.Get()),
	}
}

// used returns the fuel burnt since set.
func (m *meter) used() int64 { return m.budget - m.state().Left() }

// charge burns fuel for work that the host does, and reports whether there was
// as much.
func (m *meter) charge(units int64) bool {
	if slice := int64(m.slice.Get()); slice >= units {
		m.slice.Set(uint64(slice - units))
		return true
	}
	s := m.state().Spend(units)
	m.slice.Set(uint64(s.Slice))
	m.total.Set(uint64(s.Total))
	return s.Slice >= 0
}
