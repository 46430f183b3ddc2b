// SPDX-License-Identifier: Apache-2.0

package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// cache is a folder with what was pulled: each manifest as DIGEST.json and each
// module as DIGEST.wasm. A manifest names its module, so the folder needs no
// index, and every file is checked by its name when it is read. It may be
// deleted at any time. Without a folder nothing is kept.
type cache struct {
	dir      string
	readOnly bool
}

// ours are the names of files that Trim may remove.
var ours = regexp.MustCompile(`^[a-f0-9]{64}\.(json|wasm)(\.new[0-9]*)?$`)

func manifestFile(d digest.Digest) string { return d.Encoded() + ".json" }
func moduleFile(d digest.Digest) string   { return d.Encoded() + ".wasm" }

// find returns what was kept of a manifest; the error says why there is nothing.
func (c cache) find(d digest.Digest) (*artifact, error) {
	root, err := c.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	a := &artifact{}
	if a.manifest, err = c.read(root, manifestFile(d), maxManifest, d); err != nil {
		return nil, err
	}
	if a.layer, err = moduleOf(a.manifest); err != nil {
		return nil, err
	}
	a.wasm, err = c.read(root, moduleFile(a.layer.Digest), MaxModule, a.layer.Digest)
	return a, err
}

// errNoCopy is what find says of the first pull.
var errNoCopy = errors.New("the cache has no copy of it")

func (c cache) open() (*os.Root, error) {
	if c.dir == "" {
		return nil, errors.New("nothing is kept of earlier pulls")
	}
	root, err := os.OpenRoot(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoCopy
	}
	if err != nil {
		return nil, fmt.Errorf("the cache cannot be read: %w", err)
	}
	return root, nil
}

// read returns a file that is what its name says, and marks it as used.
func (c cache) read(root *os.Root, name string, max int64, d digest.Digest) ([]byte, error) {
	f, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoCopy
	}
	if err != nil {
		return nil, fmt.Errorf("the cache cannot be read: %w", err)
	}
	defer f.Close()
	b, err := readAll(f, name, max)
	if err != nil || !is(d, b) {
		return nil, fmt.Errorf("its copy %s/%s is damaged", c.dir, name)
	}
	if !c.readOnly {
		now := time.Now()
		root.Chtimes(name, now, now) //nolint:errcheck // only Trim's order depends on it
	}
	return b, nil
}

// keep writes what was pulled, the manifest last: where it is, its module was
// there. It returns after the files were synced and renamed; a rename that a
// power loss undoes costs one more pull.
func (c cache) keep(d digest.Digest, a *artifact) error {
	if c.dir == "" || c.readOnly {
		return nil
	}
	err := os.MkdirAll(c.dir, 0o700)
	if err == nil {
		err = c.write(moduleFile(a.layer.Digest), a.wasm)
	}
	if err == nil {
		err = c.write(manifestFile(d), a.manifest)
	}
	if err != nil {
		return fmt.Errorf("what was pulled cannot be kept, so the next start would need the registry: %w; make room, or give the folder to the user that runs postroad", err)
	}
	return nil
}

func (c cache) write(name string, b []byte) error {
	f, err := os.CreateTemp(c.dir, name+".new*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(c.dir, name))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// Trim removes what was used longest ago from the cache until it holds no more
// than Options.CacheSize; the files of used stay, whatever their size.
func (s *Sources) Trim(used ...*Code) error {
	if s.o.Cache == "" || s.o.ReadOnly {
		return nil
	}
	files, total, err := s.cache.list()
	if err != nil {
		return err
	}
	var keep []string
	for _, c := range used {
		keep = append(keep, c.files...)
	}
	var errs []error
	for _, f := range files {
		if total <= s.o.CacheSize {
			break
		}
		if slices.Contains(keep, f.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(s.cache.dir, f.Name())); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		total -= f.Size()
	}
	return errors.Join(errs...)
}

// list returns the cache's files, the one used longest ago first, and their size
// together.
func (c cache) list() (files []fs.FileInfo, total int64, err error) {
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !ours.MatchString(e.Name()) {
			continue
		}
		files = append(files, info)
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	return files, total, err
}
