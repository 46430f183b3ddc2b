// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/postroad-mail/postroad/core/internal/fixture"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// imports is all that a module can import.
type imports struct {
	functions map[string]*function    // of the ABI, as far as they are served
	known     map[string]abi.Function // of the ABI, reserved ones too
	wasi      map[string]*wasiFunction

	operations map[string]func(*instance, *op) error // of a command's answer
}

func newImports() *imports {
	im := &imports{functions: functions(), known: make(map[string]abi.Function), wasi: wasiFunctions(), operations: operations()}
	for _, f := range abi.Functions() {
		im.known[f.Name] = f
	}
	return im
}

// ReadManifest returns what a module says of itself. It checks that the module
// is a plugin which this host can link, but does not validate or compile it. Its
// errors are those of Load.
func ReadManifest(wasm []byte) (Manifest, error) { return newImports().inspect(wasm) }

// inspect checks what can be told without compiling: the kind of file, exports,
// manifest, imports.
func (im *imports) inspect(wasm []byte) (Manifest, error) {
	o, err := readOutline(wasm, abi.ManifestSection, fixture.Section)
	if err != nil {
		return Manifest{}, err
	}
	kind, err := kindOf(o)
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(o.custom[abi.ManifestSection])
	if err != nil {
		return Manifest{}, err
	}
	if m.fixtures, err = fixture.ParseSection(o.custom[fixture.Section]); err != nil {
		return Manifest{}, fmt.Errorf("its section %s cannot be used: %w; correct it and build the plugin again", fixture.Section, err)
	}
	m.Kind = kind
	for _, e := range o.imports {
		if err := im.check(e, &m); err != nil {
			return Manifest{}, err
		}
		if e.module == abi.Module {
			m.Imports = append(m.Imports, e.name)
		}
	}
	return m, nil
}

// kindOf tells what kind of plugin a module is by what it exports.
func kindOf(o *outline) (string, error) {
	kind, needs := KindReactor, []exportEntry{{"memory", kindMemory}, {"pr_init", kindFunc}, {"pr_on", kindFunc}}
	if !o.exported("pr_on", kindFunc) && o.exported("_start", kindFunc) {
		kind, needs = KindCommand, needs[:1]
	}
	for _, need := range needs {
		if !o.exported(need.name, need.kind) {
			return "", fmt.Errorf("it does not export the %s %s; a plugin exports memory, pr_init and pr_on, as the SDKs do, or is a command, with memory and _start",
				kindNames[need.kind], need.name)
		}
	}
	return kind, nil
}

// check refuses an import that cannot be linked, by name.
func (im *imports) check(e importEntry, m *Manifest) error {
	switch {
	case e.kind != kindFunc:
		return fmt.Errorf("it imports the %s %s.%s; a plugin brings its own memory, tables and globals: link it so", kindNames[e.kind], e.module, e.name)
	case e.module == abi.Module:
		return im.checkFunction(e.name, m)
	case e.module != wasiModule:
		return fmt.Errorf("it imports the function %s from module %q, which this host does not have; it offers %s and %s: build it with an SDK, for wasip1",
			e.name, e.module, abi.Module, wasiModule)
	case im.wasi[e.name] == nil:
		return fmt.Errorf("it imports %s.%s, which is not a function of WASI preview 1; build it for wasip1", e.module, e.name)
	}
	return nil
}

// outside are host functions that one grant opens.
type outside struct {
	grant     string
	functions []string
}

// beyond returns those host functions among names that a stage with these powers
// may not use, by the grant that they need.
func (im *imports) beyond(names []string, powers power) []outside {
	var out []outside
	for _, name := range names {
		f := im.known[name]
		if need := needs(&f); need == 0 || need&powers != 0 {
			continue
		}
		n := slices.IndexFunc(out, func(o outside) bool { return o.grant == f.Grant })
		if n < 0 {
			n, out = len(out), append(out, outside{grant: f.Grant})
		}
		out[n].functions = append(out[n].functions, name)
	}
	return out
}

// inWords lists functions with the grants that they need.
func inWords(beyond []outside) string {
	var out []string
	for _, o := range beyond {
		out = append(out, strings.Join(o.functions, ", ")+" ("+o.grant+")")
	}
	return strings.Join(out, ", ")
}

// blockFor is the block that grants what functions need. Names that only the
// operator knows are NAME and HOST.
func blockFor(beyond []outside) string {
	var g Grant
	name := []string{"NAME"}
	for _, o := range beyond {
		word, object, _ := strings.Cut(o.grant, " ")
		switch word {
		case "read":
			g.Read = append(g.Read, object)
		case "write":
			g.Write = append(g.Write, object)
		case "routes,":
			g.Routes = name
		case "kv":
			g.Stores = name
		case "buckets":
			g.Buckets = name
		case "dns":
			g.DNS = true
		case "http":
			g.HTTP = []string{"HOST"}
		case "emit":
			g.Emit = true
		case "secrets":
			g.Secrets = name
		}
	}
	return g.hcl()
}

func (im *imports) checkFunction(name string, m *Manifest) error {
	if im.functions[name] != nil || m.canDoWithout(name) {
		return nil
	}
	if _, reserved := im.known[name]; reserved {
		return fmt.Errorf("it imports %s.%s, which comes with mail authentication (SPF, DKIM, DMARC, ARC) and is only reserved in this version of Postroad; "+
			"do without it, or name it under optional_imports in the manifest", abi.Module, name)
	}
	return fmt.Errorf("it imports %s.%s, which Postroad does not know (it speaks %s minor %d); check the spelling or run a newer Postroad",
		abi.Module, name, abi.Module, abi.Minor)
}

// signature returns the type of what can be imported.
func (im *imports) signature(module, name string) (params, results []api.ValueType, ok bool) {
	if module == wasiModule {
		params, results = im.wasi[name].types()
		return params, results, true
	}
	f, ok := im.known[name]
	return valueTypes(f.Params), valueTypes(f.Results), ok
}

// function returns what an import is linked to.
func (im *imports) function(module, name string) api.GoModuleFunction {
	if module == wasiModule {
		return im.wasi[name]
	}
	if f := im.functions[name]; f != nil {
		return f
	}
	return missing(name)
}

// missing is an optional import that this host does not have: calling it traps.
type missing string

// Call implements api.GoModuleFunction.
func (m missing) Call(context.Context, api.Module, []uint64) {
	panic(fmt.Errorf("it called %s.%s, which this host does not have", abi.Module, string(m)))
}
