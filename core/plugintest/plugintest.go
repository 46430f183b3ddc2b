// SPDX-License-Identifier: Apache-2.0

// Package plugintest runs a plugin in a `go test`, without a server: load a
// .wasm file with the configuration that pipeline.hcl would give it, feed it
// messages, and look at its verdicts and edits.
//
//	p := plugintest.Load(t, "greylist.wasm", plugintest.Setup{Config: `delay = "60s"`})
//	r := p.Run(plugintest.Message{From: "ann@example.org", To: []string{"bob@example.test"}})
//	if r.Verdict != mail.Tempfail { … }
//
// It is the relay's own engine with the same limits, journal and checks, on a
// clock that moves only when Advance is called. The plugin gets the grants that
// its manifest asks for, unless Setup.Plugin says otherwise. Stores are in
// memory.
package plugintest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/bucket"
	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/internal/kv"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/core/mail"
)

// Setup is the plugin's place in pipeline.hcl, as text in its language.
type Setup struct {
	Config string // what stands inside of the stage's config block
	Plugin string // what stands inside of the plugin block besides source: grant, limits
	Blocks string // other blocks: store, bucket, route; a store's engine should be "memory"
	JSON   []byte // the config as the guest reads it; replaces Config, and is not checked

	// What DNS, HTTP, secrets and stores know, as JSON: the members dns, http,
	// secrets, stores and buckets of a fixture (sdk/abi/fixture.schema.json).
	Services string

	serve *fixture.Fixture // what services know, nil for nothing
}

// Plugin is a loaded plugin with its configuration. It belongs to one test and
// is used by one goroutine.
type Plugin struct {
	t       testing.TB
	stage   *wasmhost.Stage
	runner  *fixture.Runner
	clock   *clock.Fake
	log     *log
	account account
}

// start is what the clock shows at first.
func start() time.Time { return time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC) }

// Load loads the module at path. Whatever is wrong with it, or with the setup,
// fails the test. The plugin is closed when the test ends.
func Load(t testing.TB, path string, setup Setup) *Plugin {
	t.Helper()
	p, err := TryLoad(t, path, setup)
	if err != nil {
		t.Fatalf("plugintest: %s: %v", path, err)
	}
	return p
}

// TryLoad is Load for tests of what must not load: it returns what is wrong.
func TryLoad(t testing.TB, path string, setup Setup) (*Plugin, error) {
	wasm, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := setup.read(); err != nil {
		return nil, err
	}
	name := stageName(path)
	c, err := parse(name, wasm, setup)
	if err != nil {
		return nil, err
	}
	p := &Plugin{t: t, clock: clock.NewFake(start()), log: &log{}}
	return p, p.start(name, wasm, setup, c)
}

// read reads Services.
func (s *Setup) read() error {
	if s.Services == "" {
		return nil
	}
	f := &fixture.Fixture{About: "services", Runs: []fixture.Message{}}
	d := json.NewDecoder(strings.NewReader(s.Services))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return fmt.Errorf("services: %w", err)
	}
	s.serve = f
	return nil
}

// stageName makes a name for blocks of the name of a file.
func stageName(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return regexp.MustCompile(`[^A-Za-z0-9_]`).ReplaceAllString(base, "_")
}

// parse reads the setup as part of a configuration.
func parse(name string, wasm []byte, setup Setup) (*config.Config, error) {
	block := ""
	if setup.JSON == nil {
		block = "config {\n" + setup.Config + "\n}"
	}
	text := fmt.Sprintf(`plugin "%[1]s" {
source = "builtin:%[1]s"
%[2]s
}
%[3]s
pipeline "test" {
stage "%[1]s" {
plugin = plugin.%[1]s
%[4]s
}
}
routing {
rule {
route = route.plugintest
}
}
route "plugintest" {
discard {}
}
`, name, setup.Plugin, setup.Blocks, block)
	return config.Parse("plugintest.hcl", []byte(text), config.Options{
		Manifest: func(config.Server, config.Plugin) (config.Manifest, error) { return manifest(wasm, setup) },
		Env:      setup.env,
	})
}

// env is the environment: the secrets that services know, and the process's.
func (s *Setup) env(name string) (string, bool) {
	if s.serve != nil {
		for secret, value := range s.serve.Secrets {
			if name == "POSTROAD_SECRET_"+strings.ToUpper(strings.ReplaceAll(secret, "-", "_")) {
				return value, true
			}
		}
	}
	return os.LookupEnv(name)
}

// manifest is what the configuration is checked against. With a config of JSON
// there is no block to check.
func manifest(wasm []byte, setup Setup) (config.Manifest, error) {
	m, err := wasmhost.ReadManifest(wasm)
	if err != nil {
		return config.Manifest{}, err
	}
	out := config.Manifest{Phases: m.Phases, Schema: m.Config, Wants: config.Grant(m.Wants)}
	if setup.JSON != nil {
		out.Schema = nil
	}
	return out, nil
}

// start makes the stage. Everything it makes is closed when the test ends.
func (p *Plugin) start(name string, wasm []byte, setup Setup, c *config.Config) error {
	ctx := context.Background()
	logger := hclog.New(&hclog.LoggerOptions{Name: name, Output: p.log, Level: hclog.Trace})
	host, err := wasmhost.New(ctx, wasmhost.Options{Logger: logger, Clock: p.clock, Observer: &p.account, Version: "test"})
	if err != nil {
		return err
	}
	p.t.Cleanup(func() { _ = host.Close(ctx) })
	m, err := host.Load(ctx, name, wasm)
	if err != nil {
		return err
	}
	o, err := p.options(c)
	if err != nil {
		return err
	}
	if setup.serve != nil {
		o.Serve(setup.serve, p.clock)
	}
	o.Name, o.Logger, o.Config = name, logger, setup.JSON
	if setup.JSON == nil {
		o.Config = c.Pipelines[0].Stages[0].Config
	}
	if p.stage, err = m.NewStage(ctx, o); err != nil {
		return err
	}
	p.runner = fixture.NewRunner(p.stage, name, p.clock.Now, p.account.note)
	p.t.Cleanup(func() {
		p.runner.Close()
		_ = p.stage.Close()
	})
	return nil
}

// options turns the configuration into those of the stage.
func (p *Plugin) options(c *config.Config) (wasmhost.StageOptions, error) {
	l := c.Plugins[0].Limits
	o := wasmhost.StageOptions{
		Grant: wasmhost.Grant(c.Plugins[0].Grant), Mode: c.Plugins[0].Mode, Strict: c.Plugins[0].Strict, Secrets: c.Plugins[0].Secrets,
		Limits: wasmhost.Limits{
			Memory: l.Memory, Deadline: l.Deadline, MessageDeadline: l.MessageDeadline, Fuel: l.Fuel, MessageFuel: l.MessageFuel,
			Depth: l.Depth, Instances: l.Instances, Isolation: l.Isolation,
		},
		Stores: map[string]wasmhost.Store{}, Buckets: map[string]wasmhost.Bucket{},
	}
	for _, name := range c.Plugins[0].Phases {
		phase, _ := mail.PhaseByName(name) // checked
		o.Phases |= mail.Phases(phase)
	}
	stores := kv.NewStores(kv.Config{Clock: p.clock})
	p.t.Cleanup(stores.Close)
	for _, s := range c.Stores {
		st, err := stores.Open(kv.Options{Name: s.Name, Engine: "memory", TTL: s.TTL})
		if err != nil {
			return o, err
		}
		o.Stores[s.Name] = st
	}
	for _, b := range c.Buckets {
		o.Buckets[b.Name] = bucket.New(bucket.Options{Rate: b.Rate, Per: b.Per, Burst: b.Burst, Clock: p.clock})
	}
	return o, nil
}

// Advance moves the plugin's clock.
func (p *Plugin) Advance(d time.Duration) { p.clock.Advance(d) }

// Log returns what the plugin and the host have logged so far, as text.
func (p *Plugin) Log() string { return p.log.String() }

// NewSession begins a new connection: notes of scope session are forgotten.
func (p *Plugin) NewSession() { p.runner.NewSession() }
