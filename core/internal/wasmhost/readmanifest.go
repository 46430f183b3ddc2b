// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// ReadManifest returns what a module says of itself, without compiling it. It
// refuses what is no plugin, as Load does.
func ReadManifest(wasm []byte) (Manifest, error) {
	b, err := readBinary(wasm, abi.ManifestSection)
	if err != nil {
		return Manifest{}, fmt.Errorf("this is %w", err)
	}
	if err := checkExports(b); err != nil {
		return Manifest{}, err
	}
	return parseManifest(b.manifest)
}
