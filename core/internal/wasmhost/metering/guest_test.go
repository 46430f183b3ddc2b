// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"os"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// guest is an instance with its metering.
type guest struct {
	api.Module
	ctx context.Context
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func rewrite(t testing.TB, wasm []byte) []byte {
	t.Helper()
	out, err := metering.Rewrite(wasm, metering.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// start makes an instance in a runtime of its own, with a host module that
// does nothing.
func start(t testing.TB, config wazero.RuntimeConfig, wasm []byte) (*guest, error) {
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, config.WithMemoryLimitPages(512))
	t.Cleanup(func() { r.Close(ctx) })
	if err := stubHost(ctx, r); err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(""))
	return &guest{m, ctx}, err
}

// stubHost offers the host functions that the hostile guests import.
func stubHost(ctx context.Context, r wazero.Runtime) error {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	b := r.NewHostModuleBuilder("postroad_v1")
	stub := func(name string, params int, results ...api.ValueType) {
		p := make([]api.ValueType, params)
		for i := range p {
			p[i] = i32
		}
		f := api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			if name == "log" && !inside(m, stack[1], stack[2]) {
				panic("pointer")
			}
			if name == "get" && !inside(m, stack[2], stack[3]) {
				panic("pointer")
			}
			if len(results) > 0 {
				stack[0] = 0
			}
		})
		b.NewFunctionBuilder().WithGoModuleFunction(f, p, results).Export(name)
	}
	stub("log", 3)
	stub("get", 4, i32)
	stub("get_int", 2, i64)
	stub("hdr_add", 5, i32)
	_, err := b.Instantiate(ctx)
	return err
}

func inside(m api.Module, p, n uint64) bool {
	_, ok := m.Memory().Read(uint32(p), uint32(n))
	return ok
}

func (g *guest) call(s metering.State, name string, args ...uint64) ([]uint64, metering.State, error) {
	setState(g, s)
	out, err := g.ExportedFunction(name).Call(g.ctx, args...)
	return out, readState(g), err
}
