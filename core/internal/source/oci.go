// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
)

// reference names one manifest of a registry.
type reference struct {
	registry.Reference
	digest digest.Digest // of the manifest, SHA-256
}

// parseReference reads "HOST/REPOSITORY@sha256:DIGEST". A tag in front of the
// digest says nothing and is left out.
func parseReference(s string) (reference, error) {
	const form = "write oci:HOST/REPOSITORY@sha256:DIGEST"
	r, err := registry.ParseReference(s)
	if err != nil {
		return reference{}, fmt.Errorf("%q is not a module in a registry: %w; %s", "oci:"+s, err, form)
	}
	if r.Reference == "" || r.ValidateReferenceAsTag() == nil {
		return reference{}, fmt.Errorf("%q names no digest, and what a tag means can change at any time; %s, with the digest that \"oras resolve %s\" prints", "oci:"+s, form, s)
	}
	if !sha256Digest.MatchString(r.Reference) {
		return reference{}, fmt.Errorf("%q does not end in a SHA-256 digest; %s", "oci:"+s, form)
	}
	return reference{r, digest.Digest(r.Reference)}, nil
}

// loopback reports whether the registry is on this machine: then it is spoken to
// without TLS.
func (r reference) loopback() bool {
	host := (&url.URL{Host: r.Host()}).Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// artifact is a manifest with its module, both checked by their digests.
type artifact struct {
	manifest []byte
	layer    ocispec.Descriptor
	wasm     []byte
}

// oci returns the module that a manifest in a registry holds: that of the cache
// when it has a sound one, for its digest says that no other can be meant.
func (s *Sources) oci(ctx context.Context, source string) (*found, error) {
	ref, err := parseReference(source)
	if err != nil {
		return nil, err
	}
	a, missing := s.cache.find(ref.digest)
	if missing == nil {
		return a.found(ref, "cache"), nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	if a, err = pull(ctx, ref); err != nil {
		return nil, fmt.Errorf("%w (%w)", err, missing)
	}
	f := a.found(ref, "registry")
	f.warning = s.cache.keep(ref.digest, a)
	return f, nil
}

func (a *artifact) found(ref reference, from string) *found {
	f := &found{wasm: a.wasm, from: from, files: []string{manifestFile(ref.digest), moduleFile(a.layer.Digest)}}
	if text, ok := a.layer.Annotations[annotation]; ok {
		f.signature = []byte(text)
	}
	return f
}
