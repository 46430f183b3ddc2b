// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

const target = "wasm32-unknown-unknown"

// toolchain is a Rust compiler that can make core WebAssembly, with a linker
// that understands its libraries.
type toolchain struct {
	rustc, linker string
	name          string // "rustc 1.63.0, LLD 14.0.6"
	old           bool   // older than 1.65: `let else` must be switched on
}

// findToolchain tries the programs named in the environment, then those in the
// path, then Debian's.
func findToolchain(ctx context.Context) (toolchain, error) {
	var reasons []error
	for _, rustc := range candidates("RUSTC", "/usr/bin/rustc", "rustc") {
		tc, err := probe(ctx, rustc)
		if err == nil {
			return tc, nil
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", rustc, err))
	}
	reasons = append(reasons, errors.New("no Rust compiler for "+target+" found; on Debian: apt-get install rustc libstd-rust-dev-wasm32 lld-14"))
	return toolchain{}, errors.Join(reasons...)
}

func candidates(env string, usual ...string) []string {
	if p := os.Getenv(env); p != "" {
		return []string{p}
	}
	return usual
}

func probe(ctx context.Context, rustc string) (toolchain, error) {
	libdir, err := output(ctx, rustc, "--print", "target-libdir", "--target", target)
	if err != nil {
		return toolchain{}, err
	}
	if _, err := os.Stat(libdir); err != nil {
		return toolchain{}, fmt.Errorf("it has no standard library for %s", target)
	}
	version, err := output(ctx, rustc, "--version")
	if err != nil {
		return toolchain{}, err
	}
	var major, minor int
	if _, err := fmt.Sscanf(version, "rustc %d.%d", &major, &minor); err != nil {
		return toolchain{}, fmt.Errorf("unknown version %q", version)
	}
	linker, lld, err := findLinker(ctx)
	if err != nil {
		return toolchain{}, err
	}
	return toolchain{rustc: rustc, linker: linker, name: version + ", " + lld, old: minor < 65}, nil
}

func findLinker(ctx context.Context) (path, version string, err error) {
	for _, p := range candidates("WASM_LD", "wasm-ld-14", "wasm-ld", "rust-lld") {
		if version, err = output(ctx, p, "--version"); err == nil {
			return p, version, nil
		}
	}
	return "", "", errors.New("no wasm-ld found (set WASM_LD)")
}

func output(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	return strings.TrimSpace(string(out)), err
}
