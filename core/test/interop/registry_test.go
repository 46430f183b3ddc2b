// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/plugins"
)

// registry is a running docker-registry, which asks for a password.
type registry struct {
	t    *testing.T
	addr string
	dir  string // what it stores
	cmd  *exec.Cmd
}

// The password of ann, "secret", as docker-registry wants it.
const passwords = "ann:$2b$05$hrvYtIF.Y4xRfwa7epIyL.ad6Vwu6pWd1wVzgQgkoN4Qz0BMyw62q\n"

func startRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{t: t, addr: testkit.FreeAddr(t), dir: t.TempDir()}
	users := write(t, filepath.Join(t.TempDir(), "htpasswd"), []byte(passwords))
	config := write(t, filepath.Join(t.TempDir(), "config.yml"), fmt.Appendf(nil,
		"version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q}\nauth: {htpasswd: {realm: test, path: %s}}\n", r.dir, r.addr, users))
	r.cmd = exec.Command(program(t, "docker-registry"), "serve", config)
	r.cmd.Stdout, r.cmd.Stderr = t.Output(), t.Output()
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.stop)
	listening(t, r.addr)
	return r
}

// stop ends the registry; a second call does nothing.
func (r *registry) stop() {
	if r.cmd != nil {
		r.cmd.Process.Kill() // Wait tells
		r.cmd.Wait()         // it was killed
		r.cmd = nil
	}
}

// push stores a module with its signature and returns the source of a plugin that names it.
func (r *registry) push(wasm []byte, signature string) string {
	r.t.Helper()
	repo, err := remote.NewRepository(r.addr + "/filters/rewrite")
	if err != nil {
		r.t.Fatal(err)
	}
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Credential: auth.StaticCredential(r.addr, auth.Credential{Username: "ann", Password: "secret"})}
	layer := ocispec.Descriptor{MediaType: "application/wasm", Digest: digest.FromBytes(wasm), Size: int64(len(wasm))}
	if err := repo.Push(r.t.Context(), layer, bytes.NewReader(wasm)); err != nil {
		r.t.Fatal(err)
	}
	layer.Annotations = map[string]string{"dev.postroad.minisig": signature}
	m, err := oras.PackManifest(r.t.Context(), repo, oras.PackManifestVersion1_1, "application/vnd.wasm", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	if err != nil {
		r.t.Fatal(err)
	}
	return "oci:" + r.addr + "/filters/rewrite@" + m.Digest.String()
}

// tamper changes an octet of a stored blob, which keeps its size.
func (r *registry) tamper(wasm []byte) {
	r.t.Helper()
	sum := digest.FromBytes(wasm).Encoded()
	path := filepath.Join(r.dir, "docker/registry/v2/blobs/sha256", sum[:2], sum, "data")
	evil := bytes.Clone(wasm)
	evil[len(evil)/2] ^= 1
	if _, err := os.Stat(path); err != nil {
		r.t.Fatal(err)
	}
	write(r.t, path, evil)
}

// login is the setting that gives the relay ann's password, as `docker login` would leave it.
func (r *registry) login() string {
	r.t.Helper()
	dir := r.t.TempDir()
	write(r.t, filepath.Join(dir, "config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, r.addr, base64.StdEncoding.EncodeToString([]byte("ann:secret"))))
	return "DOCKER_CONFIG=" + dir
}

// signer is a key pair of minisign.
type signer struct{ secret, public, text string }

func newSigner(t *testing.T) signer {
	t.Helper()
	dir := t.TempDir()
	s := signer{secret: filepath.Join(dir, "s.key"), public: filepath.Join(dir, "s.pub")}
	if out, err := output(t, "minisign", "-G", "-W", "-s", s.secret, "-p", s.public); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(s.public)
	if err != nil {
		t.Fatal(err)
	}
	s.text = strings.Split(string(b), "\n")[1]
	return s
}

// sign returns the path of a new signature of the file.
func (s signer) sign(t *testing.T, file string, args ...string) string {
	t.Helper()
	sig := filepath.Join(t.TempDir(), "sig")
	if out, err := output(t, "minisign", append([]string{"-S", "-s", s.secret, "-m", file, "-x", sig, "-t", "made by the test"}, args...)...); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return sig
}

func rewrite(t *testing.T) []byte {
	t.Helper()
	wasm, ok := plugins.Builtin("rewrite")
	if !ok {
		t.Fatal("no builtin rewrite")
	}
	return wasm
}

// pluginFile writes a configuration with one plugin, whose block begins with these lines.
func pluginFile(t *testing.T, lines ...string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "pipeline.hcl"), []byte(`server {
  hostname = "relay.test"
  data_dir = env("POSTROAD_DATA", "./data")
}
listener "smtp" "in" {
  address  = "127.0.0.1:0"
  pipeline = pipeline.in
}
plugin "x" {
  `+strings.Join(lines, "\n  ")+`
  grant {
    read  = ["envelope", "headers", "body"]
    write = ["headers", "recipients", "sender", "body"]
  }
}
pipeline "in" {
  stage "x" { plugin = plugin.x }
}
routing {
  rule { route = route.out }
}
route "out" {
  discard {}
}
`))
}

// check runs `postroad check -v` and returns what it printed, and an error when it found a fault.
func check(t *testing.T, config string, env ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(os.Getenv(binaryVar), "check", "-v", config)
	cmd.Env = append(os.Environ(), env...)
	return outputOf(t, cmd)
}

// TestASignedPluginFromADockerRegistry: pulled with a password, checked by minisign's signature, and there after a
// restart without the registry.
func TestASignedPluginFromADockerRegistry(t *testing.T) {
	r, s := startRegistry(t), newSigner(t)
	wasm := rewrite(t)
	sig, err := os.ReadFile(s.sign(t, write(t, filepath.Join(t.TempDir(), "x.wasm"), wasm)))
	if err != nil {
		t.Fatal(err)
	}
	config := pluginFile(t, fmt.Sprintf("source = %q", r.push(wasm, string(sig))), fmt.Sprintf("public_key = %q", s.text))
	out, err := check(t, config, "DOCKER_CONFIG="+t.TempDir())
	if err == nil || !strings.Contains(out, "docker login "+r.addr) {
		t.Errorf("without a password: %v\n%s", err, out)
	}
	login, data := r.login(), "POSTROAD_DATA="+filepath.Join(t.TempDir(), "data")
	out, err = check(t, config, login, data)
	if want := "sha256 " + digest.FromBytes(wasm).Encoded() + ", signed by key "; err != nil || !strings.Contains(out, want) || !strings.Contains(out, "made by the test") {
		t.Errorf("%v\n%s", err, out)
	}
	first := startRelay(t, config, login, data)
	eventually(t, "the log does not tell of the registry", logs(first, "from=registry", "made by the test"))
	list := exec.Command(os.Getenv(binaryVar), "-c", config, "stage", "list")
	list.Env = append(os.Environ(), data)
	if out, err := outputOf(t, list); err != nil || !strings.Contains(out, digest.FromBytes(wasm).Encoded()[:12]+" signed by ") {
		t.Errorf("%v\n%s", err, out)
	}
	first.end()
	r.stop()
	second := startRelay(t, config, data)
	eventually(t, "the log does not tell of the cache", logs(second, "from=cache", "made by the test"))
}

func logs(r *relay, words ...string) func() error {
	return func() error {
		for _, w := range words {
			if !strings.Contains(r.logged(), w) {
				return fmt.Errorf("no %q in\n%s", w, r.logged())
			}
		}
		return nil
	}
}

// TestADockerRegistryThatWasTamperedWith is found out by the digest.
func TestADockerRegistryThatWasTamperedWith(t *testing.T) {
	r := startRegistry(t)
	config := pluginFile(t, fmt.Sprintf("source = %q", r.push(rewrite(t), "")))
	if out, err := check(t, config, r.login()); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r.tamper(rewrite(t))
	out, err := check(t, config, r.login())
	if err == nil || !strings.Contains(out, "nothing of it is used") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSignaturesByTheProgramMinisign of both kinds.
func TestSignaturesByTheProgramMinisign(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	file := write(t, filepath.Join(t.TempDir(), "x.wasm"), rewrite(t))
	altered := write(t, filepath.Join(t.TempDir(), "y.wasm"), append(rewrite(t), 0, 2, 1, 'x'))
	for _, x := range []struct {
		name, file, key, sig, want string
		good                       bool
	}{
		{"prehashed", file, s.text, s.sign(t, file), "signed by key", true},
		{"legacy, key in its file", file, s.public, s.sign(t, file, "-l"), "signed by key", true},
		{"altered module", altered, s.text, s.sign(t, file), "the module was altered", false},
		{"altered module, legacy", altered, s.text, s.sign(t, file, "-l"), "the module was altered", false},
		{"another key", file, s.text, other.sign(t, file), "correct public_key", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			out, err := check(t, pluginFile(t, fmt.Sprintf("source = %q", x.file), fmt.Sprintf("signature = %q", x.sig), fmt.Sprintf("public_key = %q", x.key)))
			if (err == nil) != x.good || !strings.Contains(out, x.want) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
