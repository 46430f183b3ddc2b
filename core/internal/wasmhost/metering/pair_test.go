// SPDX-License-Identifier: Apache-2.0

package metering_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// Budgets that no test of the specification comes near, but for those that are
// meant to recurse for ever.
const (
	specFuel  = 1 << 36
	specDepth = 20_000
)

// world is a runtime with the modules that a specification test made.
type world struct {
	wazero.Runtime
	metered bool
	named   map[string]api.Module
	last    api.Module
	all     []api.Module
}

// pair is two worlds that must not differ: one plain, one metered.
type pair struct {
	t     *testing.T
	ctx   context.Context
	dir   string
	plain *world
	meter *world
}

func newPair(t *testing.T, ctx context.Context, features api.CoreFeatures, dir string) *pair {
	p := &pair{t: t, ctx: ctx, dir: dir}
	p.plain = newWorld(t, ctx, features, false)
	p.meter = newWorld(t, ctx, features, true)
	return p
}

func newWorld(t *testing.T, ctx context.Context, features api.CoreFeatures, metered bool) *world {
	config := wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features)
	w := &world{Runtime: wazero.NewRuntimeWithConfig(ctx, config), metered: metered, named: map[string]api.Module{}}
	t.Cleanup(func() { w.Close(ctx) })
	raw, err := os.ReadFile(filepath.Join(specCorpus(t), "testdata", "spectest.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.InstantiateWithConfig(ctx, raw, wazero.NewModuleConfig().WithName("spectest")); err != nil {
		t.Fatal(err)
	}
	return w
}

// add makes an instance of a module, metered or not.
func (w *world) add(ctx context.Context, wasm []byte, name string) (api.Module, error) {
	if w.metered {
		var err error
		if wasm, err = metering.Rewrite(wasm, metering.Options{StartFuel: specFuel, StartDepth: specDepth, TableElements: 1 << 26}); err != nil {
			return nil, err
		}
	}
	if name == "" {
		name = fmt.Sprintf("anonymous %d", len(w.all))
	}
	return w.InstantiateWithConfig(ctx, wasm, wazero.NewModuleConfig().WithName(name))
}

func (w *world) keep(m api.Module, name string) {
	w.last = m
	w.all = append(w.all, m)
	if name != "" {
		w.named[name] = m
	}
}

// find returns the module that an action is for.
func (w *world) find(name string) api.Module {
	if name == "" {
		return w.last
	}
	return w.named[name]
}

func (p *pair) file(c specCommand) []byte {
	raw, err := os.ReadFile(filepath.Join(p.dir, c.Filename))
	if err != nil {
		p.t.Fatal(err)
	}
	return raw
}

// instantiate demands that both worlds take a module, or both do not.
func (p *pair) instantiate(c specCommand, name string, keep bool) {
	raw := p.file(c)
	a, errA := p.plain.add(p.ctx, raw, name)
	b, errB := p.meter.add(p.ctx, raw, name)
	if (errA == nil) != (errB == nil) {
		p.t.Errorf("line %d: %s: plain %v, metered %v", c.Line, c.Filename, errA, errB)
		return
	}
	if errA == nil && keep {
		p.plain.keep(a, c.Name)
		p.meter.keep(b, c.Name)
	}
}

// refuse demands that what is no valid module does not become one.
func (p *pair) refuse(c specCommand) {
	if c.ModuleType != "binary" {
		return
	}
	raw := p.file(c)
	if _, err := p.plain.CompileModule(p.ctx, raw); err == nil {
		return // wazero takes it: not for us to judge
	}
	out, err := metering.Rewrite(raw, metering.Options{TableElements: 1 << 26})
	if err != nil {
		return
	}
	if _, err := p.meter.CompileModule(p.ctx, out); err == nil {
		p.t.Errorf("line %d: %s: the invalid module became valid", c.Line, c.Filename)
	}
}

// act calls a function in both worlds and compares all that can be seen.
func (p *pair) act(c specCommand) {
	a, errA := p.plain.act(p.ctx, c)
	b, errB := p.meter.act(p.ctx, c)
	switch {
	case (errA == nil) != (errB == nil):
		p.t.Errorf("line %d: %s: plain %v, metered %v", c.Line, c.Action.Field, errA, errB)
	case errA == nil && !a.same(b):
		p.t.Errorf("line %d: %s: plain %v, metered %v", c.Line, c.Action.Field, a, b)
	case errA != nil && firstLine(errA) != firstLine(errB):
		p.t.Errorf("line %d: %s: plain %q, metered %q", c.Line, c.Action.Field, errA, errB)
	}
}

// exhaust demands that an endless recursion ends by the depth.
func (p *pair) exhaust(c specCommand) {
	_, err := p.meter.act(p.ctx, c)
	if cause := readState(p.meter.find(c.Action.Module)).Cause(); err == nil || cause != metering.CauseDepth {
		p.t.Errorf("line %d: %s: cause %v: %v", c.Line, c.Action.Field, cause, err)
	}
}
