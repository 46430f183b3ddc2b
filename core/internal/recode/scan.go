// SPDX-License-Identifier: Apache-2.0

package recode

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// part is one entity of a message (RFC 2045 §2.4): its places are offsets in the
// body of the message.
type part struct {
	header      mail.Header
	head        int64 // where its header section begins; -1 for the message's own
	start, end  int64 // of its body
	first, last int64 // of a multipart: where the first delimiter begins and the last one ends; -1: there is none
	kind        kind
	media       string // type in lower case, such as "text/plain"
	boundary    string // of a multipart
	encoding    string // Content-Transfer-Encoding in lower case; "7bit" when it says nothing
	children    []*part
	found       findings // in the body of a leaf; of others, in what is between the children
	headFound   findings // in the header section
}

// kind is what a part is made of.
type kind uint8

const (
	leaf kind = iota
	multi
	message // message/rfc822
)

// findings are what is in octets.
type findings struct {
	eight bool // above 127
	bare  bool // CR or LF outside CRLF, or NUL
	long  bool // a line of more than 998 octets

	cr   bool // the last octet was CR
	line int  // octets of the line so far
}

// look takes the next octets.
func (f *findings) look(p []byte) {
	for _, c := range p {
		if f.cr && c != '\n' {
			f.bare, f.line = true, 0
		}
		switch {
		case c == '\n':
			f.bare = f.bare || !f.cr
			f.line = 0
		case c == '\r':
		case c == 0:
			f.bare = true
		default:
			f.eight = f.eight || c >= 0x80
			f.line++
			f.long = f.long || f.line > mail.MaxLine
		}
		f.cr = c == '\r'
	}
}

// identity reports whether an encoding leaves octets as they are (RFC 2045 §6.2).
func identity(encoding string) bool {
	return encoding == "7bit" || encoding == "8bit" || encoding == "binary"
}

// describe reads what the header of p says of its body.
func (p *part) describe() {
	p.encoding = "7bit"
	if v, ok := p.header.Get("Content-Transfer-Encoding"); ok {
		p.encoding = token(v)
	}
	v, ok := p.header.Get("Content-Type")
	media, params, err := mime.ParseMediaType(v)
	if media == "" && ok {
		media = token(v)
	}
	p.media = media
	switch {
	case !identity(p.encoding):
	case strings.HasPrefix(media, "multipart/") && err == nil && params["boundary"] != "" && len(params["boundary"]) <= 200:
		p.kind, p.boundary = multi, strings.TrimRight(params["boundary"], " \t")
	case media == "message/rfc822":
		p.kind = message
	}
}

// token returns a value up to its parameters and comments, in lower case.
func token(v string) string {
	if i := strings.IndexAny(v, ";( \t"); i >= 0 {
		v = v[:i]
	}
	return strings.ToLower(v)
}

// scanner finds the parts of a message in one pass over its body.
type scanner struct {
	open  []*part // those that have not ended, outermost first
	parts int
	pos   int64
	head  []byte // of the innermost, while it is read
	in    bool   // in the header section of the innermost
}

// scan returns the tree of a message.
func scan(header []byte, body mail.Body) (*part, error) {
	root := &part{header: mail.ParseHeader(header), head: -1, first: -1, last: -1}
	root.describe()
	s := &scanner{open: []*part{root}, parts: 1}
	if err := s.entered(root); err != nil {
		return nil, err
	}
	if err := s.read(body); err != nil {
		return nil, err
	}
	for len(s.open) > 0 {
		s.close(s.pos)
	}
	return root, nil
}

// read takes the body line by line. A line that is longer than the buffer comes in
// pieces, of which none but the first can be a delimiter.
func (s *scanner) read(body mail.Body) error {
	r := bufio.NewReaderSize(io.NewSectionReader(body, 0, body.Size()), 32<<10)
	fresh := true // at the start of a line
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
		if len(line) > 0 {
			if fault := s.line(line, fresh); fault != nil {
				return fault
			}
			s.pos += int64(len(line))
			fresh = bytes.HasSuffix(line, []byte("\r\n"))
		}
		if err == io.EOF {
			return nil
		}
	}
}

func (s *scanner) line(line []byte, fresh bool) error {
	if fresh && bytes.HasPrefix(line, []byte("--")) && (bytes.HasSuffix(line, []byte("\r\n")) || line[len(line)-1] != '\n') {
		if at, last := s.delimiter(line); at >= 0 {
			return s.delimited(at, last, int64(len(line)))
		}
	}
	if s.in {
		return s.inHead(line, fresh)
	}
	s.open[len(s.open)-1].found.look(line)
	return nil
}

// delimiter finds the multipart that a line ends a part of, the innermost with that
// boundary; last says that it is the last one (RFC 2046 §5.1.1).
func (s *scanner) delimiter(line []byte) (at int, last bool) {
	text := strings.TrimRight(strings.TrimSuffix(string(line[2:]), "\r\n"), " \t")
	for at = len(s.open) - 1; at >= 0; at-- {
		p := s.open[at]
		if p.kind != multi {
			continue
		}
		if text == p.boundary {
			return at, false
		}
		if text == p.boundary+"--" {
			return at, true
		}
	}
	return -1, false
}

// delimited ends what is open in the multipart at that place, and begins its next
// part unless the line was the last delimiter. The CRLF before a delimiter is its own.
func (s *scanner) delimited(at int, last bool, length int64) error {
	for len(s.open) > at+1 {
		s.close(s.pos - 2)
	}
	p := s.open[at]
	p.found.cr, p.found.line = false, 0
	if p.first < 0 {
		p.first = s.pos
	}
	if last {
		p.last = s.pos + length
		p.boundary = "\n" // what follows is nobody's: no line is that
		return nil
	}
	return s.begin(p, s.pos+length)
}

// begin begins a part of p.
func (s *scanner) begin(p *part, at int64) error {
	if s.parts++; s.parts > maxParts {
		return fmt.Errorf("more than %d parts: %w", maxParts, ErrCannot)
	}
	if len(s.open) > maxDepth {
		return fmt.Errorf("parts in each other, more than %d: %w", maxDepth, ErrCannot)
	}
	c := &part{head: at, start: at, first: -1, last: -1}
	p.children = append(p.children, c)
	s.open = append(s.open, c)
	s.in, s.head = true, nil
	return nil
}

// inHead takes a line of a header section.
func (s *scanner) inHead(line []byte, fresh bool) error {
	if len(s.head)+len(line) > maxHead {
		return fmt.Errorf("a part has a header section of more than %d octets: %w", maxHead, ErrCannot)
	}
	s.head = append(s.head, line...)
	if !fresh || string(line) != "\r\n" {
		return nil
	}
	p := s.open[len(s.open)-1]
	return s.headed(p, s.pos+2)
}

// headed ends the header section of p, the innermost.
func (s *scanner) headed(p *part, at int64) error {
	s.in, p.start = false, at
	p.header = mail.ParseHeader(s.head)
	p.headFound.look(s.head)
	p.describe()
	return s.entered(p)
}

// entered goes on with the body of p: that of a message begins with a header.
func (s *scanner) entered(p *part) error {
	if p.kind == message {
		return s.begin(p, p.start)
	}
	return nil
}

// close ends the innermost part there.
func (s *scanner) close(at int64) {
	p := s.open[len(s.open)-1]
	if s.in {
		s.in, p.start = false, s.pos
		p.header, p.encoding = mail.ParseHeader(s.head), "7bit"
		p.headFound.look(s.head)
	}
	p.end = max(at, p.start)
	s.open = s.open[:len(s.open)-1]
}
