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
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/tetratelabs/wazero"

	"github.com/postroad-mail/postroad/core/internal/wasmhost/metering"
)

// wazeroVersion is the version of the engine, as in go.mod.
const wazeroVersion = "v1.12.0"

// maxCache bounds what is kept of modules that are not in use any more.
const maxCache = 1 << 30

// codeCache is a folder of compiled code, so that a start does not compile again
// what it compiled before: a folder for each module, by its digest, with its
// metered form and what the engine made of that. What is in it is run as it
// stands: the folder must be ours alone. It may be deleted at any time. A nil
// codeCache keeps nothing.
type codeCache struct {
	dir    string
	max    int64 // octets that are kept, but for modules in use
	logger hclog.Logger
}

// liftVersion changes whenever liftStart or openGlobals make something else of
// the same module, and whenever the folder looks otherwise.
const liftVersion = "3"

// cacheName is the name of the folder for this engine and rewriter.
func cacheName() string { return wazeroVersion + "-" + metering.Version + "." + liftVersion }

// openCache makes or checks the folder for this engine and rewriter below dir,
// and removes those of others.
func openCache(dir string, logger hclog.Logger) (*codeCache, error) {
	c := &codeCache{dir: filepath.Join(dir, cacheName()), max: maxCache, logger: logger}
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
	c.prune(nil)
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

// folder returns where a module's files are.
func (c *codeCache) folder(sum digest) string {
	return filepath.Join(c.dir, hex.EncodeToString(sum[:]))
}

// compiled returns the engine's cache for a module, nil when there is none.
func (c *codeCache) compiled(sum digest) wazero.CompilationCache {
	if c == nil {
		return nil
	}
	cache, err := wazero.NewCompilationCacheWithDir(c.folder(sum))
	if err != nil {
		c.logger.Warn("compiled plugins cannot be kept", "error", err)
		return nil
	}
	return cache
}

// meteredName is the name of a module's metered form in its folder.
const meteredName = "metered"

// metered returns the metered form of the module with that digest, nil if it is
// not there or damaged. The folder then shows when it was used.
func (c *codeCache) metered(sum digest) []byte {
	if c == nil {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(c.folder(sum), meteredName))
	if err != nil || len(b) < sha256.Size {
		return nil
	}
	wasm := b[sha256.Size:]
	if sha256.Sum256(wasm) != digest(b[:sha256.Size]) {
		return nil
	}
	now := time.Now()
	os.Chtimes(c.folder(sum), now, now) //nolint:errcheck // it may be removed a little too early
	return wasm
}

// keep stores the metered form of a module. That it could not is no fault: the
// next start does the work again.
func (c *codeCache) keep(sum digest, wasm []byte) {
	if c == nil {
		return
	}
	check := sha256.Sum256(wasm)
	err := os.MkdirAll(c.folder(sum), 0o700)
	if err == nil {
		err = writeFile(filepath.Join(c.folder(sum), meteredName), append(check[:], wasm...))
	}
	if err != nil {
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

// prune removes the modules that were used the longest ago until at most max
// octets are left. Those that used names stay, and count.
func (c *codeCache) prune(used func(folder string) bool) {
	if c == nil {
		return
	}
	folders, total := c.folders()
	for _, f := range folders {
		if total <= c.max {
			return
		}
		if used != nil && used(f.name) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, f.name)); err != nil {
			c.logger.Warn("compiled plugin cannot be removed", "error", err)
			continue
		}
		total -= f.octets
	}
}

// cached is the folder of a module.
type cached struct {
	name   string
	used   time.Time
	octets int64
}

// folders returns what is kept, the least recently used first, and its octets.
func (c *codeCache) folders() (all []cached, total int64) {
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return nil, 0
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		f := cached{e.Name(), info.ModTime(), octetsBelow(filepath.Join(c.dir, e.Name()))}
		all, total = append(all, f), total+f.octets
	}
	slices.SortStableFunc(all, func(a, b cached) int { return a.used.Compare(b.used) })
	return all, total
}

func octetsBelow(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n
}
