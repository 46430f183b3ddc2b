// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// wazeroVersion is the version of the engine, as in go.mod.
const wazeroVersion = "v1.12.0"

// maxCache bounds what is kept of modules that are not in use any more.
const maxCache = 1 << 30

// codeCache is a folder of compiled code, so that a start does not compile again
// what it compiled before. What is in it is run as it stands: the folder must be
// ours alone. It may be deleted at any time. A nil codeCache keeps nothing.
type codeCache struct {
	dir    string
	logger hclog.Logger
}

// liftVersion changes whenever liftStart or openGlobals make something else of
// the same module.
const liftVersion = "2"

// cacheName is the name of the folder for this engine and rewriter.
func cacheName() string { return wazeroVersion + "-" + metering.Version + "." + liftVersion }

// openCache makes or checks the folder for this engine and rewriter below dir,
// and removes those of others.
func openCache(dir string, logger hclog.Logger) (*codeCache, error) {
	c := &codeCache{dir: filepath.Join(dir, cacheName()), logger: logger}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder for compiled plugins: %w", err)
	}
	if err := os.Mkdir(c.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("folder for compiled plugins: %w", err)
	}
	if err := checkPrivate(c.dir); err != nil {
		return nil, err
	}
	c.removeOthers(dir)
	c.prune(maxCache)
	return c, nil
}

// removeOthers removes the folders of other engines and rewriters, which nothing
// will read again.
func (c *codeCache) removeOthers(dir string) {
	ours := regexp.MustCompile(`^v\d+\.\d+\.\d+-\d+(\.\d+)?$`)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		old := filepath.Join(dir, e.Name())
		if e.Name() == cacheName() || !ours.MatchString(e.Name()) || checkPrivate(old) != nil {
			continue
		}
		if err := os.RemoveAll(old); err != nil {
			c.logger.Warn("compiled plugins of another version cannot be removed", "error", err)
		}
	}
}

// checkPrivate refuses a folder that someone else could have put code into.
func checkPrivate(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("folder for compiled plugins: %w", err)
	}
	const remedy = "delete it, or give a folder of your own with mode 0700: its files are run as code"
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("folder for compiled plugins: %s is a link; %s", dir, remedy)
	case !info.IsDir():
		return fmt.Errorf("folder for compiled plugins: %s is not a folder; %s", dir, remedy)
	case !privateMode(info):
		return fmt.Errorf("folder for compiled plugins: %s has mode %04o; %s", dir, info.Mode().Perm(), remedy)
	case !ownedByUs(info):
		return fmt.Errorf("folder for compiled plugins: %s belongs to another user; %s", dir, remedy)
	}
	return nil
}

// compiled returns the engine's cache in the folder, nil when there is none.
func (c *codeCache) compiled() wazero.CompilationCache {
	if c == nil {
		return nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(c.dir)
	if err != nil {
		c.logger.Warn("compiled plugins cannot be kept", "error", err)
		return nil
	}
	return cache
}

func (c *codeCache) path(sum [sha256.Size]byte) string {
	return filepath.Join(c.dir, hex.EncodeToString(sum[:])+".metered")
}

// metered returns the metered form of the module with that digest, nil if it is
// not there or damaged.
func (c *codeCache) metered(sum [sha256.Size]byte) []byte {
	if c == nil {
		return nil
	}
	b, err := os.ReadFile(c.path(sum))
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	digest, wasm := b[:sha256.Size], b[sha256.Size:]
	if sha256.Sum256(wasm) != [sha256.Size]byte(digest) {
		return nil
	}
	return wasm
}

// keep stores the metered form of a module. That it could not is no fault: the
// next start does the work again.
func (c *codeCache) keep(sum [sha256.Size]byte, wasm []byte) {
	if c == nil {
		return
	}
	digest := sha256.Sum256(wasm)
	if err := writeFile(c.path(sum), append(digest[:], wasm...)); err != nil {
		c.logger.Warn("compiled plugins cannot be kept", "error", err)
	}
}

// writeFile writes a file whole or not at all.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// prune removes the oldest files until at most max octets are left.
func (c *codeCache) prune(max int64) {
	type entry struct {
		path string
		info fs.FileInfo
	}
	var files []entry
	var total int64
	_ = filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			files = append(files, entry{path, info})
			total += info.Size()
		}
		return nil
	})
	sort.Slice(files, func(a, b int) bool { return files[a].info.ModTime().Before(files[b].info.ModTime()) })
	for _, f := range files {
		if total <= max {
			return
		}
		if err := os.Remove(f.path); err != nil {
			c.logger.Warn("compiled plugin cannot be removed", "error", err)
			continue
		}
		total -= f.info.Size()
	}
}
