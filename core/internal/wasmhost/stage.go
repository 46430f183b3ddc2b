// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/grant"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// StageOptions are a plugin's place in a pipeline.
type StageOptions struct {
	Name    string        // of the stage in pipeline.hcl
	Config  []byte        // its config block as JSON; nil means {}
	Phases  mail.PhaseSet // those it is called in at most; 0 means all that it asks for
	Grant   Grant
	Limits  Limits
	Mode    string            // of a command: ModeJSON or ModeFilter
	Strict  bool              // refuse imports outside of the grant, which otherwise answer "denied"
	Stores  map[string]Store  // by name; used as far as the grant goes
	Buckets map[string]Bucket // by name; used as far as the grant goes
	Secrets map[string]string // by name; used as far as the grant goes
	DNS     Resolver          // nil: function dns is not supported
	HTTP    HTTPClient        // nil: functions http … are not supported
	Metrics Metrics           // nil: figures are dropped
	Emit    Bucket            // quota of emitted messages, by stage name; nil: the hook's own limit alone
	Logger  hclog.Logger      // with the stage's name among its fields; nil means the host's
}

// Stage runs one plugin with one configuration. It implements pipeline.Stage.
type Stage struct {
	name        string
	plugin      string // its name in pipeline.hcl
	mode        string
	host        *Host
	clock       Clock // the host's, but in self-tests
	testing     bool  // nobody is told of its calls
	code        *code
	config      []byte
	grant       Grant
	powers      power
	limits      Limits
	stores      map[string]Store
	buckets     map[string]Bucket
	secrets     map[string]string
	dns         Resolver
	http        HTTPClient
	metrics     Metrics
	emit        Bucket
	wantedHosts []string // by the manifest; nil without one
	wantedHops  []string // the same of next_hops
	logger      hclog.Logger
	asked       mail.PhaseSet // by pr_init, the same in every instance; of a command none
	wanted      mail.PhaseSet // the same, or what the command's manifest names
	phases      mail.PhaseSet // that it is called in
	pool        *pool
	live        atomic.Int64
	closing     sync.Once
}

// NewStage makes a stage of the module: it checks that everything the manifest
// wants is granted, starts one instance, and runs the module's own tests, so that
// what cannot work fails now.
// An error is one sentence about the module, or the *Fault of its start; the
// caller says which stage it is. The stage must be closed.
func (m *Module) NewStage(ctx context.Context, o StageOptions) (*Stage, error) {
	s, err := newStage(m, o)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, o.Phases); err != nil {
		return nil, notStarted(err)
	}
	if err := m.selfTest(ctx, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open starts the first instance of a stage, asks it for its phases, and keeps
// it.
func (s *Stage) open(ctx context.Context, allowed mail.PhaseSet) error {
	i, phases, err := s.start(ctx, s.limits.MessageDeadline)
	if err != nil {
		return err
	}
	if err := s.subscribe(phases, allowed); err != nil {
		s.count(-1)
		i.drop()
		return err
	}
	if s.limits.Isolation == IsolationFresh {
		s.finish(i)
	} else {
		s.pool.idle = append(s.pool.idle, i)
	}
	s.host.retain(s.code)
	s.host.budget.join(s)
	return nil
}

func newStage(m *Module, o StageOptions) (*Stage, error) {
	c := m.code
	limits, err := o.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if uint64(limits.Memory) < c.memory {
		return nil, fmt.Errorf("the module needs %d octets of memory to start, and limit memory is %d; raise it", c.memory, limits.Memory)
	}
	if limits.Isolation == IsolationRestore {
		if err := c.checkRestorable(); err != nil {
			return nil, err
		}
	}
	may, err := granted(&c.manifest, o.Grant)
	if err != nil {
		return nil, err
	}
	s := &Stage{
		name: o.Name, plugin: m.name, mode: o.Mode, host: c.host, clock: c.host.clock, code: c, config: o.Config, grant: may, powers: may.powers(), limits: limits,
		stores: maps.Clone(o.Stores), buckets: maps.Clone(o.Buckets), logger: o.Logger, pool: newPool(limits.Instances),
		secrets: maps.Clone(o.Secrets), dns: o.DNS, http: o.HTTP, metrics: o.Metrics, emit: o.Emit,
	}
	if c.manifest.Present {
		s.wantedHosts = append([]string{}, c.manifest.Wants.HTTP...)
		s.wantedHops = append([]string{}, c.manifest.Wants.NextHops...)
	}
	if s.config == nil {
		s.config = []byte("{}")
	}
	if s.logger == nil {
		s.logger = c.host.logger.With("stage", o.Name)
	}
	if err := s.checkImports(o.Strict); err != nil {
		return nil, err
	}
	return s, s.checkKind(o.Limits.Isolation)
}

// granted returns what a stage may touch: what its manifest wants and the
// operator grants. Wanted and not granted is an error with the block to paste.
func granted(m *Manifest, g Grant) (Grant, error) {
	if err := g.check(); err != nil {
		return Grant{}, err
	}
	if !m.Present {
		return g, nil
	}
	if lack := g.missing(m.Wants); !lack.empty() {
		return Grant{}, fmt.Errorf("it needs more than it is granted; if you trust it with that, add to its plugin block:\n%s", lack.hcl())
	}
	return g.narrow(m.Wants), nil
}

// setHop sends a recipient to a raw next hop, as far as the grant leads.
func (i *instance) setHop(idx int, hop string) error {
	switch grant.Hop(i.stage.grant.NextHops, i.stage.wantedHops, hop) {
	case grant.Anywhere:
		return i.hook.SetRoute(idx, "", hop)
	case grant.Outside:
		return i.hook.SetOutsideHop(idx, hop)
	}
	return fmt.Errorf("next hop %q: %w; it is not among the granted next_hops", hop, abi.ErrDenied)
}

// checkImports refuses a module that imports host functions which it is not
// granted, when the operator wants that. SDKs import more than a plugin uses, so
// it is no error otherwise.
func (s *Stage) checkImports(strict bool) error {
	if beyond := s.host.imports.beyond(s.code.manifest.Imports, s.powers); strict && len(beyond) > 0 {
		return fmt.Errorf("it imports %s, and is not granted that; grant it, build the plugin without, or take strict_imports out", inWords(beyond))
	}
	return nil
}

// Denied says which host functions the module imports and is not granted, each
// call of which is denied, and the grant block that would open them; both are
// empty when there are none. A module with a manifest has said what it needs,
// and was granted that: what else its SDK imports does not matter.
func (s *Stage) Denied() (functions, grant string) {
	if s.code.manifest.Present {
		return "", ""
	}
	beyond := s.host.imports.beyond(s.code.manifest.Imports, s.powers)
	if len(beyond) == 0 {
		return "", ""
	}
	return inWords(beyond), blockFor(beyond)
}

// subscribe takes the phases that the first instance asked for, narrowed to
// those that the operator allows.
func (s *Stage) subscribe(phases, allowed mail.PhaseSet) error {
	if s.code.manifest.Kind == KindCommand {
		return s.subscribeCommand(allowed)
	}
	if extra := phases &^ abi.ServedPhases; extra != 0 {
		return fmt.Errorf("pr_init asks for phases by the bits %#x, which this host does not call; it calls %s", uint64(extra), servedPhases())
	}
	declared, err := s.code.manifest.phaseSet()
	if err != nil {
		return err
	}
	if extra := phases &^ declared; s.code.manifest.Present && extra != 0 {
		return fmt.Errorf("pr_init asks for the phases %s, which its manifest does not name; name them there", phaseNames(extra))
	}
	s.asked, s.wanted, s.phases = phases, phases, phases
	if allowed != 0 {
		s.phases &= allowed
	}
	if s.testing && s.phases&lasting != 0 && !s.limits.keeps() {
		s.limits.Isolation = IsolationMessage
	}
	return s.checkLasting()
}

// lasting are the phases that mean something only to an instance that outlives
// the call: it collects chunks, and is told to forget them.
var lasting = mail.Phases(mail.PhaseBody, mail.PhaseReset)

// checkLasting refuses those phases with an isolation that keeps nothing.
func (s *Stage) checkLasting() error {
	if extra := s.phases & lasting; extra != 0 && !s.limits.keeps() {
		return fmt.Errorf("it asks for %s, which are for an instance that lasts as long as the message, and its isolation is %q; "+
			"set isolation = %q or %q in its plugin block, or name phases there without them",
			phaseNames(extra), s.limits.Isolation, IsolationMessage, IsolationSession)
	}
	return nil
}

// Phases implements pipeline.Stage.
func (s *Stage) Phases() mail.PhaseSet { return s.phases }

// Asked returns the phases that its plugin wants to be called in, allowed or not.
func (s *Stage) Asked() mail.PhaseSet { return s.wanted }

// Name returns the stage's name in pipeline.hcl.
func (s *Stage) Name() string { return s.name }

// Run implements pipeline.Stage: one call of the guest. Its errors are *Fault,
// or ctx's own when ctx ended while it waited for an instance. The call itself
// is bounded by the stage's deadline, or ctx's when that is nearer.
func (s *Stage) Run(ctx context.Context, h *pipeline.Hook) (mail.Verdict, error) {
	limit, err := within(ctx, s.limits.deadline(h.Phase()))
	if err != nil {
		return mail.Continue, err
	}
	l := s.leaseOf(h)
	if l.idle(h) {
		return mail.Continue, nil
	}
	i, err := s.acquire(ctx, l, limit)
	if err != nil {
		s.observe(nil, h, 0, err)
		return mail.Continue, err
	}
	began := time.Now()
	v, err := i.run(h, limit)
	s.observe(i, h, time.Since(began), err)
	s.put(i, l, err)
	return v, err
}

// within returns the nearer of d and ctx's deadline.
func within(ctx context.Context, d time.Duration) (time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if at, ok := ctx.Deadline(); ok {
		return min(d, time.Until(at)), nil
	}
	return d, nil
}

// acquire returns the instance of lease l, or leases one, or makes one. l is nil
// when the instance is for one call.
func (s *Stage) acquire(ctx context.Context, l *lease, limit time.Duration) (*instance, error) {
	if l != nil {
		if i, err := l.begin(); i != nil || err != nil {
			return i, err
		}
	}
	i, err := s.pool.lease(ctx, limit)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, &Fault{Stage: s.name, Cause: CausePool, Detail: err.Error()}
	case i != nil:
		return i, nil
	}
	i, phases, err := s.start(ctx, limit)
	if err == nil && phases != s.asked {
		s.finish(i)
		err = &Fault{Stage: s.name, Cause: CauseError, Detail: "pr_init asks for other phases than the first time"}
	}
	if err != nil {
		s.pool.give(nil)
		return nil, err
	}
	return i, nil
}

// put ends a call on i that ended with err: i goes, or stays with its lease, or
// goes back to the pool.
func (s *Stage) put(i *instance, l *lease, err error) {
	switch {
	case err != nil:
		s.count(-1)
		i.drop()
		if l != nil {
			l.forget()
		}
		s.pool.give(nil)
	case l != nil && !i.watch.fired():
		l.keep(i)
	default:
		if l != nil {
			l.forget()
		}
		s.release(i)
	}
}

// release gives a leased instance back, or ends it when it should not be used
// again.
func (s *Stage) release(i *instance) {
	if s.limits.Isolation == IsolationFresh || i.worn() || i.image != nil && !i.restore() {
		s.finish(i)
		i = nil
	}
	s.pool.give(i)
}

// shed frees an idle instance and reports whether there was one.
func (s *Stage) shed() bool {
	i := s.pool.coldest()
	if i == nil {
		return false
	}
	s.count(-1)
	i.drop()
	return true
}

// start makes an instance, when the host has the memory for it within limit,
// and counts it. Who waits for the call waits for the start, too: it ends with
// ctx, at the latest after the deadline of a message.
func (s *Stage) start(ctx context.Context, limit time.Duration) (*instance, mail.PhaseSet, error) {
	if err := s.host.budget.wait(ctx, s.code.memory, limit); err != nil {
		return nil, 0, &Fault{Stage: s.name, Cause: CausePool, Detail: err.Error()}
	}
	left, err := within(ctx, s.limits.MessageDeadline)
	if err != nil {
		s.host.budget.give(s.code.memory)
		return nil, 0, err
	}
	i, phases, err := newInstance(s, left)
	if err != nil {
		return nil, 0, err
	}
	s.count(1)
	return i, phases, nil
}

// finish ends a working instance.
func (s *Stage) finish(i *instance) {
	s.count(-1)
	i.retire()
}

func (s *Stage) count(n int64) {
	s.live.Add(n)
	if !s.testing {
		s.host.count(s.name, int(n))
	}
}

// observe tells the observer of a call; i is nil when none was made.
func (s *Stage) observe(i *instance, h *pipeline.Hook, took time.Duration, err error) {
	o := s.host.o.Observer
	if o == nil || s.testing {
		return
	}
	c := Call{Stage: s.name, Phase: h.Phase(), Took: took}
	if i != nil {
		c.Fuel, c.Memory, c.HostCalls = i.meter.used(), int64(len(i.memory.buf)), i.used.hostCalls
	}
	if err != nil {
		c.Cause = faultCause(err)
	}
	o.PluginCall(c)
}

// faultCause returns the cause of the *Fault in err, "" without one.
func faultCause(err error) string {
	if f := (*Fault)(nil); errors.As(err, &f) {
		return f.Cause
	}
	return ""
}

// Close waits for the calls that run and frees every instance. Calls that come
// later fail with cause "pool".
func (s *Stage) Close() error {
	s.closing.Do(func() {
		for _, i := range s.pool.close() {
			s.finish(i)
		}
		s.host.budget.leave(s)
		s.host.release(s.code)
	})
	return nil
}
