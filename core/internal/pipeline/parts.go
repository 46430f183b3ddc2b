// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"mime"
	"strings"

	"github.com/emersion/go-message"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of the MIME tree. What lies beyond is left inside its parent, which is
// then a leaf: a filter sees it as one opaque part.
const (
	maxParts     = 1000
	maxPartDepth = 32
	maxPartHead  = 256 << 10
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
	size      int64  // see Parts.Size
	sum       [sha256.Size]byte
}

// Parts is the MIME tree in the order of the message, parents first.
type Parts struct {
	list  []Part
	src   func() io.Reader
	sized bool // the sizes are known
	sumed bool // the digests are known
}

// Parts returns the MIME tree of the committed message, parsed at the first
// call.
func (h *Hook) Parts() (*Parts, error) {
	if !readsParts(h.phase) {
		return nil, abi.ErrWrongPhase
	}
	if h.parts == nil {
		p, err := parseParts(&h.b.header, h.open)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", abi.ErrIO, err)
		}
		h.parts = p
	}
	return h.parts, nil
}

// close ends what the tree holds.
func (p *Parts) close() {}

// open returns a reader of the whole committed message.
func (h *Hook) open() io.Reader {
	head := strings.NewReader(string(h.rawHeader()))
	if h.b.body == nil {
		return head
	}
	return io.MultiReader(head, io.NewSectionReader(h.b.body, 0, h.b.body.Size()))
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
	if !p.sized {
		if err := p.measure(false); err != nil {
			return 0, err
		}
	}
	return p.list[i].size, nil
}

// SHA256 returns the digest of the decoded content of part i, which reads the
// message once more at its first call.
func (p *Parts) SHA256(i int) ([sha256.Size]byte, error) {
	if i < 0 || i >= len(p.list) {
		return [sha256.Size]byte{}, abi.ErrNotFound
	}
	if !p.sumed {
		if err := p.measure(true); err != nil {
			return [sha256.Size]byte{}, err
		}
	}
	return p.list[i].sum, nil
}

// measure reads the message for the sizes, and with digest for the digests.
func (p *Parts) measure(digest bool) error {
	w := &partWalk{digest: digest}
	if err := w.run(p.src()); err != nil {
		return fmt.Errorf("%w: %w", abi.ErrIO, err)
	}
	if len(w.list) != len(p.list) {
		return fmt.Errorf("%w: the message changed", abi.ErrIO)
	}
	p.list, p.sized, p.sumed = w.list, true, digest
	return nil
}

// parseParts reads the tree. Most messages are one part, of which the header
// tells all but the size: their content is not read.
func parseParts(header *mail.Header, open func() io.Reader) (*Parts, error) {
	root := describe(func(name string) string {
		v, _ := header.Get(name)
		return v
	}, -1, 0)
	if !strings.HasPrefix(root.Type, "multipart/") && root.Type != "message/rfc822" {
		return &Parts{list: []Part{root}, src: open}, nil
	}
	w := &partWalk{}
	if err := w.run(open()); err != nil {
		return nil, err
	}
	return &Parts{list: w.list, src: open, sized: true}, nil
}

// partWalk builds the list while it reads the message once.
type partWalk struct {
	list   []Part
	digest bool  // digests too
	err    error // a fault of the source, not of the message
}

func (w *partWalk) run(r io.Reader) error {
	w.message(&faultReader{r: r, w: w}, -1, 0)
	if len(w.list) == 0 {
		w.list = append(w.list, Part{Type: "text/plain", Parent: -1, Encoding: "7bit", Leaf: true})
	}
	return w.err
}

// message reads one message or part with its header from r.
func (w *partWalk) message(r io.Reader, parent, depth int) {
	e, err := message.ReadWithOptions(bufio.NewReader(r), &message.ReadOptions{MaxHeaderBytes: maxPartHead})
	if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
		w.opaque(r, parent, depth)
		return
	}
	w.entity(e, parent, depth)
}

func (w *partWalk) entity(e *message.Entity, parent, depth int) {
	idx := w.add(describe(e.Header.Get, parent, depth))
	room := depth < maxPartDepth && len(w.list) < maxParts
	mr := e.MultipartReader()
	switch {
	case mr != nil && room:
		w.list[idx].Leaf = false
		w.children(mr, idx, depth+1)
	case w.list[idx].Type == "message/rfc822" && room:
		counted := w.counter(e.Body)
		w.message(counted, idx, depth+1)
		w.leaf(idx, counted)
	default:
		w.leaf(idx, w.counter(e.Body))
	}
}

// children reads the parts of a multipart. A fault in one part (a broken
// boundary, an endless header) ends the walk of this multipart.
func (w *partWalk) children(mr message.MultipartReader, parent, depth int) {
	for len(w.list) < maxParts {
		e, err := mr.NextPart()
		if e == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
			return
		}
		w.entity(e, parent, depth)
	}
}

func (w *partWalk) opaque(r io.Reader, parent, depth int) {
	idx := w.add(Part{Type: "text/plain", Parent: parent, Depth: depth, Encoding: "7bit", Leaf: true})
	w.leaf(idx, w.counter(r))
}

func (w *partWalk) add(p Part) int {
	w.list = append(w.list, p)
	return len(w.list) - 1
}

// leaf reads the rest of a part's content for its size and digest. A transfer
// encoding that breaks off ends the part there.
func (w *partWalk) leaf(idx int, c *counter) {
	io.Copy(io.Discard, c) //nolint:errcheck // a fault of the source is kept in w.err
	w.list[idx].size = c.n
	if c.sum != nil {
		c.sum.Sum(w.list[idx].sum[:0])
	}
}

// counter counts and digests what passes.
type counter struct {
	r   io.Reader
	n   int64
	sum hash.Hash
}

func (w *partWalk) counter(r io.Reader) *counter {
	c := &counter{r: r}
	if w.digest {
		c.sum = sha256.New()
	}
	return c
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	return n, err
}

// faultReader notes a fault of the source, so that it is not taken for a fault
// of the message.
type faultReader struct {
	r io.Reader
	w *partWalk
}

func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.w.err = err
	}
	return n, err
}

// describe reads the fields of a part's header.
func describe(get func(name string) string, parent, depth int) Part {
	typ, params := mediaType(get("Content-Type"), "text/plain")
	_, disp := mediaType(get("Content-Disposition"), "")
	enc := strings.ToLower(strings.TrimSpace(get("Content-Transfer-Encoding")))
	if enc == "" {
		enc = "7bit"
	}
	name := disp["filename"]
	if name == "" {
		name = params["name"]
	}
	return Part{
		Type: typ, Parent: parent, Depth: depth, Filename: fileName(name), Encoding: enc, Leaf: true,
		ContentID: strings.Trim(strings.TrimSpace(get("Content-Id")), "<>"),
		Charset:   strings.ToLower(params["charset"]),
	}
}

// mediaType reads a header of the form "type/subtype; name=value". A malformed
// one still gives what can be read: a filter must not be blind where a mail
// reader is lenient.
func mediaType(v, def string) (string, map[string]string) {
	if strings.TrimSpace(v) == "" {
		return def, nil
	}
	typ, params, err := mime.ParseMediaType(v)
	if err == nil {
		return typ, params
	}
	head, rest, _ := strings.Cut(v, ";")
	typ = strings.ToLower(strings.TrimSpace(head))
	if !strings.Contains(typ, "/") && def != "" {
		typ = def
	}
	return typ, lenientParams(rest)
}

func lenientParams(s string) map[string]string {
	params := map[string]string{}
	for _, f := range strings.Split(s, ";") {
		k, v, ok := strings.Cut(f, "=")
		k = strings.ToLower(strings.TrimSpace(k))
		k, _, _ = strings.Cut(k, "*")
		if v = strings.Trim(strings.TrimSpace(v), `"`); ok && params[k] == "" {
			params[k] = v
		}
	}
	return params
}

// fileName undoes RFC 2047 words and takes folders off.
func fileName(s string) string {
	if d, err := new(mime.WordDecoder).DecodeHeader(s); err == nil {
		s = d
	}
	if i := strings.LastIndexAny(s, `/\`); i >= 0 {
		s = s[i+1:]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}
