// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// A host rewrites a module, gives each call a budget, and asks afterwards what
// became of it.
func Example() {
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	wasm, err := os.ReadFile("testdata/exact.wasm")
	if err != nil {
		panic(err)
	}
	// A host that runs modules of strangers validates Strip's form first.
	metered, err := metering.Rewrite(wasm, metering.Options{})
	if err != nil {
		panic(err)
	}
	m, err := r.Instantiate(ctx, metered)
	if err != nil {
		panic(err)
	}
	global := func(name string) api.MutableGlobal { return m.ExportedGlobal(name).(api.MutableGlobal) }
	slice, total, depth := global(metering.NameSlice), global(metering.NameTotal), global(metering.NameDepth)
	for _, rounds := range []uint64{1000, 1 << 31} {
		s := metering.NewState(5_000_000, 100)
		slice.Set(uint64(s.Slice))
		total.Set(uint64(s.Total))
		depth.Set(uint64(s.Depth))
		_, err := m.ExportedFunction("count").Call(ctx, rounds)
		s.Slice, s.Total, s.Depth = int64(slice.Get()), int64(total.Get()), int32(depth.Get())
		fmt.Println("burnt", 5_000_000-s.Left(), "trapped", err != nil, "out of fuel", s.Cause() == metering.CauseFuel)
	}
	// Output:
	// burnt 6001 trapped false out of fuel false
	// burnt 5000004 trapped true out of fuel true
}
