// SPDX-License-Identifier: Apache-2.0

// Package filters holds the plugins that the cost of running a guest is measured
// with: one job, written five times the way its language is written, as plain
// plugins of the ABI postroad_v1.
//
// A configuration {"job": …} says what a guest does in phase message: "nothing",
// "add" a field X-Filter, rewrite the "subject", or "scan": read the whole
// message, count the fields of its header section, lower-case the body, count its
// words (runs of 3 to 24 ASCII letters; the first 200 that differ), sort them by
// frequency, and report in the field X-Words what Report says.
//
// The modules of C, AssemblyScript and Rust are committed with a lock, so that
// measuring and testing needs Go alone; `go run ./core/bench/filters/build` makes
// them again. The one of Go is built by Build.
package filters

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed *.wasm lock.json
var files embed.FS

// Go is the guest that is not committed.
const Go = "go"

// Guest is a build of the job.
type Guest struct {
	Name   string
	About  string // compiler and flags that matter
	Source string // file below this folder
}

// Guests are all builds, in the order of reports.
func Guests() []Guest {
	return []Guest{
		{"c", "C, clang 19 -O2, wasi-libc", "c/words.c"},
		{"c-simd", "the same source with -msimd128", "c/words.c"},
		{"assemblyscript", "AssemblyScript 0.28 -O3, incremental runtime", "assemblyscript/words.ts"},
		{"rust", "Rust 1.63 -C opt-level=3, std", "rust/words.rs"},
		{Go, "Go, c-shared, SDK", "go/main.go"},
	}
}

// Config returns the configuration for a job.
func Config(job string) []byte { return []byte(`{"job":"` + job + `"}`) }

// Module returns the octets of a guest's module, built when it is Go's: that
// takes the go command and a checkout of this module.
func Module(ctx context.Context, name string) ([]byte, error) {
	if name == Go {
		return buildGo(ctx)
	}
	return files.ReadFile(name + ".wasm")
}

func buildGo(ctx context.Context) ([]byte, error) {
	dir, err := os.MkdirTemp("", "filters-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "go.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out,
		"github.com/postroad-mail/postroad/core/bench/filters/go")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the Go guest: %w: %s", err, text)
	}
	return os.ReadFile(out)
}

// Locked is what the lock knows of a committed module: SHA-256 in hexadecimal
// digits of its source and of itself, and what built it.
type Locked struct {
	Source   string `json:"source"`
	Module   string `json:"module"`
	Compiler string `json:"compiler"`
}

// Lock returns the lock by the guests' names.
func Lock() (map[string]Locked, error) {
	raw, err := files.ReadFile("lock.json")
	if err != nil {
		return nil, err
	}
	var l map[string]Locked
	return l, json.Unmarshal(raw, &l)
}

// Sum returns a digest as the lock writes it.
func Sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
