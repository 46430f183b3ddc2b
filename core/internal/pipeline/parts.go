// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"crypto/sha256"
	"io"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of the MIME tree. What lies beyond is left inside its parent, which is
// then a leaf: a filter sees it as one opaque part.
const (
	maxParts     = 1000
	maxPartDepth = 32
	maxPartHead  = 256 << 10
	maxBoundary  = 1000
)

// Part is one node of the MIME tree (RFC 2045). Part 0 is the message.
type Part struct {
	Type      string // media type in lower case, "text/plain" where it cannot be read
	Parent    int    // index of the parent, -1 for the message
	Depth     int    // 0 for the message
	Filename  string // decoded (RFC 2047, RFC 2231), without folders; empty if none
	ContentID string // without angle brackets
	Charset   string // in lower case, empty if none is given
	Encoding  string // Content-Transfer-Encoding in lower case, "7bit" by default
	Leaf      bool   // has content of its own; others have parts

	src                 int   // index of the source that it stands in
	start, content, end int64 // in the source: its header section, its content, its end
	size                int64 // see Parts.Size
	sum                 [sha256.Size]byte
	sized, summed       bool
}

// Parts is the MIME tree in the order of the message, parents first. Beside the
// list it holds only places in the message; what has to be decoded to be read is
// spooled, once, up to a limit.
type Parts struct {
	list    []Part
	sources []mail.Body // 0: the message; others: decoded messages in it
	spool   spool
}

// Parts returns the MIME tree of the committed message, parsed at the first
// call, in the phases message and predeliver.
func (h *Hook) Parts() (*Parts, error) {
	if !readsParts(h.phase) {
		return nil, abi.ErrWrongPhase
	}
	if h.parts == nil {
		head := h.rawHeader()
		p, err := parseParts(&h.b.header, &whole{head, h.b.body}, int64(len(head)), newSpool(h.p))
		if err != nil {
			return nil, err
		}
		h.parts = p
	}
	return h.parts, nil
}

// parseParts finds the parts of the message src, whose content begins at octet
// content. Most messages are one part, of which the header tells all: their
// content is not read.
func parseParts(header *mail.Header, src mail.Body, content int64, sp spool) (*Parts, error) {
	p := &Parts{sources: []mail.Body{src}, spool: sp}
	s := newScan(p, 0)
	s.open = append(s.open, s.add(Part{Parent: -1}))
	s.pos = content
	s.describe(header, content)
	if len(s.bounds) > 0 || s.inHead || s.encoded(0) {
		if err := s.run(); err != nil {
			p.close()
			return nil, err
		}
	} else {
		p.list[0].end = src.Size()
	}
	return p, nil
}

// whole is a message as one source.
type whole struct {
	head []byte
	body mail.Body
}

// Size implements mail.Body.
func (w *whole) Size() int64 {
	n := int64(len(w.head))
	if w.body != nil {
		n += w.body.Size()
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (w *whole) ReadAt(p []byte, off int64) (int, error) {
	n := copyFrom(p, w.head, off)
	if n == len(p) {
		return n, nil
	}
	if w.body == nil {
		return n, io.EOF
	}
	m, err := w.body.ReadAt(p[n:], off+int64(n)-int64(len(w.head)))
	return n + m, err
}

// Len returns the number of parts, at least 1.
func (p *Parts) Len() int { return len(p.list) }

// Part returns part i.
func (p *Parts) Part(i int) (Part, bool) {
	if i < 0 || i >= len(p.list) {
		return Part{}, false
	}
	return p.list[i], true
}

// Size returns the octets of a leaf's content, transfer encoding undone; 0 for
// a part that has parts.
func (p *Parts) Size(i int) (int64, error) {
	if i < 0 || i >= len(p.list) {
		return 0, abi.ErrNotFound
	}
	part := &p.list[i]
	if !part.Leaf {
		return 0, nil
	}
	if !part.encoded() {
		return part.end - part.content, nil
	}
	if !part.sized {
		n, err := p.copyDecoded(io.Discard, i)
		if err != nil {
			return 0, err
		}
		part.size, part.sized = n, true
	}
	return part.size, nil
}

// SHA256 returns the digest of the decoded content of part i, which reads it at
// the first call; of nothing for a part that has parts.
func (p *Parts) SHA256(i int) ([sha256.Size]byte, error) {
	if i < 0 || i >= len(p.list) {
		return [sha256.Size]byte{}, abi.ErrNotFound
	}
	part := &p.list[i]
	if !part.summed && part.Leaf {
		sum := sha256.New()
		if _, err := p.copyDecoded(sum, i); err != nil {
			return [sha256.Size]byte{}, err
		}
		sum.Sum(part.sum[:0])
		part.summed = true
	}
	return part.sum, nil
}

// close drops what was decoded.
func (p *Parts) close() {
	if p == nil {
		return
	}
	p.spool.close()
	for _, b := range p.sources[1:] {
		releaseBody(b)
	}
	p.sources = p.sources[:1]
}

func releaseBody(b mail.Body) {
	if r, ok := b.(releaser); ok {
		r.Release()
	}
}
