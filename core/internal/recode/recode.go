// SPDX-License-Identifier: Apache-2.0

// Package recode makes messages that a host can take out of those that it cannot: a
// part that is binary becomes base64 (RFC 3030 §3), and one with octets above 127
// base64 or quoted-printable where the host takes 7-bit alone (RFC 6152 §3). The
// Content-Transfer-Encoding of the part, and of the multiparts around it, is
// corrected; all else stays octet by octet.
//
// What must not be changed is not: the parts of a multipart/signed (RFC 1847 §2.1),
// and those that no encoding may be put on. Then there is no such message, and
// ErrCannot says why.
//
// A message is looked at once from its beginning to its end, with a list of its
// parts in memory, which is bounded, and written once; no part is held whole.
//
// It is a room of its own because a converted message is asked for by a transport
// and spooled by the relay, and because it needs the places of parts, which no
// library tells (see core/docs/rationale.md, go-message).
package recode

import (
	"bufio"
	"errors"
	"io"

	"github.com/postroad-mail/postroad/core/mail"
)

// ErrCannot is in the chain of the error for a message that cannot be converted.
var ErrCannot = errors.New("it cannot be converted")

// The bounds of a message that is converted.
const (
	maxParts = 10_000
	maxDepth = 50        // multiparts and messages in each other
	maxHead  = 256 << 10 // octets of a part's header section
)

// Plan is a message and what is to be changed in it.
type Plan struct {
	header   []byte
	body     mail.Body
	segments []segment
}

// New plans the conversion of a message: header is its header section with the
// empty line. With eightBit octets above 127 may stay. The Plan refers to both.
func New(header []byte, body mail.Body, eightBit bool) (*Plan, error) {
	if body == nil {
		body = mail.BytesBody(nil)
	}
	root, err := scan(header, body)
	if err != nil {
		return nil, err
	}
	w := planner{eightBit: eightBit, body: body}
	if err := w.message(root); err != nil {
		return nil, err
	}
	return &Plan{header: w.header, body: body, segments: w.done()}, nil
}

// Header returns the header section of the converted message.
func (p *Plan) Header() []byte { return p.header }

// Body writes the body of the converted message.
func (p *Plan) Body(w io.Writer) error {
	b := bufio.NewWriterSize(w, 32<<10)
	for _, s := range p.segments {
		if err := s.write(b, p.body); err != nil {
			return err
		}
	}
	return b.Flush()
}
