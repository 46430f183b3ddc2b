// SPDX-License-Identifier: Apache-2.0

package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSignaturesNameNoInternalType: who embeds a relay could not name such a type.
// Slot is an alias that makes one nameable.
func TestSignaturesNameNoInternalType(t *testing.T) {
	for _, room := range []string{"relay", "mail", "plugintest"} {
		for _, fault := range hidden(t, filepath.Join("../..", room)) {
			t.Error(fault)
		}
	}
}

// hidden returns what is exported in a folder and names an internal type.
func hidden(t *testing.T, dir string) (faults []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		rooms := internalImports(f)
		for name, shown := range exported(f) {
			ast.Inspect(shown, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && isRoom(rooms, s.X) {
					faults = append(faults, filepath.Base(file)+": "+name+" names a type of an internal room, "+s.Sel.Name)
				}
				return true
			})
		}
	}
	return faults
}

func isRoom(rooms []string, x ast.Expr) bool {
	id, ok := x.(*ast.Ident)
	return ok && slices.Contains(rooms, id.Name)
}

// internalImports returns the names under which a file knows internal rooms.
func internalImports(f *ast.File) []string {
	var names []string
	for _, i := range f.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if !strings.Contains(path, "/internal/") {
			continue
		}
		name := path[strings.LastIndex(path, "/")+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names = append(names, name)
	}
	return names
}

// exported returns what others see of a file's functions, methods and types.
func exported(f *ast.File) map[string]ast.Node {
	out := map[string]ast.Node{}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && (d.Recv == nil || receiver(d).IsExported()) {
				out[d.Name.Name] = d.Type
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if s, ok := s.(*ast.TypeSpec); ok && s.Name.IsExported() && !s.Assign.IsValid() {
					maps.Copy(out, members(s))
				}
			}
		}
	}
	return out
}

func receiver(d *ast.FuncDecl) *ast.Ident {
	t := d.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id
	}
	return ast.NewIdent("generic")
}

// members are the exported fields of a struct, without those that it embeds, or
// the whole of any other type.
func members(s *ast.TypeSpec) map[string]ast.Node {
	out := map[string]ast.Node{}
	st, ok := s.Type.(*ast.StructType)
	if !ok {
		out[s.Name.Name] = s.Type
		return out
	}
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			if n.IsExported() {
				out[s.Name.Name+"."+n.Name] = f.Type
			}
		}
	}
	return out
}

func TestAHiddenTypeIsFound(t *testing.T) {
	const text = `package x
import "a/internal/queue"
type T struct { Shown *queue.A; kept queue.B }
type I interface { M(queue.C) }
type Alias = queue.D
func F() ([]queue.E, error) { return nil, nil }
func (T) G(m map[string]queue.F) {}
func (t) H(queue.G) {}
const Word = queue.Word
`
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, shown := range exported(f) {
		ast.Inspect(shown, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && isRoom(internalImports(f), s.X) {
				found = append(found, s.Sel.Name)
			}
			return true
		})
	}
	if slices.Sort(found); strings.Join(found, "") != "ACEF" {
		t.Errorf("found %v", found)
	}
}
