// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
)

// minimumSize is room for the header and a few lines of body.
const minimumSize = 1024

// mark is the header field that numbers a message and holds the checksum of its
// body, so that the next hop can tell each message from each other and sees any
// damage.
const mark = "X-Bench"

// maker makes numbered messages of one size. The first half of a body is text
// that compresses well, the second half is base64 of random octets that differ
// from message to message.
type maker struct {
	size int
	text []byte // compressible lines, one of which begins with a dot
	pool []byte // incompressible lines; each message takes another part
}

// poolSlack is how much of the pool a message does not use: messages begin at
// different places in it.
const poolSlack = 4 << 20

func newMaker(size int) *maker {
	m := &maker{size: size}
	for i := 0; len(m.text) < size; i++ {
		m.text = append(m.text, "Dear reader, this line tells you nothing new, but it is one of those that compress.\r\n"...)
		if i == 0 {
			m.text = append(m.text, "..one dot too many, as RFC 5321 section 4.5.2 asks\r\n"...)
		}
	}
	m.pool = randomLines(size + poolSlack)
	return m
}

// lineLength is the length of a line of base64 with its CRLF (RFC 2045 §6.8).
const lineLength = 78

// randomLines returns at least size octets of base64 lines, the same in every
// process.
func randomLines(size int) []byte {
	source := rand.NewChaCha8([32]byte([]byte("postroad benchmark, seed of 32 B")))
	raw := make([]byte, 57)
	var out []byte
	for len(out) < size {
		_, _ = source.Read(raw) // never fails
		out = base64.StdEncoding.AppendEncode(out, raw)
		out = append(out, '\r', '\n')
	}
	return out
}

// appendTo appends message n as it goes over the wire, dot-stuffed, with the
// line that ends it.
func (m *maker) appendTo(buf []byte, n int) []byte {
	text, noise := m.body(n)
	sum := crc32.Update(crc32.ChecksumIEEE(text[:dotLine(text)]), crc32.IEEETable, text[dotLine(text)+1:])
	sum = crc32.Update(sum, crc32.IEEETable, noise)
	buf = fmt.Appendf(buf, "From: <%s>\r\nTo: <%s>\r\nSubject: message %d\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n"+
		"Message-ID: <%d@client.example>\r\nMIME-Version: 1.0\r\n%s: %d %08x\r\n\r\n", sender, recipient, n, n, mark, n, sum)
	buf = append(append(buf, text...), noise...)
	return append(buf, ".\r\n"...)
}

const (
	sender    = "from@client.example"
	recipient = "to@nexthop.example"
	headerLen = 250 // about
)

// body returns the two halves of message n, whole lines each.
func (m *maker) body(n int) (text, noise []byte) {
	half := (m.size - headerLen) / 2
	text = m.text[:bytes.LastIndexByte(m.text[:half], '\n')+1]
	start := n * 7919 % (poolSlack / lineLength) * lineLength
	return text, m.pool[start : start+half/lineLength*lineLength]
}

// dotLine returns where the stuffed dot is in text.
func dotLine(text []byte) int { return bytes.Index(text, []byte("\n..")) + 1 }

// parseMark reads "NUMBER CHECKSUM".
func parseMark(value []byte) (n int, sum uint32, ok bool) {
	number, hex, ok := bytes.Cut(bytes.TrimSpace(value), []byte(" "))
	if !ok {
		return 0, 0, false
	}
	n, err := strconv.Atoi(string(number))
	s, err2 := strconv.ParseUint(string(hex), 16, 32)
	return n, uint32(s), err == nil && err2 == nil && n >= 0
}
