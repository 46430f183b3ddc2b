// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/auth/kerberos"
	"github.com/postroad-mail/postroad/core/internal/auth/oidc"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/recipients"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// generation is one loaded configuration with everything built from it. A
// reload builds a new one whole and swaps it in; transactions that began with
// the old one end with it, and the last of them closes it.
type generation struct {
	config      *config.Config
	routing     *routing
	listeners   map[string]*config.Listener
	chains      map[string]*chain        // by pipeline
	rollouts    map[string]*rollout      // of the stages with a candidate, by stageKey
	breakers    map[string]bool          // names of those in use
	captures    map[string]*capturing    // by pipeline, of those that capture
	code        []PluginCode             // of the plugins that are WebAssembly
	asked       map[string]mail.PhaseSet // by plugin: what its stages want to be called in
	faults      config.Diagnostics       // of what has been built so far
	warnings    config.Diagnostics
	closers     []func() error                       // stages, then modules
	directories map[string]any                       // by users block
	rates       map[string]rates                     // by listener
	quotas      map[string]quotas                    // by listener
	recipients  map[*config.Rule]*recipients.Checker // of the rules that know theirs
	live        []func()                             // what is to be done when it goes live

	mu     sync.Mutex
	users  int
	retire bool
	closed chan struct{}
}

// parts are what generations share: they live as long as the relay.
type parts struct {
	host     *wasmhost.Host
	store    func(*config.Store) wasmhost.Store
	buckets  *bucketSet
	rollouts *rollouts          // nil: candidates do what pipeline.hcl says
	breakers *pipeline.Breakers // by stage and code
	compared func(x *pipeline.Comparison, result string, differences []string)
	poison   *pipeline.Poison // nil: a message may fail for ever
	broken   func(stage string, open bool)
	clock    Clock
	newBody  func() pipeline.BodyWriter
	dns      wasmhost.Resolver
	http     wasmhost.HTTPClient
	metrics  wasmhost.Metrics
	observer pipeline.Observer
	captures *captureSet // nil: nothing is captured
	replays  *kerberos.Replays
	issuers  *oidc.Known
	dry      bool // for a replay
	log      hclog.Logger
}

// build makes a generation. What it had opened before an error is closed.
func build(ctx context.Context, c *config.Config, src *loading, p parts) (_ *generation, err error) {
	g := &generation{
		config: c, routing: newRouting(c), listeners: map[string]*config.Listener{}, rates: map[string]rates{}, quotas: map[string]quotas{},
		chains: map[string]*chain{}, rollouts: map[string]*rollout{}, captures: map[string]*capturing{}, breakers: map[string]bool{}, asked: map[string]mail.PhaseSet{}, closed: make(chan struct{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.close())
		}
	}()
	for i := range c.Listeners {
		g.listeners[c.Listeners[i].Name] = &c.Listeners[i]
		g.rates[c.Listeners[i].Name] = g.openRates(&c.Listeners[i], p)
		g.quotas[c.Listeners[i].Name] = g.openQuotas(&c.Listeners[i], p)
	}
	g.openDirectories(p)
	g.openRecipients(p)
	modules, err := g.loadModules(ctx, src, p.host)
	if err != nil {
		return nil, err
	}
	for i := range c.Pipelines {
		if err := g.addPipeline(ctx, &c.Pipelines[i], modules, src, p); err != nil {
			return nil, err
		}
	}
	if len(g.faults) > 0 {
		return nil, g.faults
	}
	return g, nil
}

func (g *generation) loadModules(ctx context.Context, src *loading, host *wasmhost.Host) (map[string]*wasmhost.Module, error) {
	modules := map[string]*wasmhost.Module{}
	for i := range g.config.Plugins {
		p := &g.config.Plugins[i]
		if _, native := src.native(p); native {
			continue
		}
		code, err := src.read(ctx, g.config.Server.DataDir, p)
		if err == nil {
			modules[p.Name], err = host.Load(ctx, p.Name, code.Wasm)
		}
		if err != nil {
			g.fault(p.Pos, fmt.Sprintf("plugin %q", p.Name), err)
			continue
		}
		g.code = append(g.code, pluginCode(p, code))
		g.closers = append(g.closers, modules[p.Name].Close)
	}
	if len(g.faults) > 0 {
		return nil, g.faults
	}
	return modules, nil
}

func (g *generation) addPipeline(ctx context.Context, c *config.Pipeline, modules map[string]*wasmhost.Module, src *loading, p parts) error {
	var err error
	if g.captures[c.Name], err = p.captures.get(c); err != nil {
		return err
	}
	o := pipeline.Options{
		Name: c.Name, Dry: p.dry, NewBody: p.newBody, MaxBody: g.maxBody(c.Name), MaxHeader: g.maxHeader(c.Name), Observer: p.observer,
		Comparer: comparer{g.rollouts, p.clock, p.compared}, Poison: p.poison, Now: p.clock.Now, OnBreaker: p.broken,
	}
	steps := make([]chainStep, len(c.Stages))
	for i := range c.Stages {
		g.place(ctx, &steps[i], c.Name, &c.Stages[i], modules, src, p)
	}
	if len(g.faults) > 0 {
		return nil // other pipelines may have faults, too
	}
	g.chains[c.Name] = newChain(o, steps)
	return nil
}

// pipeline returns a pipeline as it runs now, nil when there is none.
func (g *generation) pipeline(name string) *pipeline.Pipeline {
	if c := g.chains[name]; c != nil {
		return c.pipeline()
	}
	return nil
}

// place makes one stage of a pipeline and its candidate.
func (g *generation) place(ctx context.Context, at *chainStep, in string, c *config.Stage, modules map[string]*wasmhost.Module, src *loading, p parts) {
	s := &at.step
	s.Name, s.OnError, s.Always = c.Name, pipeline.OnError(c.OnError), c.Always
	if c.When != nil {
		s.When = c.When
	}
	var err error
	what := fmt.Sprintf("stage %q", c.Name)
	if s.Stage, s.Code, err = g.stage(ctx, stageOf{c.Name, c.Plugin, c.Config}, modules, src, p); err != nil {
		g.fault(c.Pos, fmt.Sprintf("%s, plugin %q", what, c.Plugin), err)
		return
	}
	if err := g.config.Called(in, c.Plugin, s.Stage.Phases(), c.When); err != nil {
		g.fault(c.Pos, what, err)
		return
	}
	g.suspect(c.Pos, what, in, c.Plugin, s.Stage)
	key := stageKey(in, c.Name)
	s.Breaker = g.breaker(key, s.Code, c.Breaker, p)
	if c.Candidate == nil {
		return
	}
	if s.Candidate, err = g.candidate(ctx, c, modules, src, p); err == nil {
		err = g.config.Called(in, c.Candidate.Plugin, s.Candidate.Stage.Phases(), c.When, c.Candidate.When)
	}
	what = fmt.Sprintf("candidate of stage %q", c.Name)
	if err != nil {
		g.fault(c.Candidate.Pos, fmt.Sprintf("%s, plugin %q", what, c.Candidate.Plugin), err)
		return
	}
	g.suspect(c.Candidate.Pos, what, in, c.Candidate.Plugin, s.Candidate.Stage)
	at.rollout = p.rollouts.of(key, c)
	at.promoted = g.breaker(key, s.Candidate.Code, c.Breaker, p)
	g.rollouts[key] = at.rollout
}

// fault notes that a block cannot be used. The first line of the error is what is
// wrong; others are the remedy.
func (g *generation) fault(at config.Pos, what string, err error) {
	summary, detail, _ := strings.Cut(strings.TrimRight(err.Error(), "\n"), "\n")
	g.faults = append(g.faults, at.Fault(what+": "+summary, detail))
}

// suspect warns of a stage that is never called, and of calls that a plugin may
// want to make and is not granted.
func (g *generation) suspect(at config.Pos, what, in, name string, s pipeline.Stage) {
	asked := s.Phases()
	if w, ok := s.(*wasmhost.Stage); ok {
		asked = w.Asked()
		g.denied(name, w)
	}
	g.asked[name] |= asked
	if summary, remedy := g.config.Idle(in, name, asked, s.Phases()); summary != "" {
		g.warnings = append(g.warnings, at.Warning(what+" "+summary, remedy))
	}
}

// suspicions are all warnings about the configuration, in the order of its text.
func (g *generation) suspicions() config.Diagnostics {
	all := slices.Concat(g.config.Warnings, g.warnings)
	slices.SortStableFunc(all, func(a, b config.Diagnostic) int { return cmp.Compare(a.Line, b.Line) })
	return all
}

// warn tells the log of them.
func (g *generation) warn(log hclog.Logger) {
	for _, w := range g.suspicions() {
		log.Warn("configuration is suspicious", "file", w.File, "line", w.Line, "warning", w.Summary, "remedy", strings.Join(strings.Fields(w.Detail), " "))
	}
}

// denied warns once of each plugin that imports what it is not granted.
func (g *generation) denied(name string, s *wasmhost.Stage) {
	if _, seen := g.asked[name]; seen {
		return
	}
	if functions, grant := s.Denied(); functions != "" {
		g.warnings = append(g.warnings, g.plugin(name).Pos.Warning(
			fmt.Sprintf("plugin %q imports %s, which it is not granted; calls will be denied", name, functions),
			"if it makes them and you trust it with that, write into its block\n"+grant))
	}
}

func (g *generation) candidate(ctx context.Context, c *config.Stage, modules map[string]*wasmhost.Module, src *loading, p parts) (*pipeline.Candidate, error) {
	n := c.Candidate
	out := &pipeline.Candidate{Mode: pipeline.Mode(n.Mode), Share: n.Share}
	if n.When != nil {
		out.When = n.When
	}
	var err error
	out.Stage, out.Code, err = g.stage(ctx, stageOf{c.Name, n.Plugin, n.Config}, modules, src, p)
	return out, err
}

// breaker returns the breaker of a stage and the code that it runs. It outlives
// generations.
func (g *generation) breaker(key, code string, o config.Breaker, p parts) *pipeline.Breaker {
	if p.breakers == nil {
		return nil
	}
	name := key + " " + code
	g.breakers[name] = true
	options := pipeline.BreakerOptions{Failures: o.Failures, Probe: o.Probe}
	b := p.breakers.Get(name, options)
	g.live = append(g.live, func() { b.Configure(options) })
	return b
}

// goesLive has what outlives generations do as this one says. Before, it serves
// the one that is live, which may stay so.
func (g *generation) goesLive() {
	for _, f := range g.live {
		f()
	}
	g.live = nil
}

// feeds reports whether mail of a listener may come to a pipeline: its own, and
// those of routes.
func (g *generation) feeds(l *config.Listener, name string) bool {
	return l.Pipeline == name || slices.ContainsFunc(g.config.Routes, func(r config.Route) bool { return r.Pipeline == name })
}

// maxBody returns the largest message that a listener of the pipeline takes.
func (g *generation) maxBody(name string) int64 {
	var most int64
	for _, l := range g.listeners {
		if g.feeds(l, name) {
			most = max(most, l.Limits.MessageSize)
		}
	}
	return most
}

// roomForStages is what stages may add to a header section of any size that a
// listener takes, in octets.
const roomForStages = 128 << 10

// maxHeader returns how large a header section may grow in the pipeline.
func (g *generation) maxHeader(name string) int64 {
	var most int64
	for _, l := range g.listeners {
		if g.feeds(l, name) {
			most = max(most, int64(l.Limits.HeaderSize))
		}
	}
	return most + roomForStages
}

// stageOf is what a stage is made of: its name, and plugin and config of itself
// or of its candidate.
type stageOf struct {
	name, plugin string
	config       []byte
}

// stage makes a stage, and says which code it runs.
func (g *generation) stage(ctx context.Context, c stageOf, modules map[string]*wasmhost.Module, src *loading, p parts) (pipeline.Stage, string, error) {
	plugin := g.plugin(c.plugin)
	if plugin == nil {
		return nil, "", fmt.Errorf("no plugin %q", c.plugin)
	}
	if newStage, ok := src.native(plugin); ok {
		s, err := src.newNative(plugin, newStage, c.config)
		return s, plugin.Source, err
	}
	s, err := modules[plugin.Name].NewStage(ctx, g.stageOptions(c, plugin, p))
	if err != nil {
		return nil, "", err
	}
	g.closers = append([]func() error{s.Close}, g.closers...)
	return s, "sha256:" + modules[plugin.Name].SHA256(), nil
}

// phases returns the set of the phases that the configuration names; none means
// all that the plugin wants.
func phases(names []string) mail.PhaseSet {
	var set mail.PhaseSet
	for _, name := range names {
		if p, ok := mail.PhaseByName(name); ok {
			set |= mail.Phases(p)
		}
	}
	return set
}

func (g *generation) stageOptions(c stageOf, plugin *config.Plugin, p parts) wasmhost.StageOptions {
	o := wasmhost.StageOptions{
		Name: c.name, Config: c.config, Phases: phases(plugin.Phases), Logger: p.log.Named("stage").With("stage", c.name, "plugin", plugin.Name),
		Grant: wasmhost.Grant(plugin.Grant), Secrets: plugin.Secrets, Mode: plugin.Mode, Strict: plugin.Strict,
		DNS: p.dns, HTTP: p.http, Metrics: p.metrics,
		Limits: wasmhost.Limits{Memory: plugin.Limits.Memory, Deadline: plugin.Limits.Deadline,
			MessageDeadline: plugin.Limits.MessageDeadline, Fuel: plugin.Limits.Fuel, MessageFuel: plugin.Limits.MessageFuel,
			Depth: plugin.Limits.Depth, Instances: plugin.Limits.Instances, Isolation: plugin.Limits.Isolation},
		Stores: map[string]wasmhost.Store{}, Buckets: map[string]wasmhost.Bucket{},
	}
	if plugin.Grant.Emit {
		o.Emit = p.buckets.emitted(plugin, &g.live)
	}
	for i := range g.config.Stores {
		s := &g.config.Stores[i]
		o.Stores[s.Name] = p.store(s)
	}
	for i := range g.config.Buckets {
		b := &g.config.Buckets[i]
		o.Buckets[b.Name] = p.buckets.get(b, &g.live)
	}
	return o
}

func (g *generation) plugin(name string) *config.Plugin {
	for i := range g.config.Plugins {
		if g.config.Plugins[i].Name == name {
			return &g.config.Plugins[i]
		}
	}
	return nil
}

// use counts a transaction in; false when the generation has been closed.
func (g *generation) use() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.retire && g.users == 0 {
		return false
	}
	g.users++
	return true
}

// done counts a transaction out and closes a retired generation behind the last.
func (g *generation) done() {
	g.mu.Lock()
	g.users--
	last := g.retire && g.users == 0
	g.mu.Unlock()
	if last {
		g.close()
	}
}

// end retires the generation: it is closed as soon as nobody uses it.
func (g *generation) end() {
	g.mu.Lock()
	first := !g.retire
	g.retire = true
	last := first && g.users == 0
	g.mu.Unlock()
	if last {
		g.close()
	}
}

// close closes stages, then modules.
func (g *generation) close() error {
	var errs []error
	for _, f := range g.closers {
		errs = append(errs, f())
	}
	g.closers = nil
	close(g.closed)
	return errors.Join(errs...)
}
