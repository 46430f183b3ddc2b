// SPDX-License-Identifier: Apache-2.0

package postroad

import "github.com/postroad-mail/postroad/sdk/abi"

// tlvHead is the length of an entry's head: u16 tag, u32 length.
const tlvHead = 6

// tlv returns one entry: u16 tag, u32 length, octets, little-endian.
func tlv[T string | []byte](tag int, value T) []byte { return appendTLV(nil, tag, value) }

// appendTLV appends one entry to b.
func appendTLV[T string | []byte](b []byte, tag int, value T) []byte {
	b = append(b, byte(tag), byte(tag>>8))
	return append(appendU32(b, uint32(len(value))), value...)
}

func appendU32(b []byte, n uint32) []byte {
	return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
}

// eachTLV calls f for every entry of b, until f fails. A damaged entry is
// abi.ErrBadArgument.
func eachTLV(b []byte, f func(tag int, value []byte) error) error {
	for len(b) > 0 {
		if len(b) < tlvHead || uint64(u32(b[2:])) > uint64(len(b)-tlvHead) {
			return abi.ErrBadArgument
		}
		end := tlvHead + int(u32(b[2:]))
		if err := f(int(b[0])|int(b[1])<<8, b[tlvHead:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

// number returns little-endian octets as a number; more than 8 are cut off.
func number(b []byte) uint64 {
	var n uint64
	for i := 0; i < len(b) && i < 8; i++ {
		n |= uint64(b[i]) << (8 * i)
	}
	return n
}

func u32(b []byte) uint32 { return uint32(number(b[:4])) }
