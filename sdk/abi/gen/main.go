// SPDX-License-Identifier: Apache-2.0

// Command gen writes what is derived from sdk/abi/abi.json: the Go and Rust
// constants, the reference, the JSON Schemas and the golden vectors. Run it from
// the repository's root:
//
//	go run ./sdk/abi/gen
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// run writes all outputs below root, the repository's root.
func run(root string) error {
	files, err := render(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// render returns the content of every derived file by its path below root.
func render(root string) (map[string][]byte, error) {
	spec, err := load(filepath.Join(root, "sdk/abi/abi.json"))
	if err != nil {
		return nil, err
	}
	goFile, err := renderGo(spec)
	if err != nil {
		return nil, err
	}
	imports, err := renderGoImports(spec)
	if err != nil {
		return nil, err
	}
	command, err := renderCommand(spec)
	if err != nil {
		return nil, err
	}
	fixture, err := renderFixture(spec)
	if err != nil {
		return nil, err
	}
	vectors, err := renderVectors(spec)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		"sdk/abi/command.schema.json": command,
		"sdk/abi/fixture.schema.json": fixture,
		"sdk/abi/vectors.json":        vectors,
		"sdk/go/imports_wasip1.go":    imports,
		"sdk/abi/abi.go":              goFile,
		"sdk/kit/guest/guest.wat":     renderGuest(spec),
		"sdk/abi/reference.md":        renderReference(spec),
		"sdk/rust/src/abi.rs":         renderRust(spec),
	}, nil
}
