// SPDX-License-Identifier: Apache-2.0

// Command build compiles the first-party plugins to WebAssembly and keeps
// plugins/lock.json. It needs rustc with the target wasm32-unknown-unknown and
// a matching wasm-ld, but neither cargo nor a network. Run it from the
// repository's root:
//
//	go run ./plugins/build          rebuild modules and lock
//	go run ./plugins/build -check   rebuild aside and hold it against the lock
//	go run ./plugins/build -test    run the unit tests of the Rust sources
//
// On Debian 12: apt-get install rustc libstd-rust-dev-wasm32 lld-14. RUSTC and
// WASM_LD name other programs.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/postroad-mail/postroad/plugins"
	"github.com/postroad-mail/postroad/plugins/internal/lock"
)

func main() {
	check := flag.Bool("check", false, "compare with the lock instead of writing it")
	test := flag.Bool("test", false, "run the unit tests of the Rust sources")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, ".", *check, *test); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, root string, check, test bool) error {
	tc, err := findToolchain(ctx)
	if err != nil {
		return err
	}
	if test {
		return unitTests(ctx, tc, root)
	}
	modules, err := compileAll(ctx, tc, root)
	if err != nil {
		return err
	}
	if check {
		return compare(ctx, tc, root, modules)
	}
	return write(tc, root, modules)
}

// write replaces the committed modules and the lock.
func write(tc toolchain, root string, modules map[string][]byte) error {
	l := lock.Lock{Toolchain: tc.name, Modules: map[string]lock.Module{}}
	for name, m := range modules {
		src, err := lock.Source(root, name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(modulePath(root, name), m, 0o644); err != nil {
			return err
		}
		l.Modules[name] = lock.Module{Source: src, Module: lock.Sum(m), Size: len(m)}
		fmt.Printf("%-10s %7d octets\n", name, len(m))
	}
	return lock.Write(root, l)
}

// compare holds rebuilt modules against the committed ones: octet by octet with
// the lock's toolchain, by their fixtures with another.
func compare(ctx context.Context, tc toolchain, root string, modules map[string][]byte) error {
	l, err := lock.Read(root)
	if err != nil {
		return err
	}
	if l.Toolchain != tc.name {
		fmt.Printf("built with %s, the lock has %s: octets not compared, fixtures run instead\n", tc.name, l.Toolchain)
		return runFixtures(ctx, root, modules)
	}
	for _, name := range plugins.Names() {
		want, err := os.ReadFile(modulePath(root, name))
		if err != nil {
			return err
		}
		if !bytes.Equal(modules[name], want) {
			return fmt.Errorf("%s: the rebuilt module differs from the committed one: run `go run ./plugins/build` and commit", name)
		}
	}
	fmt.Printf("built with %s: all modules match\n", tc.name)
	return nil
}

// runFixtures runs the tests of package plugins on the rebuilt modules.
func runFixtures(ctx context.Context, root string, modules map[string][]byte) error {
	dir, err := os.MkdirTemp("", "plugins")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, m := range modules {
		if err := os.WriteFile(filepath.Join(dir, name+".wasm"), m, 0o644); err != nil {
			return err
		}
	}
	env := append(os.Environ(), "POSTROAD_TEST_MODULES="+dir)
	return show(ctx, root, env, "go", "test", "-count=1", "-run", "Fixtures", "./plugins")
}

func modulePath(root, name string) string {
	return filepath.Join(root, "plugins", name, name+".wasm")
}
