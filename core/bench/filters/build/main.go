// SPDX-License-Identifier: Apache-2.0

// Command build compiles the committed guests of core/bench/filters and writes
// their lock. Run it from the repository's root:
//
//	go run ./core/bench/filters/build          rebuild modules and lock
//	go run ./core/bench/filters/build -check   rebuild aside and compare
//
// It needs what .ci/install installs: clang-19, lld-19 and wasi-libc for C, rustc
// 1.63 with wasm-ld-14 for Rust, and for AssemblyScript npm, which fetches the
// compiler into a temporary folder. CLANG, RUSTC, WASM_LD and ASC name other
// programs.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/postroad-mail/postroad/core/bench/filters"
)

const (
	root           = "core/bench/filters"
	assemblyscript = "assemblyscript@0.28.20"
)

func main() {
	check := flag.Bool("check", false, "compare with the committed modules instead of replacing them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *check); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	dir, err := os.MkdirTemp("", "filters-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := builder{ctx, dir}
	lock := map[string]filters.Locked{}
	for _, g := range filters.Guests() {
		if g.Name == filters.Go {
			continue
		}
		module, compiler, err := b.build(g)
		if err != nil {
			return fmt.Errorf("%s: %w", g.Name, err)
		}
		if lock[g.Name], err = settle(g, module, compiler, check); err != nil {
			return err
		}
	}
	if check {
		return nil
	}
	text, err := json.MarshalIndent(lock, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "lock.json"), append(text, '\n'), 0o644)
}

// settle writes a module, or compares it when the compiler is the lock's.
func settle(g filters.Guest, module []byte, compiler string, check bool) (filters.Locked, error) {
	source, err := os.ReadFile(filepath.Join(root, g.Source))
	if err != nil {
		return filters.Locked{}, err
	}
	l := filters.Locked{Source: filters.Sum(source), Module: filters.Sum(module), Compiler: compiler}
	file := filepath.Join(root, g.Name+".wasm")
	fmt.Printf("%-15s %6d octets, %s\n", g.Name, len(module), compiler)
	if !check {
		return l, os.WriteFile(file, module, 0o644)
	}
	return l, compare(g, file, module, l)
}

func compare(g filters.Guest, file string, module []byte, l filters.Locked) error {
	locked, err := filters.Lock()
	if err != nil {
		return err
	}
	if locked[g.Name].Compiler != l.Compiler {
		fmt.Printf("%s: the lock has %s: not compared\n", g.Name, locked[g.Name].Compiler)
		return nil
	}
	committed, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(committed, module) || locked[g.Name] != l {
		return fmt.Errorf("%s: the rebuilt module differs from the committed one: run `go run ./%s/build` and commit", g.Name, root)
	}
	return nil
}

// builder compiles into dir.
type builder struct {
	ctx context.Context
	dir string
}

// build returns a guest's module and the version of its compiler.
func (b builder) build(g filters.Guest) (module []byte, compiler string, err error) {
	out := filepath.Join(b.dir, g.Name+".wasm")
	source := filepath.Join(root, g.Source)
	switch g.Name {
	case "c":
		compiler, err = b.c(out, source)
	case "c-simd":
		compiler, err = b.c(out, source, "-msimd128")
	case "rust":
		compiler, err = b.rust(out, source)
	case "assemblyscript":
		compiler, err = b.assemblyscript(out, source)
	default:
		err = fmt.Errorf("nobody knows how to build it")
	}
	if err != nil {
		return nil, "", err
	}
	module, err = os.ReadFile(out)
	return module, compiler, err
}

func (b builder) c(out, source string, flags ...string) (string, error) {
	clang := program("CLANG", "clang-19")
	args := append([]string{"--target=wasm32-wasi", "-O2", "-Wall", "-Wextra", "-Werror", "-mexec-model=reactor",
		"-Wl,--strip-all", "-o", out, source}, flags...)
	return b.version(clang, b.exec(clang, args...))
}

func (b builder) rust(out, source string) (string, error) {
	rustc := program("RUSTC", "/usr/bin/rustc")
	return b.version(rustc, b.exec(rustc, "--edition", "2021", "--crate-type", "cdylib", "--target", "wasm32-unknown-unknown",
		"-C", "opt-level=3", "-C", "panic=abort", "-C", "codegen-units=1", "-C", "lto=fat", "-C", "strip=symbols",
		"-C", "linker="+program("WASM_LD", "wasm-ld-14"), "-C", "link-arg=-zstack-size=131072", "-D", "warnings", "-o", out, source))
}

func (b builder) assemblyscript(out, source string) (string, error) {
	asc := os.Getenv("ASC")
	if asc == "" {
		if err := b.exec("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", b.dir, assemblyscript); err != nil {
			return "", err
		}
		asc = filepath.Join(b.dir, "node_modules", ".bin", "asc")
	}
	return b.version(asc, b.exec(asc, source, "-O3", "--runtime", "incremental", "--use", "abort=", "-o", out))
}

func program(variable, usual string) string { return cmp.Or(os.Getenv(variable), usual) }

// version returns the first line of what a compiler that did its work calls
// itself.
func (b builder) version(compiler string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	text, err := exec.CommandContext(b.ctx, compiler, "--version").Output()
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSpace(line), err
}

func (b builder) exec(name string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}
