// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/source"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/plugins"
)

// sources are where the code of stages comes from.
type sources struct {
	stages map[string]NewStage

	nothingKept bool // what registries send is not kept
	readOnly    bool // what was kept before is used, and nothing else is kept
}

// native returns the constructor of a plugin whose source is "native:NAME".
func (s *sources) native(p *config.Plugin) (NewStage, bool) {
	name, ok := strings.CutPrefix(p.Source, "native:")
	return s.stages[name], ok
}

func (s *sources) newNative(p *config.Plugin, newStage NewStage, conf []byte) (*nativeStage, error) {
	if newStage == nil {
		return nil, fmt.Errorf("no Go stage is registered for source %q; this program must pass it in relay.Options.Stages", p.Source)
	}
	if len(conf) == 0 {
		conf = []byte("{}")
	}
	stage, err := newStage(conf)
	if err != nil {
		return nil, err
	}
	return newNativeStage(stage), nil
}

// loading is one load of a configuration. It reads each source once, so that the
// code that runs is the code that the configuration was checked against. One
// goroutine uses it.
type loading struct {
	*sources
	from *source.Sources // nil before the first read
	done map[source.Request]*source.Code
}

// begin begins a load.
func (s *sources) begin() *loading {
	return &loading{sources: s, done: map[source.Request]*source.Code{}}
}

// read returns the code of a plugin that is WebAssembly, with its checks passed.
// A registry may be asked for it.
func (l *loading) read(ctx context.Context, dataDir string, p *config.Plugin) (*source.Code, error) {
	r := source.Request{Source: p.Source, Path: p.Path, SHA256: p.SHA256, PublicKey: p.PublicKey, Signature: p.Signature}
	if c := l.done[r]; c != nil {
		return c, nil
	}
	if l.from == nil {
		l.from = source.New(l.options(dataDir))
	}
	c, err := l.from.Read(ctx, r)
	if err == nil {
		l.done[r] = c
	}
	return c, err
}

func (l *loading) options(dataDir string) source.Options {
	o := source.Options{Builtin: plugins.Builtin, Names: plugins.Names, ReadOnly: l.readOnly}
	if !l.nothingKept {
		o.Cache = filepath.Join(dataDir, "modules")
	}
	return o
}

// manifest is what config asks of a plugin's module.
func (l *loading) manifest(ctx context.Context, server config.Server, p config.Plugin) (config.Manifest, error) {
	code, err := l.read(ctx, server.DataDir, &p)
	if err != nil {
		return config.Manifest{}, err
	}
	m, err := wasmhost.ReadManifest(code.Wasm)
	if err != nil {
		return config.Manifest{}, err
	}
	return config.Manifest{Phases: m.Phases, Schema: m.Config, Wants: config.Grant(m.Wants)}, nil
}

// end ends a load whose code is live: it says where the code came from, and
// makes room where modules of registries are kept.
func (l *loading) end(g *generation, log hclog.Logger) {
	for _, c := range g.code {
		c.log(log)
	}
	var used []*source.Code
	for r, c := range l.done {
		used = append(used, c)
		if c.Warning != nil {
			log.Warn("a plugin's code is not kept", "source", r.Source, "error", c.Warning)
		}
	}
	if l.from == nil {
		return
	}
	if err := l.from.Trim(used...); err != nil {
		log.Warn("modules that are used no more cannot be removed", "error", err)
	}
}

// PluginCode says where the code of a plugin came from and what vouches for it.
type PluginCode struct {
	Plugin  string `json:"plugin"`            // its name in the configuration
	Source  string `json:"source"`            // as it was written
	From    string `json:"from"`              // "builtin", "file", "registry" or "cache"
	SHA256  string `json:"sha256"`            // of the module, in hex
	Signer  string `json:"signer,omitempty"`  // id of the minisign key whose signature was checked; empty: none was asked for
	Comment string `json:"comment,omitempty"` // the trusted comment of that signature
}

func pluginCode(p *config.Plugin, c *source.Code) PluginCode {
	return PluginCode{p.Name, p.Source, c.From, c.Verified.SHA256, c.Verified.KeyID, c.Verified.Comment}
}

// String says it in one line.
func (c PluginCode) String() string {
	s := fmt.Sprintf("plugin %q: %s (from: %s), sha256 %s", c.Plugin, c.Source, c.From, c.SHA256)
	if c.Signer != "" {
		s += fmt.Sprintf(", signed by key %s: %s", c.Signer, c.Comment)
	}
	return s
}

// log tells of the code, aloud when it came from elsewhere or is signed.
func (c PluginCode) log(log hclog.Logger) {
	say := log.Debug
	if c.Signer != "" || strings.HasPrefix(c.Source, "oci:") {
		say = log.Info
	}
	args := []any{"plugin", c.Plugin, "source", c.Source, "from", c.From, "sha256", c.SHA256}
	if c.Signer != "" {
		args = append(args, "signer", c.Signer, "comment", c.Comment)
	}
	say("plugin loaded", args...)
}
