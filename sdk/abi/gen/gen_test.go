// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "../../.."

// TestCurrent fails when a derived file is not what abi.json says.
func TestCurrent(t *testing.T) {
	files, err := render(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current: run `go run ./sdk/abi/gen`", name)
		}
	}
}

// TestFrozen fails when a number or signature that was published means
// something else now, or is gone. New ones are added to testdata/frozen.txt by
// hand, behind the old ones.
func TestFrozen(t *testing.T) {
	s, err := load(filepath.Join(root, "sdk/abi/abi.json"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("testdata/frozen.txt")
	if err != nil {
		t.Fatal(err)
	}
	frozen := strings.Split(strings.TrimSpace(string(raw)), "\n")
	now := contract(s)
	for _, line := range frozen {
		if !slices.Contains(now, line) {
			t.Errorf("published, but no longer true: %s", line)
		}
	}
	for _, line := range now {
		if !slices.Contains(frozen, line) {
			t.Errorf("new, not in testdata/frozen.txt: %s", line)
		}
	}
}

// TestNumbersUnique fails when two things share a number or a name.
func TestNumbersUnique(t *testing.T) {
	s, err := load(filepath.Join(root, "sdk/abi/abi.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, line := range contract(s) {
		kind, rest, _ := strings.Cut(line, " ")
		number, _, _ := strings.Cut(rest, " ")
		if key := kind + " " + number; seen[key] {
			t.Errorf("twice: %s", key)
		} else {
			seen[key] = true
		}
	}
}

// contract returns what a guest relies on, one line each: kind, number or
// name, meaning.
func contract(s *spec) []string {
	lines := []string{"module " + s.Module, "section " + s.ManifestSection, "absent " + s.Absent}
	for _, p := range s.Phases {
		lines = append(lines, fmt.Sprintf("phase %d %s verdicts %v", p.Number, p.Name, p.Verdicts))
	}
	for _, v := range s.Verdicts {
		lines = append(lines, fmt.Sprintf("verdict %d %s", v.Number, v.Name))
	}
	for _, e := range s.Errors {
		lines = append(lines, fmt.Sprintf("error %d %s", e.Number, e.Name))
	}
	for _, f := range s.Fields {
		lines = append(lines, fmt.Sprintf("field %d %s %s", f.Number, f.Name, f.Type))
	}
	for _, e := range s.Enums {
		for _, v := range e.Values {
			lines = append(lines, fmt.Sprintf("%s %d %s", e.Name, v.Number, v.Name))
		}
	}
	for _, f := range s.Functions {
		lines = append(lines, fmt.Sprintf("function %s %s", f.Name, f.signature()))
	}
	return lines
}
