// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// From a backup to a relay that has it all, through every refusal on the way.
func TestRestore(t *testing.T) {
	file, id := stoppedWith(t)
	dir, backup := dataDir(t, file), filepath.Join(t.TempDir(), "monday")
	expect := func(code int, words string, args ...string) {
		t.Helper()
		out, errs, got := call("", append([]string{"-c", file}, args...)...)
		if got != code || !strings.Contains(out+errs, words) {
			t.Errorf("%v: exit code %d, %s%s", args, got, out, errs)
		}
	}
	expect(0, "complete", "queue", "backup", backup)
	expect(exitIO, "it has a queue", "queue", "restore", backup)
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "db")), os.RemoveAll(filepath.Join(dir, "spool")),
		os.MkdirAll(filepath.Join(dir, "restore.unfinished", "db"), 0o700)); err != nil {
		t.Fatal(err)
	}
	expect(exitIO, "postroad queue restore again", "run")
	expect(exitIO, "postroad queue restore again", "queue", "fsck", "--repair")
	expect(0, "All of it is held", "queue", "restore", backup, "--hold", "a look first")
	expect(0, "looks odd", "queue", "list", "--state", "quarantined") // quarantine stays
	expect(0, id, "queue", "list", "--state", "quarantined")
	expect(0, "1 message to 1 recipient, 1 body file, 0 problems.", "queue", "fsck")
	if _, err := os.Stat(filepath.Join(dir, "restore.unfinished")); !os.IsNotExist(err) {
		t.Error("restore.unfinished is still there")
	}
	expect(exitIO, "no folders db and spool", "queue", "restore", t.TempDir())
}

func TestRestoreIntoARunningRelay(t *testing.T) {
	file, _ := running(t)
	if _, errs, code := call("", "-c", file, "queue", "restore", "/nowhere"); code != exitUnavailable || !strings.Contains(errs, "stop it first") {
		t.Errorf("%d %s", code, errs)
	}
}
