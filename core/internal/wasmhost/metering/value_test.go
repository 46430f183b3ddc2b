// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero/api"
)

// specValue is an argument of a specification test.
type specValue struct {
	Type     string
	LaneType string `json:"lane_type"`
	Value    any
}

// words returns the value as wazero passes it.
func (v specValue) words() []uint64 {
	switch v.Type {
	case "v128":
		return v.lanes()
	case "externref", "funcref":
		if v.Value == "null" {
			return []uint64{0}
		}
		return []uint64{parse(v.Value) + 1}
	}
	return []uint64{parse(v.Value)}
}

func (v specValue) lanes() []uint64 {
	list := v.Value.([]any)
	out, width := make([]uint64, 2), 128/len(list)
	for i, lane := range list {
		bits := parse(lane) & (math.MaxUint64 >> (64 - width))
		out[i*width/64] |= bits << (i * width % 64)
	}
	return out
}

func parse(v any) uint64 {
	n, err := strconv.ParseUint(v.(string), 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// outcome is what a call returned.
type outcome struct {
	types []api.ValueType
	words []uint64
}

// same compares bits, but only whether they are null for references, which are
// addresses.
func (o outcome) same(other outcome) bool {
	if len(o.words) != len(other.words) {
		return false
	}
	for i, w := range o.words {
		if w != other.words[i] && !o.reference(i, w, other.words[i]) {
			return false
		}
	}
	return true
}

func (o outcome) reference(i int, a, b uint64) bool {
	if len(o.types) != len(o.words) { // vectors take two words
		return false
	}
	const funcref = 0x70
	return (o.types[i] == funcref || o.types[i] == api.ValueTypeExternref) && a != 0 && b != 0
}

func (w *world) act(ctx context.Context, c specCommand) (outcome, error) {
	m := w.find(c.Action.Module)
	if m == nil {
		return outcome{}, errors.New("no module")
	}
	if c.Action.Type == "get" {
		return outcome{words: []uint64{m.ExportedGlobal(c.Action.Field).Get()}}, nil
	}
	var args []uint64
	for _, a := range c.Action.Args {
		args = append(args, a.words()...)
	}
	w.refill()
	f := m.ExportedFunction(c.Action.Field)
	words, err := f.Call(ctx, args...)
	return outcome{f.Definition().ResultTypes(), words}, err
}

// refill gives all modules of a metered world a fresh budget.
func (w *world) refill() {
	for _, m := range w.all {
		if w.metered {
			setState(m, metering.NewState(specFuel, specDepth))
		}
	}
}

func setState(m api.Module, s metering.State) {
	mutable(m, metering.NameSlice).Set(uint64(s.Slice))
	mutable(m, metering.NameTotal).Set(uint64(s.Total))
	mutable(m, metering.NameKill).Set(uint64(uint32(s.Kill)))
	mutable(m, metering.NameDepth).Set(uint64(uint32(s.Depth)))
}

func readState(m api.Module) metering.State {
	return metering.State{
		Slice: int64(mutable(m, metering.NameSlice).Get()),
		Total: int64(mutable(m, metering.NameTotal).Get()),
		Kill:  int32(mutable(m, metering.NameKill).Get()),
		Depth: int32(mutable(m, metering.NameDepth).Get()),
	}
}

func mutable(m api.Module, name string) api.MutableGlobal {
	return m.ExportedGlobal(name).(api.MutableGlobal)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
