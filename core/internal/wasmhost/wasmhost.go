// SPDX-License-Identifier: Apache-2.0

// Package wasmhost runs plugins: WebAssembly modules from strangers, as stages
// of a pipeline. It is the only room that knows wazero.
//
// The way of a module: Load reads its sections and refuses what is no plugin
// with a sentence that says why; the original is validated, then rewritten so
// that every instruction is paid for (package metering), compiled, and kept as a
// Module. NewStage joins a Module with a configuration, grants and limits, and
// starts a first instance as proof. A Stage is a pipeline.Stage: it leases an
// instance from its pool for one call, and puts it back or throws it away.
//
// Instances live as long as the stage's isolation says: leased for one call from
// a pool (call), for a transaction (message) or a connection (session), put back
// to what they were after each call (restore), or made anew (fresh). What has no
// connection, as mail that a program submits, has its instance for the
// transaction; what has neither, as phase tick, for the call. A command, which is
// a program with standard input and output, is started for each call.
//
// What a guest can do: call the host functions of sdk/abi as far as its grant
// goes, and the few of WASI preview 1 that language runtimes cannot start
// without. What it cannot: run beyond its fuel, deadline, call depth or memory,
// flood the log, or leave half of its edits behind. When it tries, the call
// fails with a *Fault that names the cause, the instance is dropped, and other
// calls go on.
package wasmhost

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// Clock is the time that guests see. Deadlines do not use it: they bound
// processor time, which a test's clock knows nothing of.
type Clock interface {
	Now() time.Time
}

// Observer is told of every call of a plugin. Its methods must be quick and safe
// for use by many goroutines.
type Observer interface {
	PluginCall(c Call)
	PluginInstances(stage string, n int) // instances that live now, of all stages of that name: old ones that drain, and candidates
}

// Call is the account of one hook call.
type Call struct {
	Stage     string
	Phase     mail.Phase
	Took      time.Duration // in the guest and its host functions
	Fuel      int64         // units burnt
	Memory    int64         // octets of the instance's linear memory afterwards
	HostCalls int
	Cause     string // of its Fault, empty when it did not fail
}

// Options are what a Host needs from its surroundings. The zero value works.
type Options struct {
	CacheDir  string // folder for compiled code, "" = compile at every start
	Logger    hclog.Logger
	Clock     Clock
	Observer  Observer
	Version   string    // of the relay, for guests that ask
	MaxModule int64     // octets a module may have; 0 means 32 MiB
	MaxMemory int64     // octets of linear memory of all instances together; 0 means 2 GiB
	Random    io.Reader // nil means crypto/rand

	MaxCompile time.Duration // that the compilation of a module may take; 0 means two minutes
}

const (
	defaultMaxModule = 32 << 20
	defaultMaxMemory = 2 << 30

	defaultMaxCompile = 2 * time.Minute
)

// Host holds what its modules share. It is safe for use by many goroutines.
type Host struct {
	o       Options
	logger  hclog.Logger
	clock   Clock
	random  io.Reader
	version string
	cache   *codeCache // nil without a folder
	imports *imports
	budget  *budget

	mu    sync.Mutex
	codes map[digest]*code

	countMu sync.Mutex
	live    map[string]int // instances, by stage name
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// New returns a Host. It fails when CacheDir cannot be trusted: what is in it
// will be run.
func New(_ context.Context, o Options) (*Host, error) {
	h := &Host{
		o: o, logger: o.Logger, clock: o.Clock, random: o.Random, version: o.Version,
		imports: newImports(), codes: make(map[digest]*code), live: make(map[string]int),
	}
	if h.logger == nil {
		h.logger = hclog.NewNullLogger()
	}
	if h.clock == nil {
		h.clock = systemClock{}
	}
	if h.random == nil {
		h.random = rand.Reader
	}
	if h.o.MaxModule == 0 {
		h.o.MaxModule = defaultMaxModule
	}
	if h.o.MaxMemory == 0 {
		h.o.MaxMemory = defaultMaxMemory
	}
	if h.o.MaxCompile == 0 {
		h.o.MaxCompile = defaultMaxCompile
	}
	h.budget = newBudget(h.o.MaxMemory)
	if o.CacheDir == "" {
		return h, nil
	}
	cache, err := openCache(o.CacheDir, h.logger)
	if err != nil {
		return nil, err
	}
	h.cache = cache
	return h, nil
}

// Load makes a Module of the octets of a .wasm file. name is the plugin's in
// pipeline.hcl. The same octets are compiled once, however often they are
// loaded. wasm is not kept. An error is one sentence about the module, "it …",
// that says what is wrong and what helps; the caller says which plugin it is.
func (h *Host) Load(ctx context.Context, name string, wasm []byte) (*Module, error) {
	if int64(len(wasm)) > h.o.MaxModule {
		return nil, fmt.Errorf("it has %d octets, more than the %d permitted; strip its debug sections", len(wasm), h.o.MaxModule)
	}
	c := h.code(sha256.Sum256(wasm))
	c.once.Do(func() { c.err = c.build(ctx, wasm) })
	if c.err != nil {
		h.release(c)
		return nil, c.err
	}
	return &Module{name: name, code: c}, nil
}

// code returns the shared code of a module with one more reference.
func (h *Host) code(sum digest) *code {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.codes[sum]
	if c == nil {
		c = &code{host: h, sum: sum}
		h.codes[sum] = c
	}
	c.refs++
	return c
}

// pruneCache bounds what is kept of modules that nobody uses. A module that is
// about to be used waits meanwhile, so that it finds its folder or none.
func (h *Host) pruneCache() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cache.prune(func(folder string) bool {
		sum, err := hex.DecodeString(folder)
		return err == nil && len(sum) == sha256.Size && h.codes[digest(sum)] != nil
	})
}

// retain adds a reference to c, which the caller has one of.
func (h *Host) retain(c *code) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.refs++
}

// release gives a reference back; the last one frees the compiled code.
func (h *Host) release(c *code) {
	h.mu.Lock()
	c.refs--
	last := c.refs == 0
	if last {
		delete(h.codes, c.sum)
	}
	h.mu.Unlock()
	if last {
		c.close()
	}
}

// count adds n to the instances of the stages of that name, and tells the sum. It
// tells under the lock, for the last word must be the latest.
func (h *Host) count(stage string, n int) {
	h.countMu.Lock()
	defer h.countMu.Unlock()
	h.live[stage] += n
	sum := h.live[stage]
	if sum == 0 {
		delete(h.live, stage)
	}
	if h.o.Observer != nil {
		h.o.Observer.PluginInstances(stage, sum)
	}
}

// Close frees the code of modules that were not closed. Stages must be closed
// before.
func (h *Host) Close(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for sum, c := range h.codes {
		c.close()
		delete(h.codes, sum)
	}
	return nil
}
