// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/postroad-mail/postroad/core/mail"
)

// content is a message as it was read: our Received field is on top of the
// header.
type content struct {
	header mail.Header
	own    int // id of our Received field
	body   mail.Body
}

// read spools the message, while the stages of the phases headers and body see
// it come. What it returns as an error holds the reply where it is not r's.
func (t *transaction) read(ctx context.Context, r io.Reader) (*content, int64, error) {
	br := t.r.readers.Get().(*bufio.Reader)
	br.Reset(r)
	defer func() {
		br.Reset(nil)
		t.r.readers.Put(br)
	}()
	h, err := mail.ReadHeader(br, t.l.Limits.HeaderSize)
	if errors.Is(err, mail.ErrHeaderSize) {
		return nil, 0, t.drain(br, refusedHeader, mail.NewReply(552, mail.Enhanced{5, 3, 4}, fmt.Sprintf("header section exceeds %d octets", t.l.Limits.HeaderSize)))
	}
	if err != nil {
		return nil, 0, err
	}
	if r := t.fields(&h); r != nil {
		return nil, 0, t.drain(br, refusedHeader, r)
	}
	if n := h.Count("Received"); n >= t.l.Limits.Hops {
		return nil, 0, t.drain(br, refusedLoop, mail.NewReply(554, mail.Enhanced{5, 4, 6}, fmt.Sprintf("routing loop: %d Received fields", n)))
	}
	if r := t.label(&h); r != nil {
		return nil, 0, t.drain(br, refusedLabel, r)
	}
	if r := t.submit(&h); r != nil {
		return nil, 0, t.drain(br, refusedFrom, r)
	}
	t.noteTLS(&h)
	own, err := h.InsertTop("Received", t.trace())
	if err != nil {
		return nil, 0, err
	}
	nest := t.nesting(&h)
	if r := t.tx.Headers(ctx, h, own); r != nil {
		return nil, 0, t.drain(br, refusedHeaders, r)
	}
	body, err := t.spool(ctx, br, nest)
	if err != nil {
		return nil, 0, err
	}
	return &content{header: h, own: own, body: body}, h.Size() + body.Size(), nil
}

// drain reads the rest of a message that is refused, so that the reply comes at
// its place, and returns the refusal.
func (t *transaction) drain(r io.Reader, reason string, reply *mail.Reply) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	t.refused(reason, reply)
	return reply
}

// spool stores the body, which nest follows.
func (t *transaction) spool(ctx context.Context, r *bufio.Reader, nest io.Writer) (mail.Body, error) {
	w := t.r.newBody()
	both := io.MultiWriter(nest, w)
	err := t.show(ctx, both, r)
	if err == nil {
		_, err = io.Copy(both, r)
	}
	if err != nil {
		w.Abort()
		return nil, t.nested(r, err)
	}
	return w.Finish()
}

// show copies the body as far as a stage of phase body wants to see it, in
// chunks of what r can hold. When one refuses, the rest is read and not stored.
func (t *transaction) show(ctx context.Context, w io.Writer, r *bufio.Reader) error {
	for off := int64(0); t.tx.WantsBody(); {
		chunk, err := r.Peek(r.Size())
		if err != nil && err != io.EOF {
			return err
		}
		if len(chunk) == 0 {
			return nil
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		if reply := t.tx.Body(ctx, chunk, off); reply != nil {
			return t.drain(r, refusedBody, reply)
		}
		n, err := r.Discard(len(chunk))
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// sharedReaders are buffers for reading messages.
func sharedReaders() *sync.Pool {
	return &sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 32<<10) }}
}
