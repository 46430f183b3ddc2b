// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
)

// BenchmarkLoops compares the plain and the metered form of small loops, the
// worst there is for metering: per iteration, or per call for "empty".
func BenchmarkLoops(b *testing.B) {
	plain := read(b, "testdata/loops.wasm")
	forms := []struct {
		name string
		wasm []byte
	}{{"plain", plain}, {"metered", rewrite(b, plain)}}
	for _, name := range []string{"arithmetic", "bytesum", "lower", "calls", "fib", "simd"} {
		for _, form := range forms {
			b.Run(name+"/"+form.name, func(b *testing.B) { loop(b, form.wasm, name) })
		}
	}
	for _, form := range forms {
		b.Run("empty/"+form.name, func(b *testing.B) { empty(b, form.wasm) })
	}
}

// loop lets the guest itself count to b.N.
func loop(b *testing.B, wasm []byte, name string) {
	g := mustStart(b, wasm)
	if g.ExportedGlobal(metering.NameTotal) != nil {
		setState(g, metering.NewState(1<<60, 4096))
	}
	f := g.ExportedFunction(name)
	b.ResetTimer()
	if _, err := f.Call(g.ctx, uint64(b.N)); err != nil {
		b.Fatal(err)
	}
}

// empty calls a function that does nothing, with what the host does around it.
func empty(b *testing.B, wasm []byte) {
	g := mustStart(b, wasm)
	f, stack := g.ExportedFunction("empty"), make([]uint64, 1)
	if g.ExportedGlobal(metering.NameTotal) == nil {
		for b.Loop() {
			_ = f.CallWithStack(g.ctx, stack)
		}
		return
	}
	slice, total, depth := mutable(g, metering.NameSlice), mutable(g, metering.NameTotal), mutable(g, metering.NameDepth)
	for b.Loop() {
		s := metering.NewState(50_000_000, 4096)
		slice.Set(uint64(s.Slice))
		total.Set(uint64(s.Total))
		depth.Set(uint64(s.Depth))
		_ = f.CallWithStack(g.ctx, stack)
		_ = slice.Get() + total.Get()
	}
}

func mustStart(b *testing.B, wasm []byte) *guest {
	g, err := start(b, wazero.NewRuntimeConfigCompiler(), wasm)
	if err != nil {
		b.Fatal(err)
	}
	return g
}
