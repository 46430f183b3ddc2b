// SPDX-License-Identifier: Apache-2.0

// Package source gets the code of plugins, and says what vouches for it.
//
// Code is part of the program ("builtin:NAME"), lies in a file, or is pulled
// from an OCI registry by the digest of its manifest
// ("oci:HOST/REPOSITORY@sha256:DIGEST"). Whatever it is, three checks follow, in
// this order: its size, the SHA-256 that the configuration pins, and the
// minisign signature by the key that the configuration trusts.
//
// What a registry sent is kept in a folder and needs no registry the next time:
// a digest names one content for ever. Everything in that folder is checked by
// its hash whenever it is read.
//
// Nothing here is called while mail is served; it is for loads, checks and
// reloads. The package alone knows oras-go and minisign.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// MaxModule is the size of the largest module, in octets.
const MaxModule = 32 << 20

// Options are what Sources need. Zero options read files and pull without
// keeping anything.
type Options struct {
	Builtin func(name string) ([]byte, bool) // code inside the program; nil: there is none
	Names   func() []string                  // what Builtin knows, for error messages; nil with a nil Builtin

	// Cache is the folder in which pulled modules are kept; it is made, with mode
	// 0700, when there is something to keep. Empty: nothing is kept.
	Cache     string
	CacheSize int64 // octets that Trim leaves in it; 0: 256 MiB
	ReadOnly  bool  // use what the cache has, and change nothing in it

	Timeout time.Duration // of one pull, with all its requests; 0: 2 minutes
}

// Sources reads the code of plugins. It is safe for use by many goroutines.
type Sources struct {
	o     Options
	cache cache
}

// New returns Sources. It opens nothing.
func New(o Options) *Sources {
	if o.CacheSize == 0 {
		o.CacheSize = 256 << 20
	}
	if o.Timeout == 0 {
		o.Timeout = 2 * time.Minute
	}
	return &Sources{o, cache{dir: o.Cache, readOnly: o.ReadOnly}}
}

// Request says which code is wanted and what must vouch for it.
type Request struct {
	Source    string // "builtin:NAME", "oci:HOST/REPOSITORY@sha256:DIGEST", or a file as it was written
	Path      string // the absolute path of a file
	SHA256    string // of the module, in hex; empty: not pinned
	PublicKey string // a minisign public key ("RW…") or the absolute path of its file; empty: no signature is asked for
	Signature string // path of the signature; empty: Path + ".minisig", or the annotation of a registry's layer
}

// Code is a module that has passed every check.
type Code struct {
	Wasm     []byte
	From     string // "builtin", "file", "registry" or "cache"
	Verified Verified
	Warning  error // it can be used, but could not be kept; nil as a rule

	files []string // of the cache, by name
}

// Verified is what vouches for a module.
type Verified struct {
	SHA256  string // of the module, in hex
	KeyID   string // of the key whose signature was checked, as minisign prints it; empty: none was asked for
	Comment string // the signature's trusted comment, without control characters
}

// String says it in one line, for people.
func (v Verified) String() string {
	if v.KeyID == "" {
		return "sha256 " + v.SHA256
	}
	return fmt.Sprintf("sha256 %s, signed by key %s (%s)", v.SHA256, v.KeyID, v.Comment)
}

// found is code before its checks, with the signature that came with it.
type found struct {
	wasm      []byte
	from      string
	signature []byte   // nil: none came with it
	files     []string // of the cache
	warning   error
}

// Read returns the code that r asks for. Each fault is one sentence that names
// the file or the source and the remedy; whose plugin it is adds the caller.
func (s *Sources) Read(ctx context.Context, r Request) (*Code, error) {
	f, err := s.find(ctx, r)
	if err != nil {
		return nil, err
	}
	c := &Code{Wasm: f.wasm, From: f.from, Warning: f.warning, files: f.files, Verified: Verified{SHA256: hashOf(f.wasm)}}
	if r.SHA256 != "" && !strings.EqualFold(c.Verified.SHA256, r.SHA256) {
		return nil, &ArgumentError{"sha256", r.otherHash(c.Verified.SHA256)}
	}
	if err := checkSignature(r, f, &c.Verified); err != nil {
		return nil, &ArgumentError{"public_key", err}
	}
	return c, nil
}

// ArgumentError is a fault that an argument of the plugin block shows, other than
// source.
type ArgumentError struct {
	Name string
	Err  error
}

func (e *ArgumentError) Error() string { return e.Err.Error() }
func (e *ArgumentError) Unwrap() error { return e.Err }

// Argument returns the argument's name, for rooms that know no sources.
func (e *ArgumentError) Argument() string { return e.Name }

func (r *Request) otherHash(is string) error {
	if strings.HasSuffix(r.Source, "@sha256:"+strings.ToLower(r.SHA256)) {
		return fmt.Errorf("that is the digest of the manifest; sha256 is that of the module, which is %s", is)
	}
	return fmt.Errorf("its SHA-256 is %s, but sha256 = %q pins another; check where the file came from, then correct the pin", is, r.SHA256)
}

func (s *Sources) find(ctx context.Context, r Request) (*found, error) {
	if name, ok := strings.CutPrefix(r.Source, "builtin:"); ok {
		return s.builtin(name)
	}
	if ref, ok := strings.CutPrefix(r.Source, "oci:"); ok {
		return s.oci(ctx, ref)
	}
	wasm, err := readFile(r.Path, MaxModule, "build the plugin or correct its source")
	return &found{wasm: wasm, from: "file"}, err
}

func (s *Sources) builtin(name string) (*found, error) {
	if s.o.Builtin == nil {
		return nil, fmt.Errorf("there is no builtin plugin %q", name)
	}
	wasm, ok := s.o.Builtin(name)
	if !ok {
		return nil, fmt.Errorf("there is no builtin plugin %q; there are %s", name, strings.Join(s.o.Names(), ", "))
	}
	return &found{wasm: wasm, from: "builtin"}, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
