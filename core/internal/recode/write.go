// SPDX-License-Identifier: Apache-2.0

package recode

import (
	"bufio"
	"encoding/base64"
	"io"
	"mime/quotedprintable"

	"github.com/postroad-mail/postroad/core/mail"
)

// segmentKind is how a segment is written.
type segmentKind uint8

const (
	asItIs segmentKind = iota
	inBase64
	inQuotedPrintable
	masked  // octets above 127, bare CR, bare LF and NUL as "?"
	literal // text in place of what stands there
)

// String returns the label of what is written so.
func (k segmentKind) String() string {
	return [...]string{"", "base64", "quoted-printable", "", ""}[k]
}

// segment is a piece of the new body: a place in the old one, or text.
type segment struct {
	kind     segmentKind
	from, to int64
	text     []byte // of a literal
}

func (w *planner) add(s segment) {
	if s.to > s.from || s.kind == literal {
		w.segments = append(w.segments, s)
	}
}

// keep takes the body as it is up to there.
func (w *planner) keep(to int64) {
	if to > w.pos {
		w.add(segment{from: w.pos, to: to})
		w.pos = to
	}
}

// literal puts text in place of the body up to there.
func (w *planner) literal(text []byte, to int64) {
	w.add(segment{kind: literal, text: text})
	w.pos = max(w.pos, to)
}

// done takes the rest of the body, and returns the segments.
func (w *planner) done() []segment {
	w.keep(w.body.Size())
	return w.segments
}

// write writes a segment of body to w.
func (s *segment) write(w *bufio.Writer, body mail.Body) (err error) {
	r := io.NewSectionReader(body, s.from, s.to-s.from)
	switch s.kind {
	case literal:
		_, err = w.Write(s.text)
		return err
	case inBase64:
		return encode(r, base64.NewEncoder(base64.StdEncoding, &lines{w: w}))
	case inQuotedPrintable:
		return encode(r, quotedprintable.NewWriter(w))
	case masked:
		m := &mask{w: w}
		if err := copyAll(m, r, r.Size()); err != nil {
			return err
		}
		return m.end()
	}
	return copyAll(w, r, r.Size())
}

// encode copies r through e, and ends what is written.
func encode(r *io.SectionReader, e io.WriteCloser) error {
	if err := copyAll(e, r, r.Size()); err != nil {
		return err
	}
	return e.Close()
}

// copyAll copies n octets, and not one less.
func copyAll(w io.Writer, r io.Reader, n int64) error {
	_, err := io.CopyN(w, r, n)
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lineLength is the length of a line of base64 (RFC 2045 §6.8).
const lineLength = 76

// lines breaks base64 into lines. The CRLF behind the last one is the delimiter's,
// or the message's own.
type lines struct {
	w *bufio.Writer
	n int // octets of the line so far
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if l.n == lineLength {
			if _, err := l.w.WriteString("\r\n"); err != nil {
				return n, err
			}
			l.n = 0
		}
		k := min(len(p), lineLength-l.n)
		if _, err := l.w.Write(p[:k]); err != nil {
			return n, err
		}
		n, l.n, p = n+k, l.n+k, p[k:]
	}
	return n, nil
}

// mask is a writer that lets nothing through but lines of ASCII.
type mask struct {
	w  io.Writer
	cr bool // a CR has come and is not written yet
}

// Write implements io.Writer.
func (m *mask) Write(p []byte) (int, error) {
	b := make([]byte, 0, len(p)+2)
	for _, c := range p {
		switch {
		case m.cr && c == '\n':
			b = append(b, '\r', '\n')
			m.cr = false
			continue
		case m.cr:
			b = append(b, '?')
		}
		if m.cr = c == '\r'; m.cr {
			continue
		}
		if c >= 0x80 || c == '\n' || c == 0 {
			c = '?'
		}
		b = append(b, c)
	}
	_, err := m.w.Write(b)
	return len(p), err
}

// end ends a segment: a CR that nothing follows is a bare one.
func (m *mask) end() error {
	if !m.cr {
		return nil
	}
	_, err := m.w.Write([]byte("?"))
	return err
}
