// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// LoadDataDir returns the data directory that the file at path names, whatever
// else is wrong with the file: who edits the next configuration must be able to
// operate the relay that runs. The error is of type Diagnostics.
func LoadDataDir(path string, opts Options) (string, error) {
	src, err := readSource(path)
	if err != nil {
		return "", Diagnostics{{File: path, Summary: readFault(err), Detail: "name a configuration with -c FILE"}}
	}
	return ParseDataDir(path, src, opts)
}

// ParseDataDir is LoadDataDir of a text.
func ParseDataDir(filename string, src []byte, opts Options) (string, error) {
	c, err := Parse(filename, src, opts)
	if err == nil {
		return c.Server.DataDir, nil
	}
	if opts.DataDir != "" {
		return opts.DataDir, nil
	}
	dir, ok := dataDirOf(filename, src, opts)
	if !ok {
		return "", err
	}
	return dir, nil
}

// dataDirOf reads the block server alone; false when it is not good itself.
func dataDirOf(filename string, src []byte, opts Options) (string, bool) {
	r := newReport(filename, src)
	folder, err := filepath.Abs(filepath.Dir(filename))
	body, ok := serverBody(filename, src)
	if err != nil || !ok {
		return "", false
	}
	n := newDecoder(r, folder, opts).block(serverSpec(), nil, hcl.Range{}, body)
	return arg[string](n, "data_dir"), r.result() == nil
}

// serverBody finds the block server in a faulty text, an empty one when there is
// none; false when the syntax is faulty up to its end.
func serverBody(filename string, src []byte) (*hclsyntax.Body, bool) {
	if _, deep := tooDeep(filename, src); deep || len(src) > maxSource {
		return nil, false
	}
	file, faults := hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil, false
	}
	for _, b := range body.Blocks {
		if b.Type == "server" {
			return b.Body, !faultyBefore(faults, b.CloseBraceRange.End.Byte)
		}
	}
	return &hclsyntax.Body{}, !faults.HasErrors()
}

func faultyBefore(faults hcl.Diagnostics, end int) bool {
	for _, f := range faults {
		if f.Severity == hcl.DiagError && (f.Subject == nil || f.Subject.Start.Byte < end) {
			return true
		}
	}
	return false
}
