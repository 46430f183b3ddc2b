// SPDX-License-Identifier: Apache-2.0

//go:build interop

package main

import (
	"os"
	"testing"
)

// TestPostfixPeers measures Postfix without and with the milter, with both
// kinds of tools, and with ours Exim and Haraka where EXIM names a binary and
// HARAKA a folder. It needs root and an installed Postfix.
func TestPostfixPeers(t *testing.T) {
	for _, kind := range []string{"own", "postfix"} {
		b, names := newBench(t, 50), []string{"postroad", "postfix", "postfix+milter", "postfix-tuned"}
		b.options.tools, b.dir = kind, openFolder(t)
		if kind == "own" {
			names = append(names, fromEnvironment(&b.options)...)
		}
		var err error
		if b.tools, err = b.openTools(); err != nil {
			t.Fatal(err)
		}
		peers, _, err := choose(allPeers(b.options, repo(t)), names)
		if err != nil {
			t.Fatal(err)
		}
		r := newReport(t.Context(), b, repo(t), peers, nil)
		if kind == "postfix" {
			r.cases = r.cases[:2] // the tools are another, not the servers
		}
		if err := b.rounds(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := r.failures(); err != nil {
			t.Errorf("tools %s: %v", kind, err)
		}
	}
}

// openFolder returns a folder that is removed at the end. t.TempDir is closed to
// the user postfix.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postroad-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// fromEnvironment takes over what the environment says of Exim and Haraka, and names those
// that it has.
func fromEnvironment(o *options) (names []string) {
	o.exim, o.haraka = os.Getenv("EXIM"), os.Getenv("HARAKA")
	if o.exim != "" {
		names = append(names, "exim")
	}
	if o.haraka != "" {
		names = append(names, "haraka")
	}
	return names
}

// TestAddedPeers measures the same filter in every server that is installed;
// HARAKA names the folder in which Haraka was installed, if it was.
func TestAddedPeers(t *testing.T) {
	o, b := newOverhead(t, 30)
	o.haraka, b.dir = os.Getenv("HARAKA"), openFolder(t)
	o.bench = b.options
	all, err := o.addedPeers(t.Context(), repo(t))
	if err != nil {
		t.Fatal(err)
	}
	peers, notes, err := choose(all, nil)
	if err != nil || len(peers) < 6 {
		t.Fatalf("only %d servers: %v, %v", len(peers), notes, err)
	}
	r := newReport(t.Context(), b, repo(t), peers, notes)
	r.cases = []benchCase{addedCase(30)}
	if err := b.rounds(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := r.failures(); err != nil {
		t.Error(err)
	}
}
