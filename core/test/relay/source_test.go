// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/jedisct1/go-minisign"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"

	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/plugins"
)

// shop is a registry in this process that counts what it is asked.
type shop struct {
	*httptest.Server
	asked atomic.Int64
	hang  atomic.Pointer[chan struct{}] // told of a request that gets no answer; nil: all get one
}

func newShop(t *testing.T) *shop {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	s := &shop{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if told := s.hang.Load(); told != nil {
			*told <- struct{}{}
			<-r.Context().Done()
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// push stores a module and returns the source that names it.
func (s *shop) push(t *testing.T, wasm []byte, annotations map[string]string) string {
	t.Helper()
	repo, err := remote.NewRepository(strings.TrimPrefix(s.URL, "http://") + "/filters/x")
	if err != nil {
		t.Fatal(err)
	}
	repo.PlainHTTP = true
	layer := ocispec.Descriptor{MediaType: "application/wasm", Digest: digest.FromBytes(wasm), Size: int64(len(wasm))}
	if err := repo.Push(t.Context(), layer, bytes.NewReader(wasm)); err != nil {
		t.Fatal(err)
	}
	layer.Annotations = annotations
	m, err := oras.PackManifest(t.Context(), repo, oras.PackManifestVersion1_1, "application/vnd.wasm", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		t.Fatal(err)
	}
	return "oci:" + repo.Reference.Registry + "/" + repo.Reference.Repository + "@" + m.Digest.String()
}

// signer is a key pair of minisign made for this test.
type signer struct{ key minisign.PrivateKey }

func newSigner(t *testing.T) *signer {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}}
	copy(s.key.SecretKey[:], secret)
	return s
}

const signerID = "0807060504030201"

// public is the key's text.
func (s *signer) public() string {
	p := s.key.PublicKey()
	return base64.StdEncoding.EncodeToString(slices.Concat(p.SignatureAlgorithm[:], p.KeyId[:], p.PublicKey[:]))
}

func (s *signer) sign(t *testing.T, wasm []byte) string {
	t.Helper()
	sig, err := s.key.Sign(wasm, minisign.SignOptions{TrustedComment: "rewrite 1.0", Hashed: true})
	if err != nil {
		t.Fatal(err)
	}
	return string(sig.Encode())
}

func builtin(t *testing.T, name string) []byte {
	t.Helper()
	wasm, ok := plugins.Builtin(name)
	if !ok {
		t.Fatalf("no builtin %q", name)
	}
	return wasm
}

// rewriting is a configuration whose one stage is the builtin rewrite, had from
// another place.
func rewriting(source, more string) string {
	return base(`stage "x" {
  plugin = plugin.x
  config {
    delete_header {
      name = "X-Secret"
    }
  }
}`, fmt.Sprintf(`plugin "x" {
  source = %q
  %s
  grant {
    read  = ["envelope", "headers", "body"]
    write = ["headers", "recipients", "sender", "body"]
  }
}`, source, more))
}

// TestAPluginFromARegistry: it is pulled when the configuration is loaded and at
// no other time, and once it was there a restart needs no registry.
func TestAPluginFromARegistry(t *testing.T) {
	s, author := newShop(t), newSigner(t)
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	src := s.push(t, builtin(t, "rewrite"), map[string]string{"dev.postroad.minisig": author.sign(t, builtin(t, "rewrite"))})
	o := g.options(rewriting(src, fmt.Sprintf("public_key = %q", author.public())), nil)
	var said bytes.Buffer
	o.InMemory, o.LogOutput = false, &said
	start := func() {
		r, err := relay.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		g.run(r)
	}
	send := func(n int) {
		g.dial().send(250, "a@here.test", "X-Secret: 1\r\n"+hello, "b@far.test")
		if got := wait(t, g, n)[n-1]; strings.Contains(got, "X-Secret") {
			t.Errorf("the plugin did not run:\n%s", got)
		}
	}
	start()
	asked := s.asked.Load()
	if got := g.r.Stages(); len(got) != 1 || got[0].Signer != signerID {
		t.Errorf("stages %+v", got)
	}
	send(1)
	if err := g.r.Reload(context.Background()); err != nil {
		t.Error(err)
	}
	send(2)
	if n := s.asked.Load() - asked; n != 0 {
		t.Errorf("the registry was asked %d times after the load", n)
	}
	g.end()
	s.Close()
	start()
	send(3)
	g.end()
	for _, want := range []string{"plugin loaded", "from=registry", "from=cache", "signer=" + signerID, "rewrite 1.0"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no %q in the log\n%s", want, said.String())
		}
	}
}

// TestACheckPullsAndKeepsNothing: it does not touch the data directory.
func TestACheckPullsAndKeepsNothing(t *testing.T) {
	s := newShop(t)
	dir := filepath.Join(t.TempDir(), "data")
	hcl := rewriting(s.push(t, builtin(t, "rewrite"), nil), "")
	o := relay.Options{Config: []byte(hcl), DataDir: dir, Env: func(string) (string, bool) { return "127.0.0.1:25", true }}
	c, err := relay.Check(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Plugins) != 1 || c.Plugins[0].From != "registry" || c.Plugins[0].SHA256 != digest.FromBytes(builtin(t, "rewrite")).Encoded() {
		t.Errorf("%+v", c.Plugins)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the data directory was made")
	}
}

// TestAReloadWithAPluginThatCannotBeTrustedChangesNothing. Each fault is one
// line that names the plugin, the place and the remedy.
func TestAReloadWithAPluginThatCannotBeTrustedChangesNothing(t *testing.T) {
	s := newShop(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.hcl")
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	good := rewriting(s.push(t, builtin(t, "rewrite"), nil), "")
	put("pipeline.hcl", []byte(good))
	put("x.wasm", builtin(t, "rewrite"))
	put("other.minisig", []byte("untrusted comment: signature from minisign secret key\nRUQ4ErvNkVOtQNIlT8ownKwVUfoxwvLhhcQq048rRP9f76plUV/5k0RpiafdO0alKg/UnCFTiQ9fTAsIvQIwNwQ9Kn428GFVNQU=\ntrusted comment: postroad test 1.0\n/VHeP+fvi5mQA0euTzbVsmf24vMf2pYNp20IQVQUk49sdVL81hCjh8erdYWKhlGDWcDm0rOks3bjYI1nZOl9Aw==\n"))
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options("", nil)
	o.Config, o.ConfigFile = nil, file
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	const key, otherKey = "RWQ4ErvNkVOtQBZYOaFGRV0wJPWCCMI6qjRbq5ntIF/alJct8elxyh0/", "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
	nowhere := "oci:" + strings.TrimPrefix(s.URL, "http://") + "/filters/x@" + digest.FromString("x").String()
	for _, c := range []struct {
		name, hcl string
		want      []string
	}{
		{"not in the registry", rewriting(nowhere, ""), []string{"does not have", "push it there"}},
		{"no signature", rewriting("./x.wasm", fmt.Sprintf("public_key = %q", key)), []string{"x.wasm.minisig does not exist", "minisign -Sm"}},
		{"no signature in the registry", rewriting(s.push(t, builtin(t, "rewrite"), nil), fmt.Sprintf("public_key = %q", key)), []string{"asks for a signature", "none came with oci:"}},
		{"signature of another module", rewriting("./x.wasm", fmt.Sprintf("public_key = %q\nsignature = \"./other.minisig\"", key)), []string{"other.minisig", "the module was altered or is another one"}},
		{"signature by another key", rewriting("./x.wasm", fmt.Sprintf("public_key = %q\nsignature = \"./other.minisig\"", otherKey)), []string{"other.minisig", "made by key 40AD5391CDBB1238", "correct public_key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			put("pipeline.hcl", []byte(c.hcl))
			err := r.Reload(context.Background())
			if !errors.Is(err, relay.ErrConfig) {
				t.Fatalf("got %v", err)
			}
			for _, w := range append(c.want, `plugin "x" cannot be used`, "pipeline.hcl:") {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in %v", w, err)
				}
			}
		})
	}
	g.dial().send(250, "a@here.test", "X-Secret: 1\r\n"+hello, "b@far.test")
	if got := wait(t, g, 1)[0]; strings.Contains(got, "X-Secret") {
		t.Errorf("a refused reload changed the pipeline:\n%s", got)
	}
}

// TestARegistryThatHangsStopsNothing: while a reload waits for it, mail is
// served, and the relay can end.
func TestARegistryThatHangsStopsNothing(t *testing.T) {
	s := newShop(t)
	file := filepath.Join(t.TempDir(), "pipeline.hcl")
	put := func(hcl string) {
		if err := os.WriteFile(file, []byte(hcl), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(base("", ""))
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options("", nil)
	o.Config, o.ConfigFile = nil, file
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	put(rewriting(s.push(t, builtin(t, "rewrite"), nil), ""))
	told := make(chan struct{}, 1)
	s.hang.Store(&told)
	reloaded := make(chan error, 1)
	go func() { reloaded <- r.Reload(context.Background()) }()
	<-told
	if r.Addr("in") == nil {
		t.Error("the listener is gone")
	}
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	wait(t, g, 1)
	g.end()
	if err := <-reloaded; err == nil || !strings.Contains(err.Error(), "going down") {
		t.Errorf("the reload ended with %v", err)
	}
}
