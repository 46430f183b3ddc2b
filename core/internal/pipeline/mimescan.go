// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// maxNested is how many messages in an encoding of their own are looked into.
const maxNested = 8

// scan finds the parts of one source in one pass, line by line. It knows all
// multiparts that are open at once, so that a delimiter of an outer one ends
// what an inner one left open (RFC 2046 §5.1.2). Libraries give the contents of
// parts but not their places, without which each part that is read would cost
// another pass over the message.
type scan struct {
	p      *Parts
	src    int
	pos    int64          // of the line at hand
	eol    int            // octets of the line end before it
	cr     bool           // what came before it ended in CR
	open   []int          // the parts that have not ended, outermost first
	bounds []bound        // of the multiparts among them, outermost first
	byName map[string]int // number in bounds, of the outermost with that boundary
	inHead bool           // in the header section of the innermost
	head   []byte
	err    error
	only   *tally // nil: parts are to be read
}

// bound is an open multipart.
type bound struct {
	at   int // index in open
	name string
}

func newScan(p *Parts, src int) *scan { return &scan{p: p, src: src} }

// bind opens a multipart with that boundary.
func (s *scan) bind(boundary string) {
	name := strings.TrimRight(boundary, " \t")
	if s.byName == nil {
		s.byName = map[string]int{}
	}
	if _, ok := s.byName[name]; !ok {
		s.byName[name] = len(s.bounds)
	}
	s.bounds = append(s.bounds, bound{len(s.open) - 1, name})
}

// unbind closes the multiparts from number n on.
func (s *scan) unbind(n int) {
	for i := n; i < len(s.bounds); i++ {
		if name := s.bounds[i].name; s.byName[name] == i {
			delete(s.byName, name)
		}
	}
	s.bounds = s.bounds[:n]
}

// run reads the source from pos to its end.
func (s *scan) run() error {
	src := s.p.sources[s.src]
	r := bufio.NewReaderSize(io.NewSectionReader(src, s.pos, src.Size()-s.pos), 16<<10)
	atStart := true
	for s.err == nil {
		line, err := r.ReadSlice('\n')
		if len(line) > 0 {
			s.line(line, atStart)
			s.pos += int64(len(line))
			s.eol = s.lineBreak(line)
			atStart = s.eol > 0
		}
		switch {
		case err == io.EOF:
			s.end(s.pos)
			return s.err
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("%w: %w", abi.ErrIO, err)
		}
	}
	return s.err
}

// lineBreak is the length of the line end of a line, also where it was read in
// two pieces.
func (s *scan) lineBreak(line []byte) int {
	n := lineEnd(line)
	if len(line) == 1 && n == 1 && s.cr {
		n = 2
	}
	s.cr = line[len(line)-1] == '\r'
	return n
}

func lineEnd(line []byte) int {
	switch {
	case bytes.HasSuffix(line, crlf):
		return 2
	case bytes.HasSuffix(line, crlf[1:]):
		return 1
	}
	return 0
}

// line takes a line, or a piece of one that is too long for any delimiter.
func (s *scan) line(line []byte, atStart bool) {
	if rest, ok := bytes.CutPrefix(line, []byte("--")); ok && atStart && len(s.bounds) > 0 {
		if at, final, ok := s.delimiter(rest); ok {
			s.delimit(at, final, s.pos+int64(len(line)))
			return
		}
	}
	if !s.inHead {
		return
	}
	s.head = append(s.head, line...)
	if atStart && len(line) == lineEnd(line) || len(s.head) > maxPartHead {
		s.headEnds(s.pos + int64(len(line)))
	}
}

// delimiter tells which multipart a line is a delimiter of, the outermost if
// there are two. name is the line behind its dashes.
func (s *scan) delimiter(name []byte) (at int, final, ok bool) {
	name = bytes.TrimRight(name, " \t\r\n")
	at, ok = s.byName[string(name)]
	if name, final = bytes.CutSuffix(name, []byte("--")); !final {
		return at, false, ok
	}
	last, isLast := s.byName[string(name)]
	if isLast && (!ok || last < at) {
		return last, true, true
	}
	return at, false, ok
}

// delimit ends what is open inside multipart number i of bounds, and begins its
// next part behind the delimiter.
func (s *scan) delimit(i int, final bool, next int64) {
	at := s.bounds[i].at
	s.unbind(i + 1)
	s.closeFrom(at+1, max(s.pos-int64(s.eol), s.p.list[s.open[at]].content))
	if final || len(s.p.list) >= maxParts {
		s.unbind(i) // what follows belongs to no part
		return
	}
	s.begin(s.open[at], next)
}

// begin opens a part whose header section is at pos.
func (s *scan) begin(parent int, pos int64) {
	p := Part{Parent: parent}
	if parent >= 0 {
		p.Depth = s.p.list[parent].Depth + 1
	}
	p.start = pos
	s.open = append(s.open, s.add(p))
	s.inHead, s.head = true, s.head[:0]
}

func (s *scan) add(p Part) int {
	p.src = s.src
	s.p.list = append(s.p.list, p)
	s.count()
	return len(s.p.list) - 1
}

// headEnds reads the header section of the innermost part, whose content begins
// at pos.
func (s *scan) headEnds(pos int64) {
	h := mail.ParseHeader(append([]byte(nil), s.head...))
	s.inHead = false
	s.describe(&h, max(pos, s.p.list[s.open[len(s.open)-1]].start))
}

// describe fills in the innermost part, whose content begins at pos, and opens
// what is in it.
func (s *scan) describe(h *mail.Header, pos int64) {
	idx := s.open[len(s.open)-1]
	old := s.p.list[idx]
	p, boundary := describe(h, s.defaultType(old.Parent))
	p.Parent, p.Depth, p.src, p.start, p.content = old.Parent, old.Depth, old.src, old.start, pos
	holds := strings.HasPrefix(p.Type, "multipart/") && boundary != "" && len(boundary) <= maxBoundary
	message := !holds && p.isMessage() && !p.encoded()
	if holds || message {
		s.deepen(p.Depth)
	}
	room := p.Depth < maxPartDepth && len(s.p.list) < maxParts
	multi := room && holds
	p.Leaf = !multi
	s.p.list[idx] = p
	switch {
	case multi:
		s.bind(boundary)
	case room && message:
		s.begin(idx, pos)
	}
}

// defaultType is the type of a part that does not tell one.
func (s *scan) defaultType(parent int) string {
	if parent >= 0 && s.p.list[parent].Type == "multipart/digest" {
		return "message/rfc822"
	}
	return "text/plain"
}

// end ends all parts at pos.
func (s *scan) end(pos int64) {
	s.unbind(0)
	s.closeFrom(0, pos)
}

// closeFrom ends the open parts from number n on, the innermost first, at pos.
func (s *scan) closeFrom(n int, pos int64) {
	if s.inHead && len(s.open) > n { // it has a header section only
		s.headEnds(pos)
		if s.inHead { // and that of a message in it
			s.headEnds(pos)
		}
	}
	s.inHead = false
	for i := len(s.open) - 1; i >= n; i-- {
		p := &s.p.list[s.open[i]]
		p.end = max(pos, p.content)
		if s.encoded(s.open[i]) {
			s.nested(s.open[i])
		}
	}
	s.open = s.open[:n]
	s.forget()
	for len(s.bounds) > 0 && s.bounds[len(s.bounds)-1].at >= n {
		s.unbind(len(s.bounds) - 1)
	}
}

// encoded reports whether part idx is a message in an encoding, which is to be
// looked into. RFC 2045 §6.4 forbids that, and mail readers open it.
func (s *scan) encoded(idx int) bool {
	p := &s.p.list[idx]
	return s.only == nil && p.isMessage() && p.encoded() && p.Depth < maxPartDepth
}

// nested decodes the message in part idx and finds its parts.
func (s *scan) nested(idx int) {
	if len(s.p.sources) > maxNested || len(s.p.list) >= maxParts || s.err != nil {
		return
	}
	body, err := s.p.spool.write(func(w io.Writer) (int64, error) { return s.p.copyDecoded(w, idx) })
	if errors.Is(err, abi.ErrLimit) || errors.Is(err, abi.ErrUnsupported) {
		return // an opaque part
	}
	if s.err = err; err != nil {
		return
	}
	s.p.sources = append(s.p.sources, body)
	inner := newScan(s.p, len(s.p.sources)-1)
	inner.begin(idx, 0)
	s.err = inner.run()
}

func (p *Part) isMessage() bool { return p.Type == "message/rfc822" || p.Type == "message/global" }

// encoded reports whether the content has a transfer encoding to be undone. That
// of a multipart is ignored (RFC 2045 §6.4).
func (p *Part) encoded() bool {
	return (p.Encoding == "base64" || p.Encoding == "quoted-printable") && !strings.HasPrefix(p.Type, "multipart/")
}
