// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"bytes"
	"net"
	"time"
)

// Sizes of the buffers, in octets. A piece grows to at most twice its size and
// some octets when it is stuffed, so out is never reallocated.
const (
	inSize    = 4 << 10  // replies
	pieceSize = 16 << 10 // content is read and stuffed in pieces of this
	flushSize = 32 << 10 // out is written when it has this much
	outSize   = flushSize + 2*pieceSize + 8
)

// buffers are what a connection needs only while it is busy.
type buffers struct {
	out   []byte // length 0
	piece []byte // length pieceSize
}

func newBuffers() *buffers {
	return &buffers{out: make([]byte, 0, outSize), piece: make([]byte, pieceSize)}
}

// wire reads replies and writes commands, with a deadline on everything.
type wire struct {
	c     net.Conn
	t     *Timeouts
	out   []byte // waits for flush
	in    []byte // received, in[r:w] is not yet used
	r, w  int
	reply reply
	each  func(line []byte) // told each line of the reply; nil: nobody is
}

func newWire(c net.Conn, t *Timeouts) *wire {
	return &wire{c: c, t: t, in: make([]byte, inSize)}
}

// flush writes all that waits. What it writes in one go is bounded by the size
// of the buffer.
func (w *wire) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	if err := w.c.SetWriteDeadline(time.Now().Add(w.t.Block)); err != nil {
		return err
	}
	_, err := w.c.Write(w.out)
	w.out = w.out[:0]
	return err
}

// read reads one reply, which must be complete within timeout. The result is
// valid until the next read.
func (w *wire) read(timeout time.Duration) (*reply, error) {
	w.reply.reset()
	deadline := time.Time{}
	for {
		line, err := w.line(&deadline, timeout)
		if err != nil {
			return nil, err
		}
		if w.each != nil {
			w.each(line)
		}
		last, err := w.reply.add(line)
		if err != nil {
			return nil, err
		}
		if last {
			return &w.reply, nil
		}
	}
}

// line returns the next line without CRLF or LF. The deadline is set when the
// line is not in the buffer yet, and once for a whole reply.
func (w *wire) line(deadline *time.Time, timeout time.Duration) ([]byte, error) {
	seen := w.r
	for {
		if i := bytes.IndexByte(w.in[seen:w.w], '\n'); i >= 0 {
			line := w.in[w.r : seen+i]
			w.r = seen + i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if w.w-w.r > maxReplyLine {
			return nil, errReplySize
		}
		if deadline.IsZero() {
			*deadline = time.Now().Add(timeout)
			if err := w.c.SetReadDeadline(*deadline); err != nil {
				return nil, err
			}
		}
		if err := w.fill(); err != nil {
			return nil, err
		}
		seen = w.r
	}
}

// fill reads once, behind what is still to be used.
func (w *wire) fill() error {
	copy(w.in, w.in[w.r:w.w])
	w.w -= w.r
	w.r = 0
	n, err := w.c.Read(w.in[w.w:])
	w.w += n
	if n > 0 {
		return nil
	}
	return err
}

// pending reports whether octets are there that nobody asked for.
func (w *wire) pending() bool { return w.r < w.w }

// command sends a line and reads the reply to it.
func (w *wire) command(line string, timeout time.Duration) (*reply, error) {
	w.out = append(append(w.out, line...), '\r', '\n')
	if err := w.flush(); err != nil {
		return nil, err
	}
	return w.read(timeout)
}
