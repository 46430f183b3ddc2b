// SPDX-License-Identifier: Apache-2.0

//go:build interop

package main

import (
	"os"
	"strings"
	"testing"
)

// TestPostfixPeers measures Postfix without and with the milter, with both
// kinds of tools. It needs root and an installed Postfix.
func TestPostfixPeers(t *testing.T) {
	for _, kind := range []string{"own", "postfix"} {
		b := newBench(t, 50)
		b.options.tools = kind
		var err error
		if b.dir, err = os.MkdirTemp("", "postroad-bench-"); err != nil { // t.TempDir is closed to the user postfix
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(b.dir) })
		if b.tools, err = b.openTools(); err != nil {
			t.Fatal(err)
		}
		peers, _, err := choose(allPeers(b.options, repo(t)), []string{"postroad", "postfix", "postfix+milter", "postfix-tuned"})
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

// TestOtherPeers measures Exim and Haraka where EXIM names a binary and HARAKA a
// folder, as -exim and -haraka do.
func TestOtherPeers(t *testing.T) {
	b := newBench(t, 20)
	b.exim, b.haraka = os.Getenv("EXIM"), os.Getenv("HARAKA")
	var err error
	if b.dir, err = os.MkdirTemp("", "postroad-bench-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(b.dir) })
	names := []string{}
	for _, env := range []string{"EXIM", "HARAKA"} {
		if os.Getenv(env) != "" {
			names = append(names, strings.ToLower(env))
		}
	}
	if len(names) == 0 {
		t.Skip("neither EXIM nor HARAKA is set")
	}
	peers, _, err := choose(allPeers(b.options, repo(t)), names)
	if err != nil {
		t.Fatal(err)
	}
	r := newReport(t.Context(), b, repo(t), peers, nil)
	if err := b.rounds(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := r.failures(); err != nil {
		t.Error(err)
	}
}

// TestAddedPeers measures the same filter in every server that is installed;
// HARAKA names the folder in which Haraka was installed, if it was.
func TestAddedPeers(t *testing.T) {
	o, b := newOverhead(t, 30)
	o.haraka = os.Getenv("HARAKA")
	var err error
	if b.dir, err = os.MkdirTemp("", "postroad-bench-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(b.dir) })
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
