// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Options says where a configuration gets what its text does not hold.
type Options struct {
	DataDir string // absolute path, instead of server.data_dir; empty: as the text says
	// Env looks up an environment variable; nil: the process's.
	Env func(name string) (string, bool)
	// Manifest reads what a plugin says about itself, on a server that is decoded
	// already; an error's text becomes the diagnostic. Not called for native plugins. nil: nothing that depends
	// on manifests is checked.
	Manifest func(s Server, p Plugin) (Manifest, error)
	// ReadFile reads the file of a secret; nil: os.ReadFile.
	ReadFile func(path string) ([]byte, error)
}

// Manifest is what a plugin says about itself. One without phases says nothing:
// the plugin gets what it is granted, and its config is not checked.
type Manifest struct {
	Phases []string // by their names, such as "rcpt" and "message"
	Wants  Grant    // "*" in a list of names: any
	Schema []byte   // JSON Schema (the subset of sdk/abi) of its config block; empty: it takes none
}

// Limits of a configuration's text: a file that exceeds them is not one.
const (
	maxSource  = 1 << 20 // octets
	maxNesting = 100     // brackets inside brackets
)

// Load reads, evaluates and checks the configuration in the file at path. The
// error is of type Diagnostics.
func Load(path string, opts Options) (*Config, error) {
	src, err := readSource(path)
	if err != nil {
		return nil, Diagnostics{{File: path, Summary: readFault(err), Detail: "name a configuration with -c FILE"}}
	}
	return Parse(path, src, opts)
}

func readSource(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	if info.Size() > maxSource {
		return nil, errors.New("it is larger than " + formatSize(maxSource))
	}
	return os.ReadFile(path)
}

func readFault(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such configuration file"
	case errors.Is(err, fs.ErrPermission):
		return "the configuration file may not be read by this user"
	}
	return "the configuration file cannot be read: " + err.Error()
}

// Parse is Load for a text in memory. Relative paths in it start at the folder
// of filename, which need not exist.
func Parse(filename string, src []byte, opts Options) (*Config, error) {
	r := newReport(filename, src)
	dir, err := filepath.Abs(filepath.Dir(filename))
	if err != nil {
		return nil, Diagnostics{{File: filename, Summary: err.Error()}}
	}
	body := parseBody(r, filename, src)
	if body == nil {
		return nil, r.result()
	}
	d := newDecoder(r, dir, opts)
	d.collect(body)
	c := d.config(d.block(d.grammar, nil, hcl.Range{}, body), opts)
	if faults := r.result(); faults != nil {
		return nil, faults
	}
	c.Warnings, c.text = r.faults, r
	hashStages(c)
	return c, nil
}

func newDecoder(r *report, dir string, opts Options) *decoder {
	f := newFunctions(opts, dir)
	return &decoder{report: r, dir: dir, grammar: grammar(), lookup: f, functions: f.context(), names: names{}}
}

// parseBody reads the syntax; nil when it is faulty.
func parseBody(r *report, filename string, src []byte) *hclsyntax.Body {
	if len(src) > maxSource {
		r.fault(hcl.Range{}, "the configuration is larger than "+formatSize(maxSource), "")
		return nil
	}
	if rng, deep := tooDeep(filename, src); deep {
		r.fault(rng, fmt.Sprintf("more than %d brackets are open here", maxNesting), "")
		return nil
	}
	file, diags := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	failed := diags.HasErrors()
	r.syntax(diags)
	if failed {
		return nil
	}
	return file.Body.(*hclsyntax.Body)
}

// tooDeep finds where the text nests deeper than the recursive parser should
// be asked to follow. Operators in a row count as nesting.
func tooDeep(filename string, src []byte) (hcl.Range, bool) {
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos)
	depth, run := 0, 0
	for _, t := range tokens {
		depth += nesting(t.Type)
		run = operators(t.Type, run)
		if depth > maxNesting || run > maxNesting {
			return t.Range, true
		}
	}
	return hcl.Range{}, false
}

func nesting(t hclsyntax.TokenType) int {
	switch t {
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote,
		hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOHeredoc:
		return 1
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote,
		hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCHeredoc:
		return -1
	}
	return 0
}

// operators counts the operators since the last line end: each may be one more
// level for a parser.
func operators(t hclsyntax.TokenType, run int) int {
	switch t {
	case hclsyntax.TokenNewline:
		return 0
	case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenQuestion:
		return run + 1
	}
	return run
}
