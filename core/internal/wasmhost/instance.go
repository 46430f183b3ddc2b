// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// instance is one instance of a module, with all that its host functions need.
// One goroutine at a time uses it; only the watch is touched by its timer too.
type instance struct {
	stage  *Stage
	mod    api.Module
	on     api.Function // cached: looking it up allocates a call engine
	ctx    *callContext // the context of all its calls, so that none is allocated
	stack  [2]uint64
	memory cappedMemory
	watch  *watch
	meter  meter
	out    output
	born   time.Time
	soft   uint64 // octets of memory above which it is replaced
	calls  int
	exited bool   // the guest called proc_exit
	image  *image // with isolation "restore"

	stores     []Store // by handle
	storeNames []string
	buckets    []Bucket // by handle
	scratch    []byte   // for host functions

	// Of the running call:
	program *program       // of a command
	hook    *pipeline.Hook // nil while the instance starts or ends
	pending overlay
	used    usage
}

// usage counts what one call has used of its shares.
type usage struct {
	hostCalls, edits, editOctets, headerEdits, kvOps, kvOctets, bodies int
	scores, metrics, lookups, requests, answerOctets                   int

	parsed, hashed bool              // the MIME tree, the digests of its parts
	decoded        map[partView]bool // views that part_read has decoded
	denied         *function         // that was called last and denied

	answers []*HTTPResponse // by handle
	sends   []HTTPRequest   // that wait for the commit
}

// callContext carries the instance to its host functions.
type callContext struct {
	context.Context
	i *instance
}

// instanceOf returns the instance that a host function was called by.
func instanceOf(ctx context.Context) *instance { return ctx.(*callContext).i }

// Errors that end a guest from inside a host function, by panic: that is how an
// engine's host functions trap. cause looks at the instance's state.
var (
	errRange   = errors.New("pointer outside of its memory")
	errStopped = errors.New("stopped at the deadline")
	errBurnt   = errors.New("out of fuel in a function of the host")
)

type exitError int

func (e exitError) Error() string { return fmt.Sprintf("it called proc_exit(%d)", int(e)) }

// enter is the start of every host function.
func (i *instance) enter() {
	i.used.hostCalls++
	if i.watch.fired() {
		panic(errStopped)
	}
}

// charge burns fuel for work that the host is about to do, or has done. A guest
// that has not as much, or whose time is over, is ended here: one call of a host
// function must not do what many instructions could not.
func (i *instance) charge(units int64) {
	switch {
	case !i.meter.charge(units):
		panic(errBurnt)
	case i.watch.fired():
		panic(errStopped)
	}
}

// newInstance makes an instance and starts it: start section, _initialize,
// pr_init, each with its own budget, all in limit. It returns the
// phases that the guest wants. The memory that it starts with is paid for by the
// caller and belongs to the instance, or is given back when this fails.
func newInstance(s *Stage, limit time.Duration) (*instance, mail.PhaseSet, error) {
	i := &instance{
		stage:  s,
		memory: cappedMemory{cap: uint64(s.limits.Memory), budget: s.host.budget, paid: s.code.memory},
		watch:  newWatch(),
		out:    output{logger: s.logger},
		born:   time.Now(),
	}
	i.ctx = &callContext{Context: context.Background(), i: i}
	if err := i.instantiate(); err != nil {
		i.memory.release()
		return nil, 0, fmt.Errorf("it cannot start: %w", err)
	}
	if s.code.manifest.Kind == KindCommand { // its one function runs per hook
		return i, 0, nil
	}
	phases, err := i.init(limit)
	if err == nil && s.limits.Isolation == IsolationRestore {
		err = i.takeImage()
	}
	if err != nil {
		i.drop()
		return nil, 0, err
	}
	size := uint64(len(i.memory.buf))
	i.soft = size + (i.memory.cap-size)/2
	return i, phases, nil
}

func (i *instance) instantiate() error {
	ctx := experimental.WithMemoryAllocator(i.ctx, &i.memory)
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := i.stage.code.runtime.InstantiateModule(ctx, i.stage.code.compiled, config)
	if err != nil {
		return err
	}
	i.mod, i.on = mod, mod.ExportedFunction("pr_on")
	m, kill, err := meterOf(mod)
	if err != nil {
		return errors.Join(err, mod.Close(i.ctx))
	}
	i.meter = m
	i.watch.attach(kill)
	return nil
}

// init runs what a guest runs once, in limit at most.
func (i *instance) init(limit time.Duration) (mail.PhaseSet, error) {
	i.begin(nil, "", limit)
	i.out.starts = true
	defer func() { i.out.starts = false; i.end() }()
	for _, name := range []string{startName, "_initialize"} {
		if f := i.mod.ExportedFunction(name); f != nil {
			if err := i.call(f, name, initFuel, i.stack[:0]); err != nil {
				return 0, err
			}
		}
	}
	if err := i.call(i.mod.ExportedFunction("pr_init"), "pr_init", initFuel, i.stack[:1]); err != nil {
		return 0, err
	}
	if mask := int64(i.stack[0]); mask < 0 {
		return 0, &Fault{Stage: i.stage.name, Cause: CauseError, Detail: detail("pr_init returned "+i.failed(mask), i.out.tail())}
	}
	return mail.PhaseSet(i.stack[0]), nil
}

// failed spells a negative result of a guest, with the call that may be why.
func (i *instance) failed(n int64) string {
	var why []string
	if n < 0 && n >= int64(abi.ErrConflict) {
		why = append(why, abi.Errno(n).Error())
	}
	if denied := i.lastDenied(); denied != "" {
		why = append(why, denied)
	}
	if len(why) == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d (%s)", n, strings.Join(why, "; "))
}

// begin starts the clock of a call about hook, which is nil for none.
func (i *instance) begin(h *pipeline.Hook, id string, d time.Duration) {
	i.hook, i.used, i.pending, i.memory.refused = h, usage{}, overlay{}, false
	i.out.begin(id, h != nil && h.Dry())
	i.watch.start(time.Now().Add(d), d)
}

// end stops the clock and forgets the hook.
func (i *instance) end() {
	i.watch.stop()
	i.out.end()
	i.hook, i.used.answers, i.used.sends = nil, nil, nil
}

// call calls one function of the guest with a budget. A failure is a *Fault. A
// guest that comes back from where it could not be stopped has failed all the
// same when its time is over.
func (i *instance) call(f api.Function, name string, fuel int64, stack []uint64) error {
	i.meter.set(fuel, i.stage.limits.Depth)
	err := f.CallWithStack(i.ctx, stack)
	if err == nil && i.watch.fired() {
		err = errStopped
	}
	if err != nil {
		return i.fault(name, err)
	}
	return nil
}

// run makes one hook call and returns the verdict. An error is a *Fault, after
// which the instance must be dropped.
func (i *instance) run(h *pipeline.Hook, limit time.Duration) (mail.Verdict, error) {
	i.begin(h, h.Envelope().ID, limit)
	defer i.end()
	i.calls++
	if i.on == nil {
		return i.runCommand(h)
	}
	i.stack[0], i.stack[1] = api.EncodeI32(int32(h.Phase())), api.EncodeI32(int32(h.Arg()))
	if err := i.call(i.on, "pr_on("+h.Phase().String()+")", i.stage.limits.fuel(h.Phase(), octets(h)), i.stack[:]); err != nil {
		return mail.Continue, err
	}
	return i.verdict(h, api.DecodeI32(i.stack[0]))
}

// octets returns how much of a message the phase of h can read.
func octets(h *pipeline.Hook) int64 {
	switch h.Phase() {
	case mail.PhaseHeaders:
		return h.Header().Size()
	case mail.PhaseBody:
		return int64(h.Arg())
	case mail.PhaseMessage, mail.PhaseQueued, mail.PhasePredeliver:
		n, _ := h.Size(pipeline.ViewRaw)
		return n
	}
	return 0
}

func (i *instance) verdict(h *pipeline.Hook, r int32) (mail.Verdict, error) {
	if h.Phase() == mail.PhaseReset && r > 0 {
		r = int32(mail.Continue) // the contract: it is ignored
	}
	switch v := mail.Verdict(r); {
	case r < 0:
		return mail.Continue, &Fault{Stage: i.stage.name, Cause: CauseError, Detail: detail("pr_on returned "+i.failed(int64(r)), i.out.tail())}
	case !h.Phase().Allowed(v):
		return mail.Continue, &Fault{Stage: i.stage.name, Cause: CauseVerdict, Detail: fmt.Sprintf("verdict %v in phase %v", v, h.Phase())}
	default:
		if f := i.pending.take(i.stores, i.storeNames); f != nil {
			h.OnCommit(f)
		}
		i.sendLater()
		return v, nil
	}
}

// worn reports whether the instance should be replaced although it works: its
// memory never shrinks, and leaks add up.
func (i *instance) worn() bool {
	return i.calls >= maxCalls || uint64(len(i.memory.buf)) > i.soft || i.watch.fired()
}

// retire ends a working instance, with a last word for the guest.
func (i *instance) retire() {
	if f := i.mod.ExportedFunction("pr_close"); f != nil && !i.watch.fired() {
		i.begin(nil, "", closeDeadline)
		if err := i.call(f, "pr_close", closeFuel, i.stack[:0]); err != nil {
			i.stage.logger.Debug("plugin failed while it was closed", "error", err)
		}
		i.end()
	}
	i.drop()
}

// drop frees an instance.
func (i *instance) drop() {
	if err := i.mod.Close(i.ctx); err != nil {
		i.stage.logger.Warn("plugin instance did not close", "error", err)
	}
	i.memory.release()
}

// level is the log level of a number of the ABI; unknown ones are info.
func level(n int) hclog.Level {
	switch n {
	case abi.LogTrace:
		return hclog.Trace
	case abi.LogDebug:
		return hclog.Debug
	case abi.LogWarn:
		return hclog.Warn
	case abi.LogError:
		return hclog.Error
	}
	return hclog.Info
}
