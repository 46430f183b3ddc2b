// SPDX-License-Identifier: Apache-2.0

// Package lock knows plugins/lock.json: from which sources and with which
// toolchain each committed module was built. The build tool writes it, the
// tests hold the committed modules against it.
package lock

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// File is the lock's path below the repository's root.
const File = "plugins/lock.json"

// Lock is the content of lock.json.
type Lock struct {
	Toolchain string            `json:"toolchain"` // compiler and linker with their versions
	Modules   map[string]Module `json:"modules"`   // by plugin name
}

// Module says what a committed module is made of. Hashes are SHA-256 in hex.
type Module struct {
	Source string `json:"source"` // of everything that is compiled into it
	Module string `json:"module"` // of the .wasm file
	Size   int    `json:"size"`   // of the .wasm file in octets
}

// Read returns the lock of the repository at root.
func Read(root string) (Lock, error) {
	var l Lock
	raw, err := os.ReadFile(filepath.Join(root, File))
	if err != nil {
		return l, err
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return l, fmt.Errorf("%s: %w", File, err)
	}
	return l, nil
}

// Write replaces the lock of the repository at root.
func Write(root string, l Lock) error {
	raw, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, File), append(raw, '\n'), 0o644)
}

// Sum returns the hash of a module as the lock writes it.
func Sum(module []byte) string {
	h := sha256.Sum256(module)
	return hex.EncodeToString(h[:])
}

// Source returns the hash of all files that make the module of that plugin:
// its own, the crates it shares with others, and the SDK.
func Source(root, name string) (string, error) {
	h := sha256.New()
	for _, dir := range []string{
		"sdk/rust/src",
		"plugins/third_party/regex-lite/src",
		"plugins/common/src",
		"plugins/" + name + "/src",
		"plugins/" + name + "/manifest.json",
	} {
		if err := hashTree(h, root, dir); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// hashTree adds path, length and content of every file below dir in the order
// of their paths.
func hashTree(w io.Writer, root, dir string) error {
	var files []string
	err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Sort(files)
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, f)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s %d\n", filepath.ToSlash(rel), len(content))
		_, _ = w.Write(content) // a hash takes everything
	}
	return nil
}
