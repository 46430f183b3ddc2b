// SPDX-License-Identifier: Apache-2.0

package source_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/postroad-mail/postroad/core/internal/source"
)

const wasmType = "application/wasm"

func TestAModuleIsPulledByTheDigestOfItsManifest(t *testing.T) {
	s := newShop(t)
	for _, mediaType := range []string{wasmType, "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"} {
		src := s.push(t, s.blob(t, "text/plain", []byte("a README")), s.blob(t, mediaType, module))
		c := read(t, source.Options{}, source.Request{Source: src, SHA256: sum(module)})
		if string(c.Wasm) != string(module) || c.From != "registry" || c.Warning != nil {
			t.Errorf("%s: %+v", mediaType, c)
		}
		tagged := strings.Replace(src, "/spam@", "/spam:v1@", 1)
		if c := read(t, source.Options{}, source.Request{Source: tagged}); string(c.Wasm) != string(module) {
			t.Errorf("%s: %+v", tagged, c)
		}
	}
}

func TestThePinIsThatOfTheModule(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	wantWords(t, refused(t, source.Options{}, source.Request{Source: src, SHA256: sum(nil)}), "pins another", sum(module))
	_, digest, _ := strings.Cut(src, "@sha256:")
	wantWords(t, refused(t, source.Options{}, source.Request{Source: src, SHA256: digest}), "that is the digest of the manifest; sha256 is that of the module, which is "+sum(module))
}

// TestARestartNeedsNoRegistry: what was pulled once is read from the cache, and
// the registry is asked nothing.
func TestARestartNeedsNoRegistry(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	o := source.Options{Cache: filepath.Join(t.TempDir(), "data", "modules")}
	read(t, o, source.Request{Source: src})
	asked := s.asked.Load()
	if c := read(t, o, source.Request{Source: src}); c.From != "cache" || s.asked.Load() != asked {
		t.Errorf("from %s, %d more requests", c.From, s.asked.Load()-asked)
	}
	s.Close()
	c := read(t, o, source.Request{Source: src})
	if c.From != "cache" || string(c.Wasm) != string(module) {
		t.Errorf("%+v", c)
	}
	wantWords(t, refused(t, source.Options{Cache: t.TempDir()}, source.Request{Source: src}), s.host(), "check that the registry runs", "the cache has no copy")
	wantPrivate(t, o.Cache)
}

// wantPrivate checks that folder and files are for their owner alone, and that
// no unfinished file is left.
func wantPrivate(t *testing.T, dir string) {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 || strings.Contains(e.Name(), ".new") {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if len(entries) != 2 {
		t.Errorf("%d files in the cache", len(entries))
	}
}

func TestADamagedCacheIsNotUsed(t *testing.T) {
	for _, suffix := range []string{".wasm", ".json"} {
		t.Run(suffix, func(t *testing.T) {
			s := newShop(t)
			src := s.push(t, s.blob(t, wasmType, module))
			o := source.Options{Cache: t.TempDir()}
			read(t, o, source.Request{Source: src})
			damage(t, o.Cache, suffix)
			if c := read(t, o, source.Request{Source: src}); c.From != "registry" || string(c.Wasm) != string(module) {
				t.Errorf("%+v", c)
			}
			if c := read(t, o, source.Request{Source: src}); c.From != "cache" {
				t.Errorf("the damaged file was not replaced: %+v", c)
			}
			damage(t, o.Cache, suffix)
			s.Close()
			wantWords(t, refused(t, o, source.Request{Source: src}), "its copy", suffix+" is damaged", "check that the registry runs")
		})
	}
}

func damage(t *testing.T, dir, suffix string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if len(files) != 1 {
		t.Fatalf("%d files %s", len(files), suffix)
	}
	if err := os.WriteFile(files[0], []byte("\x00asm\x01\x00\x00\x01"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAReadOnlyCacheIsLeftAlone(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	dir := filepath.Join(t.TempDir(), "modules")
	if c := read(t, source.Options{Cache: dir, ReadOnly: true}, source.Request{Source: src}); c.From != "registry" {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("the folder was made")
	}
	read(t, source.Options{Cache: dir}, source.Request{Source: src})
	if c := read(t, source.Options{Cache: dir, ReadOnly: true}, source.Request{Source: src}); c.From != "cache" {
		t.Errorf("%+v", c)
	}
}

// TestAModuleThatCannotBeKeptIsUsedAllTheSame, with a warning: a full disk is no
// reason to refuse a plugin.
func TestAModuleThatCannotBeKeptIsUsedAllTheSame(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	c := read(t, source.Options{Cache: filepath.Join(write(t, "file", nil), "modules")}, source.Request{Source: src})
	if string(c.Wasm) != string(module) || c.Warning == nil {
		t.Fatalf("%+v", c)
	}
	wantWords(t, c.Warning.Error(), "cannot be kept", "the next start would need the registry")
}

func TestTheCacheIsBounded(t *testing.T) {
	s := newShop(t)
	o := source.Options{Cache: t.TempDir()}
	var codes []*source.Code
	for i := range 5 {
		src := s.push(t, s.blob(t, wasmType, append(slices.Clone(module), make([]byte, 1000+i)...)))
		codes = append(codes, read(t, o, source.Request{Source: src}))
		setAge(t, o.Cache, codes[i].Verified.SHA256, time.Duration(10-i)*time.Hour)
	}
	o.CacheSize = size(t, o.Cache) - 2500 // three modules have to go
	foreign := filepath.Join(o.Cache, "notes.txt")
	if err := os.WriteFile(foreign, make([]byte, 9000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := source.New(o).Trim(codes[0]); err != nil {
		t.Fatal(err)
	}
	var left []int
	for i, c := range codes {
		if _, err := os.Stat(filepath.Join(o.Cache, c.Verified.SHA256+".wasm")); err == nil {
			left = append(left, i)
		}
	}
	if !slices.Equal(left, []int{0, 4}) {
		t.Errorf("modules %v are left: not the one in use and the newest", left)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error("a file of someone else was removed")
	}
	o.CacheSize = 1
	if err := source.New(o).Trim(codes...); err != nil || len(glob(t, o.Cache)) == 0 {
		t.Errorf("what is in use was removed, %v", err)
	}
	if err := source.New(o).Trim(); err != nil || len(glob(t, o.Cache)) != 0 {
		t.Errorf("left: %v, %v", glob(t, o.Cache), err)
	}
}

func size(t *testing.T, dir string) (total int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if err != nil || total == 0 {
		t.Fatalf("%d octets, %v", total, err)
	}
	return total
}

func glob(t *testing.T, dir string) []string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.wasm"))
	return files
}

func setAge(t *testing.T, dir, sum string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(dir, sum+".wasm"), then, then); err != nil {
		t.Fatal(err)
	}
}

func TestSourcesThatNameNoManifest(t *testing.T) {
	d := digest.FromString("x").String()
	for src, words := range map[string][]string{
		"oci:registry.example/filters/spam:v1":           {"names no digest", "oras resolve registry.example/filters/spam:v1"},
		"oci:registry.example/filters/spam":              {"names no digest", "HOST/REPOSITORY@sha256:DIGEST"},
		"oci:spam@" + d:                                  {"is not a module in a registry", "HOST/REPOSITORY@sha256:DIGEST"},
		"oci:registry.example/Filters@" + d:              {"is not a module in a registry"},
		"oci:registry.example/x@" + d[:20]:               {"is not a module in a registry"},
		"oci:registry.example/x@sha512:" + d[7:] + d[7:]: {"does not end in a SHA-256 digest"},
		"oci:": {"is not a module in a registry"},
	} {
		wantWords(t, refused(t, source.Options{}, source.Request{Source: src}), append(words, fmt.Sprintf("%q", src))...)
	}
}

func TestManifestsThatHoldNoModule(t *testing.T) {
	s := newShop(t)
	wasm := s.blob(t, wasmType, module)
	tar := s.blob(t, ocispec.MediaTypeImageLayerGzip, []byte("an image"))
	resize := func(size int64) ocispec.Descriptor { d := wasm; d.Size = size; return d }
	badDigest := wasm
	badDigest.Digest = "sha512:" + digest.Digest(strings.Repeat("a", 128))
	one := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(strings.SplitN(s.push(t, wasm), "@", 2)[1]), Size: 1}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{one}}
	index.SchemaVersion = 2
	raw := func(layers ...ocispec.Descriptor) any { return map[string]any{"schemaVersion": 2, "layers": layers} }
	for _, x := range []struct {
		name, mediaType string
		manifest        any
		words           []string
	}{
		{"index", ocispec.MediaTypeImageIndex, index, []string{"index of several manifests", "name the digest of the one manifest"}},
		{"two modules", ocispec.MediaTypeImageManifest, raw(wasm, wasm), []string{"2 layers that are a module"}},
		{"container image", ocispec.MediaTypeImageManifest, raw(tar, tar), []string{"0 layers that are a module", "its layers are " + ocispec.MediaTypeImageLayerGzip + ";", "push the .wasm file alone"}},
		{"module of another media type", ocispec.MediaTypeImageManifest, raw(tar), []string{"push it as spam.wasm:application/wasm"}},
		{"no layer", ocispec.MediaTypeImageManifest, raw(), []string{"0 layers"}},
		{"no JSON object", ocispec.MediaTypeImageManifest, 7, []string{"does not name an OCI manifest"}},
		{"too large", ocispec.MediaTypeImageManifest, raw(resize(source.MaxModule + 1)), []string{"33554433 octets", "32 MiB"}},
		{"empty", ocispec.MediaTypeImageManifest, raw(resize(0)), []string{"0 octets"}},
		{"negative", ocispec.MediaTypeImageManifest, raw(resize(-1)), []string{"-1 octets"}},
		{"digest of another kind", ocispec.MediaTypeImageManifest, raw(badDigest), []string{"no SHA-256 digest"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			src := s.pushManifest(t, x.mediaType, x.manifest)
			wantWords(t, refused(t, source.Options{}, source.Request{Source: src}), append(x.words, s.host()+"/filters/spam@sha256:")...)
		})
	}
}

// TestWhatRegistriesGetWrong: nothing that a registry says is believed.
func TestWhatRegistriesGetWrong(t *testing.T) {
	blob := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") }
	manifest := func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/manifests/") }
	answer := func(which func(*http.Request) bool, status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if !which(r) {
				return false
			}
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprint(w, body)
			return true
		}
	}
	for _, x := range []struct {
		name  string
		hook  func(http.ResponseWriter, *http.Request) bool
		words []string
	}{
		{"tampered module", answer(blob, 200, "\x00asm\x01\x00\x00\x01"), []string{"sent something else", "nothing of it is used"}},
		{"module cut short", answer(blob, 200, "\x00asm"), []string{"cannot be had"}},
		{"module that goes on", answer(blob, 200, string(module)+strings.Repeat("x", 1<<20)), []string{"sent something else", "trailing data"}},
		{"tampered manifest", answer(manifest, 200, "{}", "Content-Type", ocispec.MediaTypeImageManifest), []string{"digest mismatch"}},
		{"huge manifest", answer(manifest, 200, strings.Repeat(" ", 2<<20), "Content-Type", ocispec.MediaTypeImageManifest), []string{"cannot be had"}},
		{"no such manifest", answer(manifest, 404, ""), []string{"does not have", "push it there"}},
		{"no such module", answer(blob, 404, ""), []string{"does not have"}},
		{"not for us", answer(manifest, 403, ""), []string{"does not give", "docker login"}},
		{"wants a password", answer(manifest, 401, "", "WWW-Authenticate", `Basic realm="x"`), []string{"does not give", "docker login"}},
		{"a web server", answer(manifest, 200, "<html>", "Content-Type", "text/html"), []string{"cannot be had"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := newShop(t)
			src := s.push(t, s.blob(t, wasmType, module))
			s.Hook = x.hook
			o := source.Options{Cache: t.TempDir()}
			wantWords(t, refused(t, o, source.Request{Source: src}), append(x.words, s.host())...)
			if left := glob(t, o.Cache); len(left) != 0 {
				t.Errorf("the cache has %v", left)
			}
		})
	}
}

// TestASilentRegistryIsGivenUp: a pull ends when its time is over.
func TestASilentRegistryIsGivenUp(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	end := make(chan struct{})
	s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-end:
		}
		return true
	}
	wantWords(t, refused(t, source.Options{Timeout: 50 * time.Millisecond}, source.Request{Source: src}), "cannot be had", context.DeadlineExceeded.Error())
	close(end)
}

func TestCredentialsAreThoseOfDocker(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	s.Hook = func(w http.ResponseWriter, r *http.Request) bool {
		if user, pass, _ := r.BasicAuth(); user == "ann" && pass == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	config := filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json")
	login := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, s.host(), base64.StdEncoding.EncodeToString([]byte("ann:secret")))
	if err := os.WriteFile(config, []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
	read(t, source.Options{}, source.Request{Source: src})
	if err := os.WriteFile(config, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantWords(t, refused(t, source.Options{}, source.Request{Source: src}), "docker's configuration", "DOCKER_CONFIG", s.host())
}

// TestAUserWithoutAHomePullsWithoutCredentials, as a service may run.
func TestAUserWithoutAHomePullsWithoutCredentials(t *testing.T) {
	s := newShop(t)
	src := s.push(t, s.blob(t, wasmType, module))
	t.Setenv("DOCKER_CONFIG", "")
	t.Setenv("HOME", "")
	if c := read(t, source.Options{}, source.Request{Source: src}); string(c.Wasm) != string(module) {
		t.Errorf("%+v", c)
	}
}

// TestTheLayerCarriesItsSignature, as text or in base64; a file that the
// configuration names comes before it.
func TestTheLayerCarriesItsSignature(t *testing.T) {
	s := newShop(t)
	sig := string(testdata(t, "empty.wasm.minisig"))
	signed := func(text string) string {
		d := s.blob(t, wasmType, module)
		d.Annotations = map[string]string{"dev.postroad.minisig": text}
		return s.push(t, d)
	}
	o := source.Options{Cache: t.TempDir()}
	for _, text := range []string{sig, base64.StdEncoding.EncodeToString([]byte(sig)) + "\n"} {
		src := signed(text)
		for _, from := range []string{"registry", "cache"} {
			c := read(t, o, source.Request{Source: src, PublicKey: key})
			if c.Verified.KeyID != keyID || c.Verified.Comment != "postroad test 1.0" || c.From != from {
				t.Errorf("%+v", c)
			}
		}
	}
	for text, words := range map[string][]string{
		"%%":                                  {"annotation dev.postroad.minisig", "neither a minisign signature nor one in base64"},
		strings.Replace(sig, "1.0", "2.0", 1): {"annotation dev.postroad.minisig", "trusted comment"},
		strings.Repeat("A", 33<<10):           {"annotation dev.postroad.minisig", "larger than 32 KiB"},
	} {
		wantWords(t, refused(t, o, source.Request{Source: signed(text), PublicKey: key}), words...)
	}
	bare := s.push(t, s.blob(t, wasmType, module))
	wantWords(t, refused(t, o, source.Request{Source: bare, PublicKey: key}), "none came with "+bare)
	c := read(t, o, source.Request{Source: signed("%%"), PublicKey: key, Signature: abs(t, "testdata/legacy.minisig")})
	if c.Verified.Comment != "legacy" {
		t.Errorf("%+v", c.Verified)
	}
}
