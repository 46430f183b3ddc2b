// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/postroad-mail/postroad/plugins"
)

// unitTests compiles the crates for this machine and runs the tests that stand
// in their sources.
func unitTests(ctx context.Context, tc toolchain, root string) error {
	out, err := os.MkdirTemp("", "postroad-test")
	if err != nil {
		return err
	}
	defer os.RemoveAll(out)
	libraries := crates(tc)
	for _, c := range libraries {
		if err := rustc(ctx, tc, root, out, c, "--crate-type", "rlib"); err != nil {
			return err
		}
	}
	tested := libraries[1:] // not the third party's
	for _, name := range plugins.Names() {
		tested = append(tested, crate{name: name, source: "plugins/" + name + "/src/lib.rs", deps: []string{"postroad", "common", "regex_lite"}})
	}
	for _, c := range tested {
		if err := unitTest(ctx, tc, root, out, c); err != nil {
			return err
		}
	}
	return nil
}

func unitTest(ctx context.Context, tc toolchain, root, out string, c crate) error {
	c.name += "_test"
	if err := rustc(ctx, tc, root, out, c, "--test"); err != nil {
		return err
	}
	return show(ctx, root, os.Environ(), filepath.Join(out, c.name), "--quiet")
}
