// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Module is a loaded plugin, ready to make stages from. It is safe for use by
// many goroutines.
type Module struct {
	name   string
	code   *code
	closed sync.Once
}

// Manifest returns what the module says of itself.
func (m *Module) Manifest() Manifest { return m.code.manifest }

// SHA256 returns the digest of the module's octets, in hexadecimal digits.
func (m *Module) SHA256() string { return hex.EncodeToString(m.code.sum[:]) }

// Close gives the module up. Its stages go on until they are closed themselves.
func (m *Module) Close() error {
	m.closed.Do(func() { m.code.host.release(m.code) })
	return nil
}

// digest is the SHA-256 of a module's octets.
type digest = [sha256.Size]byte

// code is a compiled module, shared by every Module of the same octets.
type code struct {
	host *Host
	sum  digest
	refs int // guarded by Host.mu

	once     sync.Once
	err      error
	manifest Manifest
	runtime  wazero.Runtime
	cache    wazero.CompilationCache
	compiled wazero.CompiledModule
	memory   uint64 // octets of linear memory at the start
	globals  int    // mutable globals that isolation "restore" puts back
	tied     string // why its instances cannot be restored, "" if they can
}

var errNoExports = errors.New("it exports nothing, so it is no plugin; a plugin exports memory, pr_init and pr_on")

// build does all that is done once for a module.
func (c *code) build(ctx context.Context, wasm []byte) error {
	m, err := c.host.imports.inspect(wasm)
	if err != nil {
		return err
	}
	c.manifest = m
	metered, err := c.metered(ctx, wasm)
	if err != nil {
		return err
	}
	if err := c.compile(ctx, metered); err != nil {
		c.close()
		return err
	}
	c.host.pruneCache()
	return nil
}

// compile compiles and links the metered module. It is known to be valid, so a
// failure with the disk cache is the cache's: a damaged file, a full disk. Then
// it does without.
func (c *code) compile(ctx context.Context, metered []byte) error {
	c.cache = c.host.cache.compiled(c.sum)
	err := c.compileWith(ctx, metered)
	if err != nil && c.cache != nil && ctx.Err() == nil && !errors.Is(err, errCompile) {
		c.host.logger.Warn("compiled plugins cannot be kept", "error", err)
		c.close()
		err = c.compileWith(ctx, metered)
	}
	if err != nil {
		return fmt.Errorf("it could not be compiled: %w", err)
	}
	if err := c.checkTypes(); err != nil {
		return err
	}
	c.memory = uint64(c.compiled.ExportedMemories()["memory"].Min()) << 16
	if err := c.readOpened(metered); err != nil {
		return err
	}
	return c.link(ctx)
}

// metered validates the original and returns its metered form. Validation comes
// first and on the original, for rewriting could make an invalid module valid.
// The cache keeps the result, and with it the proof.
func (c *code) metered(ctx context.Context, wasm []byte) ([]byte, error) {
	if b := c.host.cache.metered(c.sum); b != nil {
		return b, nil
	}
	stripped, err := metering.Strip(wasm)
	if err != nil {
		return nil, unsafe(err)
	}
	if err := validate(ctx, stripped); err != nil {
		return nil, err
	}
	lifted, err := liftStart(stripped)
	if err != nil {
		return nil, err
	}
	opened, why, err := openGlobals(lifted)
	if err != nil {
		return nil, err
	}
	metered, err := metering.Rewrite(opened, metering.Options{})
	if err != nil {
		return nil, unsafe(err)
	}
	if why != "" {
		metered = withSection(metered, restoreSection, why)
	}
	c.host.cache.keep(c.sum, metered)
	return metered, nil
}

// unsafe is the error of a module that the rewriter refuses.
func unsafe(err error) error {
	remedy := "build it anew"
	if errors.Is(err, metering.ErrUnsupported) {
		remedy = "build it without that feature"
	}
	return fmt.Errorf("it cannot be run safely: %w; %s", err, remedy)
}

// features are those that compilers emit by default today: WebAssembly 2.0.
const features = api.CoreFeaturesV2

// validate has the engine check a module, with the interpreter, which needs a
// tenth of the compiler's time.
func validate(ctx context.Context, wasm []byte) error {
	config := wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	r := wazero.NewRuntimeWithConfig(ctx, config)
	_, err := r.CompileModule(ctx, wasm)
	if err = errors.Join(err, r.Close(ctx)); err != nil {
		return fmt.Errorf("it is not a valid WebAssembly 2.0 module: %w; build it anew, for WebAssembly 2.0 without later proposals", err)
	}
	return nil
}

// compileWith compiles the metered module with the cache, if there is one.
func (c *code) compileWith(ctx context.Context, metered []byte) error {
	config := wazero.NewRuntimeConfig().WithCoreFeatures(features).WithDebugInfoEnabled(false)
	if c.cache != nil {
		config = config.WithCompilationCache(c.cache)
	}
	c.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	limited, cancel := context.WithTimeoutCause(ctx, c.host.o.MaxCompile, errCompile)
	defer cancel()
	var err error
	c.compiled, err = c.runtime.CompileModule(experimental.WithCompilationWorkers(limited, compileWorkers), metered)
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("%w, %v; make it smaller", errCompile, c.host.o.MaxCompile)
	}
	return err
}

// compileWorkers is how many functions are compiled at once. With one alone the
// engine does not look at the context between functions. That one function takes
// not too long is up to the limits of package metering.
const compileWorkers = 2

var errCompile = errors.New("it takes longer than it may")

// checkTypes checks the types of what is exported and imported.
func (c *code) checkTypes() error {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	for _, e := range []struct {
		name            string
		params, results []api.ValueType
	}{
		{"pr_init", nil, []api.ValueType{i64}},
		{"pr_on", []api.ValueType{i32, i32}, []api.ValueType{i32}},
		{"pr_close", nil, nil},
		{"_initialize", nil, nil},
		{"_start", nil, nil},
	} {
		def := c.compiled.ExportedFunctions()[e.name]
		if def != nil && !sameType(def, e.params, e.results) {
			return fmt.Errorf("its export %s has the type %s, not %s; build it with an SDK, which exports it as it must be", e.name, typeName(def.ParamTypes(), def.ResultTypes()), typeName(e.params, e.results))
		}
	}
	for _, def := range c.compiled.ImportedFunctions() {
		if err := c.checkImportType(def); err != nil {
			return err
		}
	}
	return nil
}

func (c *code) checkImportType(def api.FunctionDefinition) error {
	module, name, _ := def.Import()
	params, results, ok := c.host.imports.signature(module, name)
	if ok && !sameType(def, params, results) {
		return fmt.Errorf("it imports %s.%s with the type %s, not %s; correct its declaration, or build it with an SDK", module, name, typeName(def.ParamTypes(), def.ResultTypes()), typeName(params, results))
	}
	return nil
}

func valueTypes(ts []abi.ValueType) []api.ValueType {
	out := make([]api.ValueType, len(ts))
	for i, t := range ts {
		out[i] = api.ValueType(t)
	}
	return out
}

func sameType(def api.FunctionDefinition, params, results []api.ValueType) bool {
	return slices.Equal(def.ParamTypes(), params) && slices.Equal(def.ResultTypes(), results)
}

func typeName(params, results []api.ValueType) string {
	return fmt.Sprintf("(%s) -> (%s)", typeNames(params), typeNames(results))
}

func typeNames(ts []api.ValueType) string {
	s := ""
	for i, t := range ts {
		if i > 0 {
			s += " "
		}
		s += api.ValueTypeName(t)
	}
	return s
}

// link makes the host modules with just the functions that are imported.
func (c *code) link(ctx context.Context) error {
	builders := map[string]wazero.HostModuleBuilder{}
	for _, def := range c.compiled.ImportedFunctions() {
		module, name, _ := def.Import()
		if builders[module] == nil {
			builders[module] = c.runtime.NewHostModuleBuilder(module)
		}
		builders[module].NewFunctionBuilder().
			WithGoModuleFunction(c.host.imports.function(module, name), def.ParamTypes(), def.ResultTypes()).Export(name)
	}
	for module, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("host module %s: %w", module, err)
		}
	}
	return nil
}

// close frees the compiled code and every instance that is left.
func (c *code) close() {
	ctx := context.Background()
	var err error
	if c.runtime != nil {
		err = c.runtime.Close(ctx)
	}
	if c.cache != nil {
		err = errors.Join(err, c.cache.Close(ctx))
	}
	if err != nil {
		c.host.logger.Warn("plugin code did not close", "error", err)
	}
	c.runtime, c.cache = nil, nil
}
