// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"io"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// PartCount returns the number of MIME parts; part 0 is the whole message.
func (h *Hook) PartCount() (int, error) {
	n := h.host.PartCount()
	return n, check(n)
}

// Part returns a field of a MIME part, such as abi.PartFilename; empty when it
// is absent.
func (h *Hook) Part(i, field int) (string, error) {
	return h.text(func(b []byte) int { return h.host.PartGet(i, field, b) })
}

// PartView is a view of a MIME part.
type PartView int

// The views of a part.
const (
	RawPart     PartView = abi.PartRaw      // as it stands in the message, its own header included
	DecodedPart PartView = abi.PartDecoded  // with the transfer encoding undone
	TextPart    PartView = abi.PartTextUTF8 // decoded, as UTF-8; abi.ErrUnsupported when it is no text
)

// ReadPartAt reads octets of a part from off on into p. Like io.ReaderAt it
// returns io.EOF when there are fewer than len(p).
func (h *Hook) ReadPartAt(i int, v PartView, p []byte, off int64) (int, error) {
	return readFull(p, func(b []byte, at int64) int { return h.host.PartRead(i, int(v), off+at, b) })
}

// PartReader returns a part as a reader that is valid until the hook ends.
func (h *Hook) PartReader(i int, v PartView) io.Reader {
	return &reader{read: func(p []byte, off int64) int { return h.host.PartRead(i, int(v), off, p) }}
}

// readFull fills p with what f reads at an offset, as io.ReaderAt does.
func readFull(p []byte, f func(p []byte, at int64) int) (int, error) {
	n := 0
	for n < len(p) {
		m := f(p[n:], int64(n))
		if m < 0 {
			return n, abi.Errno(m)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}

// reader is an io.Reader of what the host reads at an offset.
type reader struct {
	read func(p []byte, off int64) int
	off  int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := r.read(p, r.off)
	if n < 0 {
		return 0, abi.Errno(n)
	}
	if n == 0 {
		return 0, io.EOF
	}
	r.off += int64(n)
	return n, nil
}
