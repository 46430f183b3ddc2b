// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/jedisct1/go-minisign"
	"github.com/opencontainers/go-digest"
)

// FuzzSignature: whatever a signature file holds, it is good for one module at
// most, and only if the key is the signer's.
func FuzzSignature(f *testing.F) {
	module, _ := os.ReadFile("testdata/empty.wasm")
	pub, _ := os.ReadFile("testdata/signer.pub")
	key, err := minisign.NewPublicKey(keyLine(string(pub)))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"testdata/empty.wasm.minisig", "testdata/legacy.minisig"} {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := verify(key, seed, module); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add([]byte("untrusted comment: \n\ntrusted comment: \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		sig, err := verify(key, text, module)
		if err != nil {
			return
		}
		if sig.KeyId != key.KeyId {
			t.Errorf("a signature by key %s was taken for one by %s", keyID(sig.KeyId), keyID(key.KeyId))
		}
		if c := strings.TrimPrefix(sig.TrustedComment, trustedPrefix); c != "postroad test 1.0" && c != "legacy" {
			t.Errorf("the trusted comment %q was never signed", c)
		}
		if _, err := verify(key, text, append(bytes.Clone(module), 0)); err == nil {
			t.Error("the signature is good for another module, too")
		}
	})
}

// FuzzPublicKey: a key file gives a key or an error.
func FuzzPublicKey(f *testing.F) {
	pub, _ := os.ReadFile("testdata/signer.pub")
	f.Add(string(pub))
	f.Add("RW")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := readKey(keyLine(text))
		if err == nil && key.SignatureAlgorithm != [2]byte{'E', 'd'} {
			t.Errorf("a key of the algorithm %q", key.SignatureAlgorithm)
		}
	})
}

// FuzzManifest: the layer that comes out of a manifest is within bounds, and its
// digest is safe as a file's name.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/wasm","digest":"sha256:` + strings.Repeat("a", 64) + `","size":8,"annotations":{"dev.postroad.minisig":"x"}}]}`))
	f.Add([]byte(`{"manifests":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := moduleOf(text)
		if err != nil {
			return
		}
		if d.Size <= 0 || d.Size > MaxModule || !ours.MatchString(moduleFile(d.Digest)) {
			t.Errorf("%+v", d)
		}
	})
}

// FuzzReference: what is taken for a source in a registry has a digest, and its
// text names the same again.
func FuzzReference(f *testing.F) {
	sum := "@" + digest.FromString("x").String()
	for _, s := range []string{"registry.example/filters/spam" + sum, "localhost:5000/x" + sum, "[::1]:5000/x" + sum, "host/x:v1" + sum, "host/x:v1", "host", "u@host/x" + sum} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := parseReference(s)
		if err != nil {
			return
		}
		again, err := parseReference(r.String())
		if err != nil || again != r || !ours.MatchString(manifestFile(r.digest)) {
			t.Errorf("%q is %v, then %v, %v", s, r, again, err)
		}
		r.loopback()
	})
}
