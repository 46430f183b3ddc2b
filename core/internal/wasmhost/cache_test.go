// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wasmhost

import (
	"context"
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
	metered, _ := filepath.Glob(filepath.Join(dir, cacheName(), "*.metered"))
	compiled, _ := filepath.Glob(filepath.Join(dir, cacheName(), "wazero-*", "*"))
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

func TestPruneRemovesTheOldest(t *testing.T) {
	c := &codeCache{dir: t.TempDir(), logger: hclog.NewNullLogger()}
	for n, name := range []string{"old", "new"} {
		path := filepath.Join(c.dir, name)
		if err := os.WriteFile(path, make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(n-2) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	c.prune(150)
	left, _ := os.ReadDir(c.dir)
	if len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("left are %v", left)
	}
}
