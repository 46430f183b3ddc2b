// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// Pebble's log and manifest are files of blocks, and a block is filled with
// chunks. A record is one full chunk, or a first one, some in the middle and a
// last one. The head of a chunk is
//
//	checksum (4 octets), length (2), kind (1)           in a manifest: kinds 1 to 4
//	and number of the log (4)                           in a log: kinds 5 to 8
//	and the offset that was synced (8)                  in a log: kinds 9 to 12
//
// Pebble's own reader takes what it cannot read for the end of the file, unless
// the offset of a later chunk says that this octet had been synced; and that
// offset leaves out whole blocks, so that it hardly ever says it (record.go,
// log_writer.go in v2.1). A damaged octet then costs all mail behind it, and
// nobody is told. This reader goes on behind the damage, from octet to octet.

const block = 32 << 10

// Lengths of the head by the kind of chunk.
const (
	manifestHead = 7
	logHead      = 11
	syncHead     = 19
)

// chunks reads one file.
type chunks struct {
	octets []byte
	isLog  bool
	log    uint32 // number of the log
	at     int
	gap    int  // where the first damage is; -1: there was none so far
	jumped bool // there is damage right before the last chunk
	ended  bool // the log was closed in order
}

func logChunks(octets []byte, number uint32) *chunks {
	return &chunks{octets: octets, isLog: true, log: number, gap: -1}
}

func manifestChunks(octets []byte) *chunks { return &chunks{octets: octets, gap: -1} }

// next returns the next record; one of which a chunk is missing is left out.
func (c *chunks) next() (record []byte, ok bool) {
	for {
		kind, payload := c.chunk()
		if c.jumped {
			record = nil
		}
		switch {
		case kind == kindNone:
			return nil, false
		case kind == kindFull:
			return payload, true
		case kind == kindFirst:
			record = append([]byte{}, payload...)
		case record == nil: // its beginning is missing
		case kind == kindLast:
			return append(record, payload...), true
		default:
			record = append(record, payload...)
		}
	}
}

// What a chunk is of its record.
const (
	kindFull = iota
	kindFirst
	kindMiddle
	kindLast
	kindNone
)

// chunk returns the kind and the payload of the next chunk that is whole.
func (c *chunks) chunk() (kind int, payload []byte) {
	c.jumped = false
	for c.at < len(c.octets) && !c.end() {
		if c.filling() {
			c.at += block - c.at%block
			continue
		}
		if kind, payload, ok := c.whole(); ok {
			return kind, payload
		}
		if c.gap < 0 {
			c.gap = c.at
		}
		c.jumped = true
		c.at++
	}
	return kindNone, nil
}

// filling reports that no chunk fits into the rest of the block.
func (c *chunks) filling() bool {
	left := block - c.at%block
	if left >= syncHead || !c.isLog && left >= manifestHead {
		return false
	}
	rest := c.octets[c.at:min(c.at+left, len(c.octets))]
	return left < logHead || len(bytes.Trim(rest, "\x00")) == 0
}

// whole returns the chunk at c.at, and goes behind it, if there is one whose
// checksum is right.
func (c *chunks) whole() (kind int, payload []byte, ok bool) {
	h := c.octets[c.at:]
	if len(h) < manifestHead {
		return 0, nil, false
	}
	head, kind, ok := c.head(h[6])
	n := head + int(binary.LittleEndian.Uint16(h[4:]))
	if !ok || n > block-c.at%block || len(h) < n {
		return 0, nil, false
	}
	if c.isLog && binary.LittleEndian.Uint32(h[7:]) != c.log || binary.LittleEndian.Uint32(h) != checksum(h[6:n]) {
		return 0, nil, false
	}
	c.at += n
	return kind, h[head:n], true
}

// head returns the length of the head, and what the chunk is of its record.
func (c *chunks) head(k byte) (length, kind int, ok bool) {
	switch kind = (int(k) - 1) % 4; {
	case k >= 1 && k <= 4 && !c.isLog:
		return manifestHead, kind, true
	case k >= 5 && k <= 8 && c.isLog:
		return logHead, kind, true
	case k >= 9 && k <= 12 && c.isLog:
		return syncHead, kind, true
	}
	return 0, 0, false
}

// end reports the mark that a log gets when it is closed in order: an empty
// chunk of the log behind it, without a checksum.
func (c *chunks) end() bool {
	h := c.octets[c.at:]
	if !c.isLog || len(h) < logHead || h[6] != 5 {
		return false
	}
	c.ended = binary.LittleEndian.Uint32(h) == 0 && binary.LittleEndian.Uint16(h[4:]) == 0 && binary.LittleEndian.Uint32(h[7:]) == c.log+1
	return c.ended
}

// checksum is Pebble's: CRC-32C, turned and shifted as LevelDB does.
func checksum(p []byte) uint32 {
	c := crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}
