// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// maxManifest bounds the manifest section, in octets.
const maxManifest = 256 << 10

// Manifest is what a module says of itself in its custom section
// postroad.manifest. A module without one has the zero Manifest: it asks for
// nothing by name, and its stage gets what the operator grants.
type Manifest struct {
	Name     string          `json:"name"`
	Version  string          `json:"version"`
	ABI      string          `json:"abi"`
	Summary  string          `json:"summary"`
	Phases   []string        `json:"phases"`
	Wants    Grant           `json:"-"`
	Optional []string        `json:"optional_imports"` // host functions it can do without
	Config   json.RawMessage `json:"config"`           // schema of its config block
	Present  bool            `json:"-"`                // the module has a manifest
	Imports  []string        `json:"-"`                // host functions of the ABI that it imports
	Kind     string          `json:"-"`                // KindReactor or KindCommand, by the module's exports

	fixtures []fixture.Fixture // of the section postroad.fixtures
}

// SelfTests returns what the module's own tests show, each in its words; they are
// run whenever a stage is made of it.
func (m *Manifest) SelfTests() []string {
	var out []string
	for _, f := range m.fixtures {
		out = append(out, f.About)
	}
	return out
}

// parseManifest reads the JSON of a manifest section; nil means there is none.
// Unknown keys at the top are additions of a later minor and passed over, but an
// unknown key in "wants" is a power that this host does not know, and refused.
func parseManifest(b []byte) (Manifest, error) {
	if b == nil {
		return Manifest{}, nil
	}
	if len(b) > maxManifest {
		return Manifest{}, fmt.Errorf("its manifest has %d octets; at most %d are read", len(b), maxManifest)
	}
	m := Manifest{Present: true}
	var wants struct {
		Wants json.RawMessage `json:"wants"`
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, malformed(err)
	}
	if err := json.Unmarshal(b, &wants); err != nil {
		return Manifest{}, malformed(err)
	}
	if err := m.Wants.unmarshal(wants.Wants); err != nil {
		return Manifest{}, err
	}
	return m, m.check()
}

// malformed is the error of a manifest that cannot be read.
func malformed(err error) error {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return fmt.Errorf("its manifest has a %s at %q, which is not what belongs there (see sdk/abi/spec.md); correct it and build the plugin again", t.Value, t.Field)
	}
	return fmt.Errorf("its manifest is not valid JSON: %w; correct it and build the plugin again", err)
}

// unknownWant is the error of wants that cannot be read.
func unknownWant(err error) error {
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("its manifest wants something that this host does not offer: %s; run a newer Postroad, or use a version of the plugin that does without", field)
	}
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) {
		return malformed(err)
	}
	return fmt.Errorf("its manifest wants what cannot be granted: %w", err)
}

func (g *Grant) unmarshal(b json.RawMessage) error {
	if len(b) == 0 {
		return nil
	}
	wants := struct {
		*Grant
		Tick wantedTick `json:"tick"`
	}{Grant: g}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&wants); err != nil {
		return unknownWant(err)
	}
	g.Tick = time.Duration(wants.Tick)
	return nil
}

// wantedTick is an interval such as "1m", or true for any.
type wantedTick time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (t *wantedTick) UnmarshalJSON(b []byte) error {
	var any bool
	if json.Unmarshal(b, &any) == nil {
		if *t = 0; any {
			*t = wantedTick(AnyTick)
		}
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errTick
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return errTick
	}
	*t = wantedTick(d)
	return nil
}

var errTick = errors.New(`tick is an interval such as "1m", or true for any`)

func (m *Manifest) check() error {
	if m.ABI != abi.Module {
		return fmt.Errorf("its manifest says abi %q, this host speaks %q; build it with an SDK of that", m.ABI, abi.Module)
	}
	if _, err := m.phaseSet(); err != nil {
		return err
	}
	if err := m.Wants.check(); err != nil {
		return fmt.Errorf("its manifest wants what cannot be granted: %w", err)
	}
	return nil
}

// phaseSet returns the phases that the manifest declares.
func (m *Manifest) phaseSet() (mail.PhaseSet, error) {
	var s mail.PhaseSet
	for _, name := range m.Phases {
		p, ok := mail.PhaseByName(name)
		if !ok || !mail.PhaseSet(abi.ServedPhases).Has(p) {
			return 0, fmt.Errorf("its manifest names phase %q, which this host does not call; it calls %s", name, servedPhases())
		}
		s |= mail.Phases(p)
	}
	return s, nil
}

func servedPhases() string { return phaseNames(abi.ServedPhases) }

// phaseNames spells a set of phases, in the order of a message's way.
func phaseNames(set mail.PhaseSet) string {
	var names []string
	for _, p := range mail.AllPhases() {
		if set.Has(p) {
			names = append(names, p.String())
		}
	}
	return strings.Join(names, ", ")
}

// canDoWithout reports whether the manifest marks a host function as optional.
func (m *Manifest) canDoWithout(name string) bool {
	for _, o := range m.Optional {
		if o == name || o == abi.Module+"."+name {
			return true
		}
	}
	return false
}
