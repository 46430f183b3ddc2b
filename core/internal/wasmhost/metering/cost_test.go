// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
)

// TestCost counts units by hand and demands the same from both engines.
func TestCost(t *testing.T) {
	wasm := rewrite(t, read(t, "testdata/exact.wasm"))
	for engine, config := range engines() {
		g, err := start(t, config, wasm)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range costs() {
			t.Run(fmt.Sprintf("%s/%s/%v", engine, c.name, c.args), func(t *testing.T) {
				const budget = 3 * metering.SliceUnits
				_, s, err := g.call(metering.NewState(budget, 10), c.name, c.args...)
				if (err != nil) != c.traps {
					t.Fatal(err)
				}
				if used := budget - s.Left(); used != c.units {
					t.Errorf("used %d units, want %d", used, c.units)
				}
				if s.Depth != 10 && !c.traps {
					t.Errorf("depth is %d afterwards", s.Depth)
				}
			})
		}
	}
}

func engines() map[string]wazero.RuntimeConfig {
	return map[string]wazero.RuntimeConfig{
		"compiler":    wazero.NewRuntimeConfigCompiler(),
		"interpreter": wazero.NewRuntimeConfigInterpreter(),
	}
}

type cost struct {
	name  string
	args  []uint64
	units int64
	traps bool
}

func costs() []cost {
	return []cost{
		{"straight", nil, 3, false},
		{"nothing", nil, 0, false},
		{"choose", []uint64{1}, 3, false},
		{"choose", []uint64{0}, 5, false},
		{"early", []uint64{1}, 3, false},
		{"early", []uint64{0}, 4, false},
		{"count", []uint64{1}, 7, false},
		{"count", []uint64{1000}, 6001, false},
		{"count", []uint64{400_000}, 2_400_001, false},
		{"switch", []uint64{0}, 4, false},
		{"switch", []uint64{1}, 6, false},
		{"switch", []uint64{2}, 3, false},
		{"switch", []uint64{9}, 3, false},
		{"calls", nil, 48, false},
		{"load", nil, 3, false},
		{"fill", []uint64{0}, 103, false},
		{"fill", []uint64{160_000}, 10_103, false},
		{"copy", []uint64{320}, 123, false},
		{"grow", []uint64{0}, 1001, false},
		{"grow", []uint64{3}, 13_289, false},
		{"table", []uint64{4}, 107, false},
		{"init", []uint64{48}, 106, false},
		{"copytable", []uint64{3}, 106, false},
		{"filltable", []uint64{0}, 103, false},
		{"filltable", []uint64{4}, 107, false},
		{"growtable", []uint64{10}, 112, false},
		{"root", []uint64{math.Float64bits(9)}, 42, false},
		{"pair", []uint64{1}, 5, false},
		{"pair", []uint64{0}, 25, true},
		{"dead", []uint64{0}, 2, false},
	}
}

// TestBulkBeyondBudget: the length of a bulk operation is paid before it runs,
// so that one over a whole memory does not start.
func TestBulkBeyondBudget(t *testing.T) {
	for engine, config := range engines() {
		g, err := start(t, config, rewrite(t, read(t, "testdata/exact.wasm")))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"fill", "copy", "init", "grow", "table", "copytable", "filltable", "growtable"} {
			_, s, err := g.call(metering.NewState(1000, 10), name, math.MaxUint32)
			if err == nil || s.Cause() != metering.CauseFuel {
				t.Errorf("%s: %s: cause %v: %v", engine, name, s.Cause(), err)
			}
		}
	}
}
