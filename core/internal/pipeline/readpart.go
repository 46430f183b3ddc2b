// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/charset"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// ReadPart copies octets of MIME part i from off on into p and returns their
// number, 0 at the end, in the phases message and predeliver. view is
// abi.PartRaw, the part as it stands in the message with its header section;
// abi.PartDecoded, its content with the transfer encoding undone, nothing for a
// part that has parts; or abi.PartTextUTF8, that of a text part as UTF-8, in
// which what its charset cannot explain is U+FFFD. A charset that is unknown
// counts as UTF-8, and a transfer encoding that breaks off ends the part: a
// filter must not be blind where a mail reader is lenient.
//
// What is not a piece of the message as it stands is decoded at the first read
// and spooled through Options.NewBody. One hook may spool four times
// Options.MaxBody; beyond that reads fail with abi.ErrLimit.
func (h *Hook) ReadPart(i, view int, p []byte, off int64) (int, error) {
	parts, err := h.Parts()
	if err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, abi.ErrBadArgument
	}
	r, err := parts.view(i, view)
	if err != nil || off >= r.Size() {
		return 0, err
	}
	n, err := r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%w: %w", abi.ErrIO, err)
	}
	return n, nil
}

// readerAt is a view of a part.
type readerAt interface {
	io.ReaderAt
	Size() int64
}

func (p *Parts) view(i, view int) (readerAt, error) {
	if i < 0 || i >= len(p.list) {
		return nil, abi.ErrNotFound
	}
	part := &p.list[i]
	switch view {
	case abi.PartRaw:
		return p.section(part.src, part.start, part.end), nil
	case abi.PartDecoded:
		if !part.Leaf {
			return p.section(part.src, part.end, part.end), nil
		}
		if !part.encoded() {
			return p.section(part.src, part.content, part.end), nil
		}
		return p.spool.get(i, view, func(w io.Writer) (int64, error) { return p.copyDecoded(w, i) })
	case abi.PartTextUTF8:
		if !strings.HasPrefix(part.Type, "text/") {
			return nil, abi.ErrUnsupported
		}
		return p.spool.get(i, view, func(w io.Writer) (int64, error) { return p.copyText(w, i) })
	}
	return nil, abi.ErrUnsupported
}

func (p *Parts) section(src int, from, to int64) *io.SectionReader {
	return io.NewSectionReader(p.sources[src], from, to-from)
}

// copyDecoded writes the content of part i with its transfer encoding undone.
func (p *Parts) copyDecoded(w io.Writer, i int) (int64, error) {
	return p.copy(w, i, func(r io.Reader) io.Reader { return r })
}

// copyText writes the content of text part i as UTF-8.
func (p *Parts) copyText(w io.Writer, i int) (int64, error) {
	return p.copy(w, i, func(r io.Reader) io.Reader {
		if c, err := charset.Reader(p.list[i].Charset, r); err == nil && p.list[i].Charset != "" {
			r = c
		}
		return transform.NewReader(r, runes.ReplaceIllFormed())
	})
}

func (p *Parts) copy(w io.Writer, i int, convert func(io.Reader) io.Reader) (int64, error) {
	part := &p.list[i]
	src := &faultReader{r: p.section(part.src, part.content, part.end)}
	out := &writeFault{w: w}
	n, _ := io.Copy(out, convert(decodeTransfer(part, src)))
	switch {
	case src.err != nil:
		return n, fmt.Errorf("%w: %w", abi.ErrIO, src.err)
	case out.err != nil:
		return n, out.err
	}
	return n, nil // what the encoding made impossible to read is the message's fault
}

// writeFault notes a fault of the writer.
type writeFault struct {
	w   io.Writer
	err error
}

// Write implements io.Writer.
func (f *writeFault) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err != nil {
		f.err = err
	}
	return n, err
}

// decodeTransfer undoes the transfer encoding (RFC 2045 §6).
func decodeTransfer(part *Part, r io.Reader) io.Reader {
	if !part.encoded() {
		return r
	}
	var h message.Header
	h.Set("Content-Transfer-Encoding", part.Encoding)
	e, err := message.New(h, r)
	if err != nil {
		return r
	}
	return e.Body
}
