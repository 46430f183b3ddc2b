// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Diagnostic is one fault of a configuration.
type Diagnostic struct {
	Warning bool
	File    string
	Line    int    // from 1; 0: the fault has no place in the text
	Column  int    // from 1, in characters
	Summary string // one line
	Detail  string // what was expected and the remedy; may have several lines
	Excerpt string // the source line
	Width   int    // characters of Excerpt that are at fault, from Column
}

// Diagnostics is all faults of a configuration, the errors first and each kind in
// text order. It is an error.
type Diagnostics []Diagnostic

// Error renders all diagnostics, a blank line between them.
func (ds Diagnostics) Error() string {
	texts := make([]string, len(ds))
	for i, d := range ds {
		texts[i] = d.String()
	}
	return strings.Join(texts, "\n")
}

// String renders the diagnostic as "file:line:column: error: summary" with the
// source line, a caret below the fault, and the detail. It ends in a newline.
func (d Diagnostic) String() string {
	var b strings.Builder
	b.WriteString(d.File)
	if d.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", d.Line, d.Column)
	}
	fmt.Fprintf(&b, ": %s: %s\n", d.severity(), d.Summary)
	d.writeExcerpt(&b)
	for line := range strings.Lines(d.Detail) {
		b.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return b.String()
}

func (d Diagnostic) severity() string {
	if d.Warning {
		return "warning"
	}
	return "error"
}

func (d Diagnostic) writeExcerpt(b *strings.Builder) {
	if d.Excerpt == "" {
		return
	}
	fmt.Fprintf(b, "%6d | %s\n", d.Line, d.Excerpt)
	fmt.Fprintf(b, "       | %s%s\n", indentLike(d.Excerpt, d.Column-1), strings.Repeat("^", max(1, d.Width)))
}

// indentLike returns white space as wide as the first n characters of s on a
// terminal: tabs stay tabs.
func indentLike(s string, n int) string {
	var b strings.Builder
	for _, r := range s {
		if n--; n < 0 {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

// report collects diagnostics of one source text.
type report struct {
	file   string
	src    []byte
	lines  []string
	faults Diagnostics
}

func newReport(file string, src []byte) *report {
	return &report{file: file, src: src, lines: strings.Split(string(src), "\n")}
}

// fault adds an error at rng.
func (r *report) fault(rng hcl.Range, summary, detail string) {
	r.add(false, rng, summary, detail)
}

// warn adds a warning at rng.
func (r *report) warn(rng hcl.Range, summary, detail string) {
	r.add(true, rng, summary, detail)
}

func (r *report) add(warning bool, rng hcl.Range, summary, detail string) {
	d := r.at(rng)
	d.Warning, d.Summary, d.Detail = warning, summary, detail
	r.faults = append(r.faults, d)
}

// at is a diagnostic that says nothing yet.
func (r *report) at(rng hcl.Range) Diagnostic {
	d := Diagnostic{File: r.file}
	if rng.Start.Line > 0 {
		d.Line, d.Column, d.Width = rng.Start.Line, rng.Start.Column, rng.End.Column-rng.Start.Column
		r.excerpt(&d, rng)
	}
	return d
}

func (r *report) excerpt(d *Diagnostic, rng hcl.Range) {
	if d.Line > len(r.lines) {
		return
	}
	d.Excerpt = printable(strings.TrimRight(r.lines[d.Line-1], "\r"))
	rest := len([]rune(d.Excerpt)) - d.Column + 1
	if rng.End.Line != rng.Start.Line || d.Width > rest {
		d.Width = rest
	}
}

// printable replaces what would move a terminal's cursor, character by
// character.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// syntax adds the faults of the parser, each kind once: those behind the first
// are mostly its echo.
func (r *report) syntax(ds hcl.Diagnostics) {
	seen := map[string]bool{}
	r.hcl(slices.DeleteFunc(ds, func(d *hcl.Diagnostic) bool {
		before := seen[d.Summary]
		seen[d.Summary] = true
		return before
	}))
}

// hcl adds what the HCL library found.
func (r *report) hcl(ds hcl.Diagnostics) {
	for _, d := range ds {
		rng := hcl.Range{}
		if d.Subject != nil {
			rng = *d.Subject
		}
		r.add(d.Severity == hcl.DiagWarning, rng, lowerFirst(strings.TrimSuffix(d.Summary, ".")), d.Detail)
	}
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

func (r *report) sort() {
	slices.SortStableFunc(r.faults, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// failed reports whether there is an error.
func (r *report) failed() bool {
	return slices.ContainsFunc(r.faults, func(d Diagnostic) bool { return !d.Warning })
}

// result returns all diagnostics when an error is among them, else nil: the
// errors in text order, then the warnings.
func (r *report) result() error {
	r.sort()
	if !r.failed() {
		return nil
	}
	slices.SortStableFunc(r.faults, func(a, b Diagnostic) int {
		switch {
		case a.Warning == b.Warning:
			return 0
		case b.Warning:
			return -1
		}
		return 1
	})
	return r.faults
}
