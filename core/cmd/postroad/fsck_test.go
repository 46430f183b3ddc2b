// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/relay"
)

// stoppedWith is the configuration of a relay that has stopped with one message
// in its queue, whose body is a file.
func stoppedWith(t *testing.T) (file, id string) {
	t.Helper()
	file = writeConfig(t, testConfig)
	ctx, stop := context.WithCancel(context.Background())
	r, err := relay.Open(ctx, relay.Options{ConfigFile: file, LogOutput: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	id, err = r.Submit(ctx, relay.Submission{Sender: "a@home.test", Recipients: []string{"b@home.test"},
		Content: strings.NewReader("Subject: odd\n\n" + strings.Repeat("0123456789\n", 10_000))})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return file, id
}

// dataDir is where testConfig has its data.
func dataDir(t *testing.T, file string) string {
	t.Helper()
	dir, err := relay.DataDir(relay.Options{ConfigFile: file})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFsckOfARunningRelayNamesTheRemedy(t *testing.T) {
	file, _ := running(t)
	for _, args := range [][]string{{"queue", "fsck"}, {"queue", "fsck", "--repair"}} {
		if out, errs, code := call("", append([]string{"-c", file}, args...)...); code != exitUnavailable || !strings.Contains(errs, "stop it first") || out != "" {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
}

func TestFsckOfNothing(t *testing.T) {
	file := writeConfig(t, testConfig)
	if _, errs, code := call("", "-c", file, "queue", "fsck"); code != exitUnavailable || !strings.Contains(errs, "no relay has run") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestFsckFindsARemovedBodyAndRepairs(t *testing.T) {
	file, id := stoppedWith(t)
	expect := func(code int, words string, args ...string) {
		t.Helper()
		out, errs, got := call("", append([]string{"-c", file, "queue"}, args...)...)
		if got != code || !strings.Contains(out+errs, words) {
			t.Errorf("%v: exit code %d, %s%s", args, got, out, errs)
		}
	}
	expect(0, "1 message to 1 recipient, 1 body file, 0 problems.", "fsck")
	if err := os.Remove(filepath.Join(dataDir(t, file), "spool", id)); err != nil {
		t.Fatal(err)
	}
	expect(exitData, "the body file is missing", "fsck")
	expect(0, "The relay can start.", "fsck", "--repair")
	expect(0, "0 problems", "fsck")
	expect(0, "The queue is empty.", "list")
	kept, err := filepath.Glob(filepath.Join(dataDir(t, file), "damaged", "*", "records.jsonl"))
	if err != nil || len(kept) != 1 {
		t.Errorf("kept: %v, %v", kept, err)
	}
}

func TestFsckSavesWhatADatabaseWithoutManifestHolds(t *testing.T) {
	file, id := stoppedWith(t)
	manifests, err := filepath.Glob(filepath.Join(dataDir(t, file), "db", "MANIFEST-*"))
	if err != nil || len(manifests) == 0 {
		t.Fatal(manifests, err)
	}
	for _, m := range manifests {
		if err := os.Remove(m); err != nil {
			t.Fatal(err)
		}
	}
	if _, errs, code := call("", "-c", file, "queue", "list"); code != exitIO || !strings.Contains(errs, "queue fsck --repair") {
		t.Errorf("list: %d %s", code, errs)
	}
	if out, errs, code := call("", "-c", file, "queue", "fsck", "--repair"); code != 0 || !strings.Contains(out, "1 message to") {
		t.Errorf("repair: %d %s%s", code, out, errs)
	}
	if out, errs, code := call("", "-c", file, "queue", "show", id); code != 0 || !strings.Contains(out, "Subject: odd") {
		t.Errorf("show: %d %s%s", code, out, errs)
	}
}

func TestBackupOfAStoppedRelay(t *testing.T) {
	file, id := stoppedWith(t)
	backupAndShow(t, file, id)
}

func TestBackupOfARunningRelay(t *testing.T) {
	file, addr := running(t)
	if out, errs, code := call("", "send", "--server", addr, "--to", "a@home.test", "--subject", "odd", "x"); code != 0 {
		t.Fatalf("send: %d %s%s", code, out, errs)
	}
	list, _, _ := call("", "-c", file, "queue", "list")
	backupAndShow(t, file, strings.Fields(strings.Split(list, "\n")[1])[0])
}

// backupAndShow makes a backup and reads a message from it, as from any data
// directory.
func backupAndShow(t *testing.T, file, id string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	if out, errs, code := call("", "-c", file, "queue", "backup", dir); code != 0 || !strings.Contains(out, dir) {
		t.Fatalf("backup: %d %s%s", code, out, errs)
	}
	if _, errs, code := call("", "-c", file, "queue", "backup", dir); code == 0 || !strings.Contains(errs, "exists already") {
		t.Errorf("a second backup to the same place: %d %s", code, errs)
	}
	q, err := relay.OpenQueue(relay.Options{ConfigFile: file, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	if m, err := q.Show(context.Background(), id); err != nil || !strings.Contains(m.Header, "Subject: odd") {
		t.Errorf("from the copy: %+v, %v", m, err)
	}
}
