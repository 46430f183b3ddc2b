// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest is the size of the largest manifest, in octets.
const maxManifest = 1 << 20

// annotation of the layer that holds its minisign signature, as text or in
// base64.
const annotation = "dev.postroad.minisig"

// moduleTypes are the media types of a layer that is a module.
var moduleTypes = []string{"application/wasm", "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm"}

// sha256Digest is the only kind of digest that is taken.
var sha256Digest = regexp.MustCompile(`^sha256:[a-f0-9]{64}$`)

// moduleOf returns the one layer of a manifest that is a module. The caller has
// checked the manifest by its digest.
func moduleOf(manifest []byte) (ocispec.Descriptor, error) {
	var m struct {
		MediaType string               `json:"mediaType"`
		Manifests []json.RawMessage    `json:"manifests"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("the digest does not name an OCI manifest (%w); name the digest that the push of the module printed", err)
	}
	if len(m.Manifests) > 0 || strings.Contains(m.MediaType, "index") || strings.Contains(m.MediaType, "manifest.list") {
		return ocispec.Descriptor{}, fmt.Errorf("the digest names an index of several manifests; name the digest of the one manifest that holds the module")
	}
	layers := slices.DeleteFunc(slices.Clone(m.Layers), func(d ocispec.Descriptor) bool { return !slices.Contains(moduleTypes, d.MediaType) })
	if len(m.Layers) == 1 && len(layers) == 0 {
		return ocispec.Descriptor{}, fmt.Errorf("its one layer has the media type %q, which is not that of a module; push it as spam.wasm:%s, with the name of your file",
			shorten(printable(m.Layers[0].MediaType)), moduleTypes[0])
	}
	if len(layers) != 1 {
		return ocispec.Descriptor{}, fmt.Errorf("its manifest has %d layers that are a module, and must have one (media type %s)%s; push the .wasm file alone",
			len(layers), moduleTypes[0], typesOf(m.Layers))
	}
	return layers[0], checkLayer(layers[0])
}

func checkLayer(d ocispec.Descriptor) error {
	if !sha256Digest.MatchString(string(d.Digest)) {
		return fmt.Errorf("its manifest names the module by %q, which is no SHA-256 digest; push it with a tool that uses sha256", shorten(string(d.Digest)))
	}
	if d.Size <= 0 || d.Size > MaxModule {
		return fmt.Errorf("its module is said to have %d octets; it must have 1 to %s", d.Size, octets(MaxModule))
	}
	return nil
}

// typesOf lists what the layers are instead.
func typesOf(layers []ocispec.Descriptor) string {
	var types []string
	for _, l := range layers {
		if !slices.Contains(types, l.MediaType) && len(types) < 4 {
			types = append(types, l.MediaType)
		}
	}
	if len(types) == 0 {
		return ""
	}
	return ", its layers are " + shorten(printable(strings.Join(types, ", ")))
}

// shorten bounds what a stranger's text adds to an error.
func shorten(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

// is reports whether b is the content that d names.
func is(d digest.Digest, b []byte) bool { return "sha256:"+hashOf(b) == string(d) }
