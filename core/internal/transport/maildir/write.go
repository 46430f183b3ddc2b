// SPDX-License-Identifier: Apache-2.0

package maildir

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// Sizes of the buffers, in octets.
const (
	pieceSize = 32 << 10
	fileSize  = 64 << 10
)

// buffers are what a delivery needs.
type buffers struct {
	piece []byte
	out   *bufio.Writer
}

func newBuffers() *buffers {
	return &buffers{piece: make([]byte, pieceSize), out: bufio.NewWriterSize(nil, fileSize)}
}

// write writes the file's content to w and returns its size.
func (b *buffers) write(ctx context.Context, w io.Writer, to mail.Address, msg Message) (int64, error) {
	b.out.Reset(w)
	defer b.out.Reset(nil)
	l := lines{w: b.out}
	l.write(trace("Return-Path", msg.Sender.Path()))
	l.write(trace("Delivered-To", string(to)))
	l.write(msg.Header)
	if err := b.body(ctx, &l, msg.Body); err != nil {
		return 0, err
	}
	l.end()
	return l.n, b.out.Flush()
}

func (b *buffers) body(ctx context.Context, l *lines, body mail.Body) error {
	if body == nil {
		return nil
	}
	size := body.Size()
	for off := int64(0); off < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := b.piece[:min(int64(len(b.piece)), size-off)]
		n, err := body.ReadAt(p, off)
		if n < len(p) {
			return fmt.Errorf("read message: %d of %d octets: %w", off+int64(n), size, cmp.Or(err, io.ErrUnexpectedEOF))
		}
		if l.write(p); l.err != nil {
			return l.err
		}
		off += int64(n)
	}
	return nil
}

// lines writes content with LF for CRLF. Content comes in pieces, cut anywhere.
type lines struct {
	w   *bufio.Writer
	cr  bool  // the last octet was CR: what it is depends on the next one
	n   int64 // octets written
	err error // the first one
}

func (l *lines) write(p []byte) {
	if l.cr && len(p) > 0 {
		if l.cr = false; p[0] != '\n' {
			l.put([]byte("\r"))
		}
	}
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\r')
		switch {
		case i < 0:
			l.put(p)
			return
		case i == len(p)-1:
			l.put(p[:i])
			l.cr = true
			return
		case p[i+1] == '\n':
			l.put(p[:i])
		default:
			l.put(p[:i+1])
		}
		p = p[i+1:]
	}
}

// end writes a CR that was the last octet of all.
func (l *lines) end() {
	if l.cr {
		l.put([]byte("\r"))
	}
}

func (l *lines) put(p []byte) {
	if l.err == nil {
		var n int
		n, l.err = l.w.Write(p)
		l.n += int64(n)
	}
}

// trace makes a field of ours. What cannot stand in one is replaced: addresses
// were checked when they came in, and this is the last door.
func trace(name, value string) []byte {
	value = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, value)
	return []byte(name + ": " + value + "\n")
}
