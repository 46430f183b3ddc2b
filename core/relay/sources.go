// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/wasmhost"
	"github.com/postroad-mail/postroad/plugins"
)

// sources are where the code of stages comes from.
type sources struct {
	stages map[string]NewStage
}

// maxModule is the size of the largest module file that is read, in octets.
const maxModule = 32 << 20

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

// read returns the module of a plugin that is WebAssembly.
func (s *sources) read(p *config.Plugin) ([]byte, error) {
	if name, ok := strings.CutPrefix(p.Source, "builtin:"); ok {
		wasm, ok := plugins.Builtin(name)
		if !ok {
			return nil, fmt.Errorf("there is no builtin plugin %q; there are %s", name, strings.Join(plugins.Names(), ", "))
		}
		return wasm, s.checkHash(p, wasm)
	}
	st, err := os.Stat(p.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("file %s does not exist; build the plugin or correct its source", p.Path)
	case err != nil:
		return nil, err
	case st.IsDir() || st.Size() > maxModule:
		return nil, fmt.Errorf("file %s is not a module of at most %d MiB", p.Path, maxModule>>20)
	}
	wasm, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	return wasm, s.checkHash(p, wasm)
}

func (s *sources) checkHash(p *config.Plugin, wasm []byte) error {
	sum := sha256.Sum256(wasm)
	if got := hex.EncodeToString(sum[:]); p.SHA256 != "" && !strings.EqualFold(got, p.SHA256) {
		return fmt.Errorf("its SHA-256 is %s, but sha256 = %q pins another; check where the file came from, then correct the pin", got, p.SHA256)
	}
	return nil
}

// manifest is what config asks of a plugin's module.
func (s *sources) manifest(p config.Plugin) (config.Manifest, error) {
	wasm, err := s.read(&p)
	if err != nil {
		return config.Manifest{}, err
	}
	m, err := wasmhost.ReadManifest(wasm)
	if err != nil {
		return config.Manifest{}, err
	}
	w := m.Wants
	return config.Manifest{Phases: m.Phases, Schema: m.Config, Wants: config.Grant{Read: w.Read, Write: w.Write,
		Routes: w.Routes, NextHops: w.NextHops, Stores: w.Stores, Buckets: w.Buckets}}, nil
}
