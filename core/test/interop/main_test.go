// SPDX-License-Identifier: Apache-2.0

//go:build interop

// Package interop runs the real postroad command between programs that others wrote: messages go in by swaks, Postfix's
// smtp-source, Python's smtplib, nodemailer, a BDAT client and Postfix itself, and come out at Postfix's smtp-sink, at
// Postfix, and in Maildirs. What comes out must be, octet for octet, what went in, but for the trace fields that are
// named in trace_test.go.
//
// It needs the programs that .ci/install installs, root (Postfix does), and the npm package nodemailer, which is
// installed into a temporary folder. A program that is missing is a failure.
package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binaryVar names the environment variable with the path of the built command.
const binaryVar = "POSTROAD_INTEROP_BINARY"

// patience is how long anything may take before it counts as hung or lost.
const patience = 30 * time.Second

// TestMain builds the command once for all tests.
func TestMain(m *testing.M) {
	os.Exit(withBinary(m.Run))
}

func withBinary(run func() int) int {
	dir, err := os.MkdirTemp("", "postroad-interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "postroad")
	out, err := exec.Command("go", "build", "-o", bin, "../../cmd/postroad").CombinedOutput()
	if err == nil {
		err = os.Setenv(binaryVar, bin)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, out)
		return 1
	}
	return run()
}

// program returns the path of a program, which may be one of those that Debian keeps for root.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, at := range []string{name, filepath.Join("/usr/sbin", name)} {
		if path, err := exec.LookPath(at); err == nil {
			return path
		}
	}
	t.Fatalf("the program %s is missing: .ci/install installs it", name)
	return ""
}

// output runs a program to its end and returns what it printed, and an error when it said no.
func output(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	return outputOf(t, exec.Command(program(t, name), args...))
}

func outputOf(t *testing.T, cmd *exec.Cmd) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { cmd.Process.Kill() }) // Wait tells
	err := cmd.Wait()
	if !stuck.Stop() {
		t.Fatalf("%s did not end:\n%s", cmd.Path, tail(out.String()))
	}
	return out.String(), err
}

// tail is the end of a long text.
func tail(s string) string {
	if len(s) > 4000 {
		return "…" + s[len(s)-4000:]
	}
	return s
}

// eventually waits until ok returns nil.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for deadline := time.Now().Add(patience); ; <-every.C {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// folder makes a folder of the test that programs of other users can reach and write to.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for at := dir; strings.HasPrefix(filepath.Base(filepath.Dir(at)), "Test") || at == dir; at = filepath.Dir(at) {
		if err := os.Chmod(at, 0o777); err != nil { // other users write here
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // other users come through here
		t.Fatal(err)
	}
	return dir
}

// write writes a file of the test and returns its path.
func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil { // other users read it
		t.Fatal(err)
	}
	return path
}
