// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// withManifest appends the manifest to a module, without white space, as the
// custom section that the host reads.
func withManifest(module, manifest []byte) ([]byte, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, manifest); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	content := binary.AppendUvarint(nil, uint64(len(abi.ManifestSection)))
	content = append(content, abi.ManifestSection...)
	content = append(content, compact.Bytes()...)
	section := binary.AppendUvarint([]byte{0}, uint64(len(content)))
	return append(bytes.Clone(module), append(section, content...)...), nil
}
