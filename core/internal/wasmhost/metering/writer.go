// SPDX-License-Identifier: Apache-2.0

package metering

// appendU32 appends an unsigned LEB128.
func appendU32(b []byte, v uint32) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// appendS64 appends a signed LEB128.
func appendS64(b []byte, v int64) []byte {
	for v < -64 || v > 63 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v)&0x7f)
}

// appendSized appends data behind its length.
func appendSized(b, data []byte) []byte {
	return append(appendU32(b, uint32(len(data))), data...)
}

// appendName appends a string behind its length.
func appendName(b []byte, name string) []byte {
	return append(appendU32(b, uint32(len(name))), name...)
}
