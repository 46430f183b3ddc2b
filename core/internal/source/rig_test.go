// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/postroad-mail/postroad/core/internal/source"
)

// module is the smallest WebAssembly module there is.
var module = []byte("\x00asm\x01\x00\x00\x00")

// shop is a registry in this process. Hook sees each request first; it returns
// true when it has answered.
type shop struct {
	*httptest.Server
	Hook  func(w http.ResponseWriter, r *http.Request) bool
	asked atomic.Int64 // GETs
}

func newShop(t *testing.T) *shop {
	t.Helper()
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s := &shop{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			s.asked.Add(1)
		}
		if s.Hook == nil || !s.Hook(w, r) {
			inner.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *shop) host() string { return strings.TrimPrefix(s.URL, "http://") }

// push stores a manifest of these layers, and returns the source of a plugin
// that names it.
func (s *shop) push(t *testing.T, layers ...ocispec.Descriptor) string {
	t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: s.blob(t, ocispec.DescriptorEmptyJSON.MediaType, []byte("{}")), Layers: layers}
	return s.pushManifest(t, ocispec.MediaTypeImageManifest, m)
}

func (s *shop) pushManifest(t *testing.T, mediaType string, m any) string {
	t.Helper()
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromBytes(b).String()
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/v2/filters/spam/manifests/"+d, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", mediaType)
	res, err := http.DefaultClient.Do(put)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("%v, %v", res, err)
	}
	res.Body.Close()
	return "oci:" + s.host() + "/filters/spam@" + d
}

// blob stores content and returns its descriptor.
func (s *shop) blob(t *testing.T, mediaType string, b []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
	if err := s.repo(t).Push(t.Context(), d, bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return d
}

func (s *shop) repo(t *testing.T) *remote.Repository {
	t.Helper()
	r, err := remote.NewRepository(s.host() + "/filters/spam")
	if err != nil {
		t.Fatal(err)
	}
	r.PlainHTTP = true
	return r
}

func read(t *testing.T, o source.Options, r source.Request) *source.Code {
	t.Helper()
	c, err := source.New(o).Read(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused returns the error of a Read that must fail; it is one line.
func refused(t *testing.T, o source.Options, r source.Request) string {
	t.Helper()
	c, err := source.New(o).Read(t.Context(), r)
	if err == nil || c != nil {
		t.Fatalf("%+v was read: %+v", r, c)
	}
	if strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("the error has several lines: %q", err)
	}
	return err.Error()
}

func wantWords(t *testing.T, got string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("no %q in %q", w, got)
		}
	}
}

// write puts a file into a folder of this test and returns its path.
func write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
