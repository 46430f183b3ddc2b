// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/postroad-mail/postroad/plugins"
)

// crate is one library that the plugins are linked with, in build order.
type crate struct {
	name, source string
	deps         []string
	flags        []string
}

func crates(tc toolchain) []crate {
	regex := crate{
		name: "regex_lite", source: "plugins/third_party/regex-lite/src/lib.rs",
		flags: []string{"--cfg", `feature="std"`, "--cfg", `feature="string"`, "--cap-lints", "allow"},
	}
	if tc.old {
		regex.flags = append(regex.flags, "-Zcrate-attr=feature(let_else)")
	}
	return []crate{
		regex,
		{name: "postroad", source: "sdk/rust/src/lib.rs"},
		{name: "common", source: "plugins/common/src/lib.rs", deps: []string{"postroad", "regex_lite"}},
	}
}

// compileAll returns the finished modules by plugin name.
func compileAll(ctx context.Context, tc toolchain, root string) (map[string][]byte, error) {
	out, err := os.MkdirTemp("", "postroad-build")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	modules := map[string][]byte{}
	for _, name := range plugins.Names() {
		dir := filepath.Join(out, name)
		for _, c := range crates(tc) {
			if err := rustc(ctx, tc, root, dir, c, module("rlib", level(name, c.name))...); err != nil {
				return nil, err
			}
		}
		if modules[name], err = compilePlugin(ctx, tc, root, dir, name); err != nil {
			return nil, err
		}
	}
	return modules, nil
}

// level is how a crate is optimised for a plugin: the expressions for speed and
// the rest for size, but all of rewrite for size, which is the largest.
func level(plugin, crate string) string {
	switch {
	case plugin == "rewrite":
		return "z"
	case crate == "regex_lite":
		return "2"
	}
	return "s"
}

// compilePlugin compiles and links one plugin and adds its manifest.
func compilePlugin(ctx context.Context, tc toolchain, root, out, name string) ([]byte, error) {
	c := crate{
		name: name, source: "plugins/" + name + "/src/lib.rs",
		deps: []string{"postroad", "common", "regex_lite"},
		flags: []string{
			"-C", "lto=fat", "-C", "strip=symbols", "-C", "linker=" + tc.linker,
			"-C", "link-arg=-zstack-size=131072",
		},
	}
	if err := rustc(ctx, tc, root, out, c, module("cdylib", level(name, name))...); err != nil {
		return nil, err
	}
	module, err := os.ReadFile(filepath.Join(out, name+".wasm"))
	if err != nil {
		return nil, err
	}
	manifest, err := os.ReadFile(filepath.Join(root, "plugins", name, "manifest.json"))
	if err != nil {
		return nil, err
	}
	return withManifest(module, manifest)
}

// module returns the flags of code that becomes part of a module.
func module(kind, level string) []string {
	return []string{
		"--target", target, "--crate-type", kind,
		"-C", "opt-level=" + level, "-C", "codegen-units=1", "-C", "panic=abort", "-C", "embed-bitcode=yes",
	}
}

// rustc compiles c into folder out. Sources are named relative to root and all
// else is mapped away, so that the result does not depend on where the machine
// keeps it.
func rustc(ctx context.Context, tc toolchain, root, out string, c crate, flags ...string) error {
	abs, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	args := []string{
		"--edition", "2021", "--crate-name", c.name, "--out-dir", out, "-L", out,
		"--remap-path-prefix", abs + "=.", "--remap-path-prefix", out + "=.",
	}
	for _, d := range c.deps {
		args = append(args, "--extern", d+"="+filepath.Join(out, "lib"+d+".rlib"))
	}
	args = append(append(args, flags...), append(c.flags, c.source)...)
	return show(ctx, root, append(os.Environ(), "RUSTC_BOOTSTRAP="+bootstrap(c, tc)), tc.rustc, args...)
}

// show runs a program below root with its output on ours.
func show(ctx context.Context, root string, env []string, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = root, env, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(program), err)
	}
	return nil
}

// bootstrap lets the named crate alone use features that an older compiler has
// but does not open yet.
func bootstrap(c crate, tc toolchain) string {
	if tc.old && c.name == "regex_lite" {
		return "1"
	}
	return "0"
}
