// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/postroad-mail/postroad/core/mail"
)

// ErrNesting is why a message is refused whose MIME structure goes beyond limits.
var ErrNesting = errors.New("MIME structure")

// MIMELimits bound the MIME structure of a message. Beyond what filters can see
// they do not go: a message that may have no more holds nothing that is hidden
// from them by depth or number.
type MIMELimits struct {
	Depth int // multiparts and messages in each other: 1 to 32
	Parts int // with the message itself: 1 to 1,000
}

// longestLine is what of a line is looked at in one piece, as where parts are read.
const longestLine = 16 << 10

// Nesting follows the body of a message while it is read, and finds out as soon as
// its MIME structure goes beyond the limits. It holds the parts that are open, and
// the header section of one. What it takes for a part is what filters are shown.
type Nesting struct {
	scan  scan
	line  []byte // the beginning of a line that has to be seen whole
	fresh bool   // line is the beginning of one
	ready bool   // the next octet begins a line
}

// NewNesting returns what follows the body behind that header.
func NewNesting(h *mail.Header, l MIMELimits) *Nesting {
	n := &Nesting{ready: true}
	n.scan = scan{p: &Parts{}, only: &tally{MIMELimits{min(l.Depth, maxPartDepth), min(l.Parts, maxParts)}, 0}}
	s := &n.scan
	s.open = append(s.open, s.add(Part{Parent: -1}))
	s.describe(h, 0)
	return n
}

// Write takes the next octets, which may be cut anywhere. It fails with ErrNesting,
// from then on always; that it does at the first call when the header alone is too
// much.
func (n *Nesting) Write(p []byte) (int, error) {
	for rest := p; n.scan.err == nil && len(rest) > 0 && n.watching(); {
		rest = n.next(rest)
	}
	if n.scan.err != nil {
		return 0, n.scan.err
	}
	return len(p), nil
}

// watching reports whether there can be more parts.
func (n *Nesting) watching() bool { return n.scan.inHead || len(n.scan.bounds) > 0 }

// next takes octets off p: a line that matters, or all up to the next that may.
func (n *Nesting) next(p []byte) (rest []byte) {
	if len(n.line) > 0 || n.scan.inHead || n.ready && p[0] == '-' {
		return n.collect(p)
	}
	i := bytes.Index(p, []byte("\n-"))
	if i < 0 {
		n.ready = p[len(p)-1] == '\n'
		return nil
	}
	n.ready = true
	return p[i+1:]
}

// collect takes octets of a line that matters.
func (n *Nesting) collect(p []byte) (rest []byte) {
	if len(n.line) == 0 {
		n.fresh = n.ready
	}
	p, rest = cut(p, longestLine-len(n.line))
	n.line = append(n.line, p...)
	n.ready = p[len(p)-1] == '\n'
	if n.ready || len(n.line) == longestLine {
		n.scan.line(n.line, n.fresh)
		n.line = n.line[:0]
	}
	return rest
}

// cut cuts p behind its first line, or behind most octets.
func cut(p []byte, most int) (line, rest []byte) {
	n := min(len(p), most)
	if i := bytes.IndexByte(p[:n], '\n'); i >= 0 {
		n = i + 1
	}
	return p[:n], p[n:]
}

// tally makes a scan count alone: there is no source to read parts from, parts
// that are over are forgotten, and what goes beyond the limits is a fault.
type tally struct {
	MIMELimits
	parts int
}

// count counts a part.
func (s *scan) count() {
	if s.only == nil {
		return
	}
	if s.only.parts++; s.only.parts > s.only.Parts {
		s.err = fmt.Errorf("%w: more than %d parts", ErrNesting, s.only.Parts)
	}
}

// deepen is told of a part at that depth which has parts in it.
func (s *scan) deepen(depth int) {
	if s.only != nil && s.err == nil && depth >= s.only.Depth {
		s.err = fmt.Errorf("%w: more than %d levels", ErrNesting, s.only.Depth)
	}
}

// forget drops the parts behind the open ones.
func (s *scan) forget() {
	if s.only != nil && len(s.open) > 0 {
		s.p.list = s.p.list[:s.open[len(s.open)-1]+1]
	}
}
