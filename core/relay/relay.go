// SPDX-License-Identifier: Apache-2.0

// Package relay is Postroad as a library: whatever `postroad run` does, a
// program that imports this package can do.
//
//	r, err := relay.Open(ctx, relay.Options{ConfigFile: "pipeline.hcl"})
//	if err != nil { … }
//	err = r.Run(ctx) // until ctx is done; then it drains
//
// One envelope takes one straight line: a listener's session, the stages of its
// pipeline, one synced batch in the queue, the 250, delivery, and the settling
// of each recipient. This package puts the rooms together that do that, and
// holds what they share; it decides nothing of its own but who may relay, which
// route a recipient goes by, and what a reload may change.
package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/auth/guard"
	"github.com/postroad-mail/postroad/core/internal/auth/kerberos"
	"github.com/postroad-mail/postroad/core/internal/auth/oidc"
	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/outhttp"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/tlsconf"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
)

// Errors by kind. What Open, Check, Reload and Run return holds one of them
// where it is known whose fault it is.
var (
	ErrConfig      = errors.New("configuration")       // the configuration or a plugin is not valid
	ErrUnavailable = errors.New("unavailable")         // a port or the data directory is taken
	ErrDisk        = errors.New("the disk has failed") // nothing can be made durable
)

// kinded is an error with its kind, which its text leaves out.
type kinded struct{ kind, err error }

func (k *kinded) Error() string   { return k.err.Error() }
func (k *kinded) Unwrap() []error { return []error{k.kind, k.err} }

// unavailable is the kind of err where it has none yet.
func unavailable(err error) error {
	if errors.Is(err, ErrConfig) {
		return err
	}
	return &kinded{ErrUnavailable, err}
}

// Options are what a relay is made of. ConfigFile or Config must be set.
type Options struct {
	ConfigFile string                           // path of pipeline.hcl; with Config the name that diagnostics use
	Config     []byte                           // the text itself; relative paths then start at ConfigFile's folder
	Env        func(name string) (string, bool) // nil: the process's environment

	// Stages are stages written in Go, by the NAME of "native:NAME".
	Stages map[string]NewStage

	InMemory  bool         // keep queue and stores in memory: for tests, they die with the relay
	DataDir   string       // instead of server.data_dir
	Clock     Clock        // nil: the system's
	Resolver  Resolver     // nil: DNS as pipeline.hcl says
	Logger    hclog.Logger // nil: by server.log_format and log_level, to LogOutput
	LogOutput io.Writer    // nil: os.Stderr

	// Sockets are those that the process was started with, by the NAME of
	// "systemd:NAME" addresses. The relay listens on copies and closes none of them.
	Sockets map[string][]*os.File

	// Dial opens connections to next hops; nil: net.Dialer. It chooses where they
	// leave from, whatever sources a route has.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	disk func(*store.Options) // tests break disks with it
}

// Relay is one running relay. It is safe for use by many goroutines.
type Relay struct {
	o        Options
	log      hclog.Logger
	clock    Clock
	src      *sources
	host     *wasmhost.Host
	buckets  *bucketSet
	rollouts *rollouts
	breakers pipeline.Breakers
	poison   *pipeline.Poison
	dns      Resolver
	outside  *outhttp.Client // HTTP requests of plugins
	captures *captureSet
	metrics  *admin.Metrics
	noStages *pipeline.Pipeline // of listeners without a pipeline
	readers  *sync.Pool
	started  time.Time
	guard    *guard.Guard // of logins
	authKey  []byte       // see authKey
	acmeMu   sync.Mutex
	acmes    map[config.ACME]*tlsconf.ACME // by what their blocks say
	replays  *kerberos.Replays             // of all generations
	issuers  *oidc.Known                   // likewise

	gen      atomic.Pointer[generation]
	engine   atomic.Pointer[engine]
	ticks    atomic.Pointer[ticker] // nil: the relay does not run
	loadMu   sync.Mutex             // one reload at a time; taken before reloadMu
	reloadMu sync.Mutex             // one change at a time, and none while it stops
	doors    map[string]*listening
	services services
	watchdog watchdog
	stopped  bool

	ending   context.Context // ends when the relay is told to stop: loads are given up
	endLoads context.CancelFunc

	stopping context.Context // ends when the relay has no time left: old servers stop draining
	hurry    context.CancelFunc
	draining sync.WaitGroup // servers of old configurations
}

// Open loads the configuration and its plugins, opens the data directory and
// binds the listeners, but serves nobody before Run. Every fault of the
// configuration is reported at once. Close or Run must follow.
func Open(ctx context.Context, o Options) (_ *Relay, err error) {
	r := &Relay{o: o, src: &sources{stages: o.Stages, nothingKept: o.InMemory}, clock: o.Clock, metrics: admin.NewMetrics(), readers: sharedReaders(),
		doors: map[string]*listening{}, started: time.Now()}
	if r.clock == nil {
		r.clock = clock.System{}
	}
	r.watchdog.r = r
	r.poison, r.acmes = pipeline.NewPoison(), map[config.ACME]*tlsconf.ACME{}
	r.stopping, r.hurry = context.WithCancel(context.Background())
	r.ending, r.endLoads = context.WithCancel(context.Background())
	code := r.src.begin()
	c, err := r.load(ctx, code)
	if err != nil {
		return nil, err
	}
	r.log = newLogger(o, c)
	r.buckets = newBucketSet(r.clock, r.log)
	r.noStages = pipeline.New(pipeline.Options{Name: "none"})
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.dns, err = r.resolver(c); err != nil {
		return nil, err
	}
	r.outside = newOutside(r.dns, r.log)
	e, err := r.openEngine(c)
	if err != nil {
		return nil, err
	}
	r.engine.Store(e)
	r.replays, r.issuers = kerberos.NewReplays(), oidc.NewKnown()
	r.guard, r.authKey = guard.New(failedLogins, r.clock.Now), newAuthKey()
	if !o.InMemory {
		if r.authKey, err = authKey(c.Server.DataDir); err != nil {
			return nil, unavailable(err)
		}
		r.captures = newCaptureSet(captureDir(c.Server.DataDir), r.clock, r.log.Named("capture"))
	}
	if r.host, err = wasmhost.New(ctx, wasmhost.Options{CacheDir: r.cacheDir(c), Logger: r.log.Named("plugin"), Clock: r.clock, Observer: stageObserver{r}, MaxMemory: c.Server.PluginMemory}); err != nil {
		return nil, err
	}
	if r.rollouts, err = openRollouts(r.overridesFile(c), r.clock, r.log.Named("stage")); err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	g, err := build(ctx, c, code, r.parts())
	if err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	r.gen.Store(g)
	g.warn(r.log)
	code.end(g, r.log)
	if err := r.bind(c); err != nil {
		return nil, unavailable(err)
	}
	g.goesLive()
	r.rollouts.adopt(g.rollouts, c)
	r.captures.adopt(c)
	return r, nil
}

// load reads and checks the configuration, and the code of its plugins.
func (r *Relay) load(ctx context.Context, code *loading) (*config.Config, error) {
	c, err := loadConfig(r.o, func(s config.Server, p config.Plugin) (config.Manifest, error) { return code.manifest(ctx, s, p) })
	if err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	return c, nil
}

// loadConfig reads the configuration; without manifest, no plugin is looked at.
func loadConfig(o Options, manifest func(config.Server, config.Plugin) (config.Manifest, error)) (*config.Config, error) {
	co := config.Options{Env: o.Env, Manifest: manifest, DataDir: o.DataDir}
	if o.Config != nil {
		return config.Parse(configName(o), o.Config, co)
	}
	return config.Load(o.ConfigFile, co)
}

// configName is what diagnostics call a configuration that is a text.
func configName(o Options) string { return cmp.Or(o.ConfigFile, "pipeline.hcl") }

func newLogger(o Options, c *config.Config) hclog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	out := o.LogOutput
	if out == nil {
		out = os.Stderr
	}
	return hclog.New(&hclog.LoggerOptions{Name: "postroad", Output: out, JSONFormat: c.Server.LogFormat == "json", Level: hclog.LevelFromString(c.Server.LogLevel)})
}

func (r *Relay) parts() parts {
	return parts{
		host: r.host, store: r.liveStore, buckets: r.buckets, rollouts: r.rollouts, log: r.log, observer: stageObserver{r},
		breakers: &r.breakers, poison: r.poison, broken: stageObserver{r}.broken, compared: stageObserver{r}.compared, clock: r.clock,
		newBody: r.newBody, captures: r.captures, replays: r.replays, issuers: r.issuers,
		dns: stageDNS(r.dns), http: stageHTTP{r.outside, r.log.Named("http")}, metrics: r.metrics,
	}
}

// acquire returns the live generation, counted in.
func (r *Relay) acquire() *generation {
	for {
		if g := r.gen.Load(); g.use() {
			return g
		}
	}
}

// newID returns a new message id: 26 characters that sort by time.
func (r *Relay) newID() string {
	return ulid.MustNew(ulid.Timestamp(r.clock.Now()), rand.Reader).String()
}

// errReopening is what needs the data directory while there is none.
var errReopening = errors.New("the data directory is being reopened")

// live returns the engine, or errReopening. It looks once: who looked twice
// could find no engine and then no reason, and take that for success.
func (r *Relay) live() (*engine, error) {
	if e := r.engine.Load(); e != nil {
		return e, nil
	}
	return nil, errReopening
}

// Healthy returns nil while mail is taken and delivered, else why not.
func (r *Relay) Healthy() error {
	e, err := r.live()
	if err != nil {
		return err
	}
	return e.store.Healthy()
}

// room returns nil when a message of that many octets can be taken now; else
// the error holds the reply where it is not a fault.
func (r *Relay) room(octets int64) error {
	e := r.engine.Load()
	if e == nil {
		return r.Healthy()
	}
	if err := e.store.Healthy(); err != nil {
		return err
	}
	return e.store.Room(octets)
}

// Idle waits until the queue was read, nothing is due at the clock's now, no attempt
// is under way and no stage is called in phase tick. It is for tests, with a FakeClock.
func (r *Relay) Idle(ctx context.Context) error {
	if t := r.ticks.Load(); t != nil {
		if err := t.wait(ctx); err != nil {
			return err
		}
	}
	e, err := r.live()
	if err != nil {
		return err
	}
	if err := e.queue.Whole(ctx); err != nil {
		return err
	}
	return e.sched.Idle(ctx)
}

// Addr returns the first address that a listener of pipeline.hcl is bound to, nil
// when there is no such listener.
func (r *Relay) Addr(listener string) net.Addr {
	r.reloadMu.Lock()
	defer r.reloadMu.Unlock()
	if d := r.doors[listener]; d != nil {
		return d.addr()
	}
	return nil
}

// DataDir returns the absolute path of the data directory.
func (r *Relay) DataDir() string { return r.gen.Load().config.Server.DataDir }

// Version returns the version of the module that this program was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if strings.HasPrefix(info.Main.Path, "github.com/postroad-mail/postroad") {
		return versionOf(info.Main.Version)
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/postroad-mail/postroad" {
			return versionOf(d.Version)
		}
	}
	return "unknown"
}

func versionOf(v string) string {
	if v == "" || v == "(devel)" {
		return "development"
	}
	return v
}

// DataDir returns the data directory that a configuration names, without
// opening it or loading a plugin. Other faults of the configuration do not
// matter.
func DataDir(o Options) (string, error) {
	co := config.Options{Env: o.Env, DataDir: o.DataDir}
	read := func() (string, error) { return config.LoadDataDir(o.ConfigFile, co) }
	if o.Config != nil {
		read = func() (string, error) { return config.ParseDataDir(configName(o), o.Config, co) }
	}
	dir, err := read()
	if err != nil {
		return "", &kinded{ErrConfig, err}
	}
	return dir, nil
}

// Checked is what Check found.
type Checked struct {
	Summary  string   // one line: how many listeners, stages and routes
	Text     string   // the configuration with all defaults and grants
	Warnings []string // suspicious, but no fault

	// Overrides are what an operator decided about candidates while the relay of
	// this data directory ran, a sentence each. It is not part of Text.
	Overrides []string
	Plugins   []PluginCode
}

// Check loads a configuration and starts one instance of each stage, as Open
// does, but opens no data directory and no port. Modules of registries are those
// that a relay has kept in the data directory, where there are such; others are
// pulled and not kept.
func Check(ctx context.Context, o Options) (*Checked, error) {
	r := &Relay{o: o, src: &sources{stages: o.Stages, nothingKept: o.InMemory, readOnly: true}, clock: clock.System{}, log: hclog.NewNullLogger(), metrics: admin.NewMetrics()}
	r.buckets = newBucketSet(r.clock, r.log)
	code := r.src.begin()
	c, err := r.load(ctx, code)
	if err != nil {
		return nil, err
	}
	if r.host, err = wasmhost.New(ctx, wasmhost.Options{Logger: r.log, Clock: r.clock, MaxMemory: c.Server.PluginMemory}); err != nil {
		return nil, err
	}
	if r.rollouts, err = openRollouts(r.overridesFile(c), r.clock, r.log); err != nil {
		return nil, &kinded{ErrConfig, errors.Join(err, r.host.Close(ctx))}
	}
	g, err := build(ctx, c, code, r.parts())
	if err == nil {
		err = g.close()
	}
	if err = errors.Join(err, r.host.Close(ctx)); err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	for plugin, phases := range g.asked {
		c.AskedFor(plugin, phases)
	}
	res := &Checked{Summary: summary(c), Text: config.Dump(c), Plugins: g.code, Overrides: r.rollouts.decided.notes(c)}
	for _, w := range g.suspicions() {
		res.Warnings = append(res.Warnings, w.String())
	}
	return res, nil
}

func summary(c *config.Config) string {
	stages := 0
	for _, p := range c.Pipelines {
		stages += len(p.Stages)
	}
	return strings.Join([]string{count(len(c.Listeners), "listener"), count(len(c.Pipelines), "pipeline"), count(stages, "stage"), count(len(c.Routes), "route")}, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
