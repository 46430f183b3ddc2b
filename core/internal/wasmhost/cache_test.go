// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wasmhost

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

func TestVersionInTheNameIsTheEngines(t *testing.T) {
	b, err := os.ReadFile("../../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "github.com/tetratelabs/wazero " + wazeroVersion + "\n"; !strings.Contains(string(b), want) {
		t.Errorf("go.mod does not say %q", want)
	}
}

func TestCompiledCodeIsKept(t *testing.T) {
	dir := t.TempDir()
	for n := 0; n < 2; n++ {
		h := newHost(t, Options{CacheDir: dir})
		s := newTestStage(t, load(t, h, "guests/empty.wasm"), StageOptions{})
		run(t, s, newHook(mail.PhaseMail, 0, testEnvelope()))
	}
	info, err := os.Stat(filepath.Join(dir, cacheName()))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("folder: %v, %v", info, err)
	}
	metered, _ := filepath.Glob(filepath.Join(dir, cacheName(), "*", meteredName))
	compiled, _ := filepath.Glob(filepath.Join(dir, cacheName(), "*", "wazero-*", "*"))
	if len(metered) != 1 || len(compiled) != 1 {
		t.Errorf("kept %v and %v", metered, compiled)
	}
}

// TestDamagedCache: what is cut, changed or empty is made anew.
func TestDamagedCache(t *testing.T) {
	for _, damage := range []func([]byte) []byte{
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
		func([]byte) []byte { return nil },
	} {
		dir := t.TempDir()
		load(t, newHost(t, Options{CacheDir: dir}), "guests/fields.wasm")
		damageFiles(t, dir, damage)
		logger, sink := newLog(hclog.Warn)
		s := newTestStage(t, load(t, newHost(t, Options{CacheDir: dir, Logger: logger}), "guests/fields.wasm"), StageOptions{Grant: everything()})
		run(t, s, newHook(mail.PhaseMessage, 0, testEnvelope()))
		if strings.Contains(sink.String(), "ERROR") {
			t.Error(sink.String())
		}
	}
}

func damageFiles(t *testing.T, dir string, damage func([]byte) []byte) {
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, damage(b), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFolderThatOthersCanWriteIsRefused(t *testing.T) {
	cases := map[string]func(dir string) error{
		"mode 0770": func(dir string) error {
			path := filepath.Join(dir, cacheName())
			return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o770))
		},
		"is a link": func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, cacheName())) },
		"is not a folder": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, cacheName()), nil, 0o600)
		},
	}
	for want, prepare := range cases {
		dir := t.TempDir()
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := New(context.Background(), Options{CacheDir: dir}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v", want, err)
		}
	}
}

func TestFoldersOfOtherVersionsAreRemoved(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"v1.0.0-1", "v1.0.0-mine", "data"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	newHost(t, Options{CacheDir: dir})
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	want := []string{filepath.Join(dir, "data"), filepath.Join(dir, "v1.0.0-mine"), filepath.Join(dir, cacheName())}
	if !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}

// kept returns the modules that a cache has, of those that were loaded.
func kept(t *testing.T, h *Host, names ...string) string {
	t.Helper()
	var left []string
	for _, name := range names {
		if _, err := os.Stat(h.cache.folder(sha256.Sum256(readWasm(t, name)))); err == nil {
			left = append(left, name)
		}
	}
	return strings.Join(left, " ")
}

// A relay that ran for months, with a module that changed each day, kept them all
// until it was started again.
func TestCompiledCodeFilledTheDiskUntilARestart(t *testing.T) {
	h := newHost(t, Options{CacheDir: t.TempDir()})
	h.cache.max = 1
	used := load(t, h, "guests/empty.wasm")
	for _, name := range []string{"guests/fields.wasm", "guests/wasi.wasm"} {
		m, err := h.Load(context.Background(), name, readWasm(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
	}
	all := []string{"guests/empty.wasm", "guests/fields.wasm", "guests/wasi.wasm"}
	if got, want := kept(t, h, all...), "guests/empty.wasm guests/wasi.wasm"; got != want {
		t.Errorf("kept are %s, want %s", got, want)
	}
	run(t, newTestStage(t, used, StageOptions{}), newHook(mail.PhaseMail, 0, testEnvelope()))
}

func TestPruneRemovesWhatWasUsedTheLongestAgo(t *testing.T) {
	c := &codeCache{dir: t.TempDir(), max: 150, logger: hclog.NewNullLogger()}
	for n, name := range []string{"old", "new"} {
		folder := filepath.Join(c.dir, name)
		if err := errors.Join(os.Mkdir(folder, 0o700), os.WriteFile(filepath.Join(folder, "code"), make([]byte, 100), 0o600)); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(n-2) * time.Hour)
		if err := os.Chtimes(folder, at, at); err != nil {
			t.Fatal(err)
		}
	}
	c.prune(nil)
	left, _ := os.ReadDir(c.dir)
	if len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("left are %v", left)
	}
}
