// SPDX-License-Identifier: Apache-2.0

package metering

// State is what the four counters hold before or after a call.
type State struct {
	Slice int64
	Total int64
	Kill  int32
	Depth int32
}

// NewState returns what to set before a call that may burn fuel units and nest
// frames of the weight depth.
func NewState(fuel int64, depth int32) State {
	fuel = max(fuel, 0)
	slice := min(fuel, SliceUnits)
	return State{Slice: slice, Total: fuel - slice, Depth: depth}
}

// Left returns the units not burnt. It is negative by the last block or bulk
// operation of a call that ran out.
func (s State) Left() int64 { return s.Slice + s.Total }

// Spend returns the state with so many units burnt, as the helper would have
// filled up the slice. With a negative Slice there were fewer.
func (s State) Spend(units int64) State {
	if s.Slice -= units; s.Slice < 0 {
		more := min(SliceUnits-s.Slice, s.Total)
		s.Slice += more
		s.Total -= more
	}
	return s
}

// Cause tells why a call of a metered module trapped.
type Cause uint8

// Causes of a trap.
const (
	CauseGuest Cause = iota // none of ours: the guest trapped by itself
	CauseKill               // the host set kill
	CauseFuel               // the budget is burnt
	CauseDepth              // frames are nested too deep
)

// Cause tells why a call that ended in a trap did so, from the counters as they
// were left.
func (s State) Cause() Cause {
	switch {
	case s.Depth < 0:
		return CauseDepth
	case s.Kill != 0:
		return CauseKill
	case s.Slice < 0 && s.Total == 0:
		return CauseFuel
	}
	return CauseGuest
}
