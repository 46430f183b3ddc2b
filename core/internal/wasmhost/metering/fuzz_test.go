// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// FuzzRewrite demands of any octets: no panic, only typed errors, valid stays
// valid, invalid stays invalid, and functions return what they returned before.
func FuzzRewrite(f *testing.F) {
	for _, wasm := range seeds(f) {
		f.Add(wasm)
	}
	for _, wasm := range attacks() {
		f.Add([]byte(wasm))
	}
	f.Add([]byte(padded()))
	f.Fuzz(checkRewrite)
}

// seeds are the guests of the tests and a part of the specification's modules.
func seeds(t testing.TB) (out [][]byte) {
	for _, pattern := range []string{"testdata/*.wasm", "../testdata/hostile/*.wasm",
		filepath.Join(specCorpus(t), "v2", "testdata", "[bcegs]*.1*.wasm")} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no seeds in %s", pattern)
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() < 4096 {
				out = append(out, read(t, file))
			}
		}
	}
	return out
}

func checkRewrite(t *testing.T, wasm []byte) {
	stripped, err := metering.Strip(wasm)
	if err != nil {
		mustBeTyped(t, err)
		if _, err := metering.Rewrite(wasm, metering.Options{}); err == nil {
			t.Fatal("rewritten, but not stripped")
		}
		return
	}
	ctx := context.Background()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().WithMemoryLimitPages(64))
	defer r.Close(ctx)
	plain, invalid := r.CompileModule(ctx, stripped)
	if _, err := metering.Rewrite(wasm, metering.Options{TableElements: 10_000}); errors.Is(err, metering.ErrLimit) {
		return
	}
	out, err := metering.Rewrite(wasm, metering.Options{StartFuel: 100_000, StartDepth: 100, TableElements: 1 << 31})
	if err != nil {
		mustBeTyped(t, err)
		if invalid == nil && errors.Is(err, metering.ErrMalformed) {
			t.Fatalf("malformed, but wazero takes it: %v", err)
		}
		return
	}
	metered, err := r.CompileModule(ctx, out)
	if (invalid == nil) != (err == nil) {
		t.Fatalf("plain: %v, metered: %v", invalid, err)
	}
	if err == nil {
		compare(t, ctx, r, plain, metered)
	}
}

func mustBeTyped(t *testing.T, err error) {
	var e *metering.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
}

// compare calls every exported function of modules without imports, first
// metered: what did not end within the budget is not run without one.
func compare(t *testing.T, ctx context.Context, r wazero.Runtime, plain, metered wazero.CompiledModule) {
	if len(plain.ImportedFunctions())+len(plain.ImportedMemories()) > 0 {
		return
	}
	m, err := r.InstantiateModule(ctx, metered, wazero.NewModuleConfig().WithName("metered").WithStartFunctions())
	if err != nil {
		return
	}
	p, err := r.InstantiateModule(ctx, plain, wazero.NewModuleConfig().WithName("plain").WithStartFunctions())
	if err != nil {
		t.Fatalf("instantiates only metered: %v", err)
	}
	for name, def := range plain.ExportedFunctions() {
		if !compareCall(t, ctx, p, m, name, def) {
			return
		}
	}
}

// compareCall returns false if the two are no longer in the same state.
func compareCall(t *testing.T, ctx context.Context, p, m api.Module, name string, def api.FunctionDefinition) bool {
	args := make([]uint64, 0, 2*len(def.ParamTypes()))
	for _, typ := range def.ParamTypes() {
		if args = append(args, 0); typ == typeV128 {
			args = append(args, 0)
		}
	}
	setState(m, metering.State{Slice: 50, Total: 100_000, Depth: 100}) // the helper is called early
	b, errB := m.ExportedFunction(name).Call(ctx, args...)
	if s := readState(m); s.Cause() != metering.CauseGuest {
		return false
	} else if s.Depth != 100 && errB == nil {
		t.Fatalf("%s: depth is %d afterwards", name, s.Depth)
	}
	a, errA := p.ExportedFunction(name).Call(ctx, args...)
	if (errA == nil) != (errB == nil) {
		t.Fatalf("%s: plain %v, metered %v", name, errA, errB)
	}
	if x, y := (outcome{def.ResultTypes(), a}), (outcome{def.ResultTypes(), b}); !x.same(y) {
		t.Fatalf("%s: plain %v, metered %v", name, fmt.Sprint(a), fmt.Sprint(b))
	}
	return true
}

const typeV128 = 0x7b

// TestMutations makes the fuzz target's demands of valid modules with a few
// octets changed, the same ones in every run.
func TestMutations(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	all := seeds(t)
	for range 4000 {
		wasm := bytes.Clone(all[rnd.IntN(len(all))])
		for range 1 + rnd.IntN(3) {
			if at := rnd.IntN(len(wasm)); at >= 8 {
				wasm[at] += byte(1 + rnd.IntN(8))
			}
		}
		checkRewrite(t, wasm)
	}
}
