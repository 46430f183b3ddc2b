// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"encoding/binary"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// A TLV sequence has entries of u16 tag, u32 length and octets, little-endian,
// with nothing between them.
const tlvHead = 6

// entries calls f for each entry of a sequence, as long as f returns 0, and
// returns the last that it did. value is a part of b. What does not end where
// its lengths say is a bad argument.
func entries(b []byte, f func(tag int, value []byte) abi.Errno) abi.Errno {
	for len(b) > 0 {
		tag, value, rest, ok := cutTLV(b)
		if !ok {
			return abi.ErrBadArgument
		}
		if e := f(tag, value); e != 0 {
			return e
		}
		b = rest
	}
	return 0
}

// cutTLV takes the first entry off.
func cutTLV(b []byte) (tag int, value, rest []byte, ok bool) {
	if len(b) < tlvHead {
		return 0, nil, nil, false
	}
	n := binary.LittleEndian.Uint32(b[2:])
	if uint64(n) > uint64(len(b)-tlvHead) {
		return 0, nil, nil, false
	}
	end := tlvHead + int(n)
	return int(binary.LittleEndian.Uint16(b)), b[tlvHead:end:end], b[end:], true
}

// appendTLV adds one entry.
func appendTLV(b []byte, tag int, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, uint16(tag))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	return append(b, value...)
}
