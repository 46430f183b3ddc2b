// SPDX-License-Identifier: Apache-2.0

package store

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/mail"
)

// BodyWriter takes the octets of one body as they arrive: up to Inline of them
// in memory, beyond that in a file written in pieces of that size. It is for
// one goroutine. A failed Write is final and changes nothing for others; its
// error carries a *mail.Reply: 452 4.3.1 when the disk is full, else 451 4.3.0.
type BodyWriter struct {
	spool *Spool
	buf   *[]byte // pooled; nil after Finish or Abort
	file  vfs.File
	path  string
	size  int64
	err   error
}

var errFinished = errors.New("spool: body is finished")

// Write implements io.Writer.
func (w *BodyWriter) Write(p []byte) (int, error) {
	if w.buf == nil {
		return 0, errFinished
	}
	done := 0
	for done < len(p) && w.err == nil {
		if len(*w.buf) == Inline {
			w.flush()
			continue
		}
		n := min(Inline-len(*w.buf), len(p)-done)
		*w.buf = append(*w.buf, p[done:done+n]...)
		done += n
	}
	w.size += int64(done)
	return done, w.err
}

// Size returns the number of octets written so far.
func (w *BodyWriter) Size() int64 { return w.size }

// flush moves the buffer to the file, which it opens the first time.
func (w *BodyWriter) flush() {
	if w.err = w.spool.floor.room(int64(len(*w.buf))); w.err != nil {
		return
	}
	if w.file == nil {
		w.file, w.path, w.err = w.spool.create()
	}
	if w.err == nil {
		_, w.err = w.file.Write(*w.buf)
	}
	*w.buf = (*w.buf)[:0]
	w.err = replyFor(w.err)
}

// replyFor gives an error of a spool file the reply that its sender will get.
func replyFor(err error) error {
	switch {
	case err == nil:
		return nil
	case full(err):
		return mail.NewReply(452, mail.Enhanced{4, 3, 1}, "insufficient system storage, try again later").Because(err)
	}
	return mail.OurFault(fmt.Errorf("spool: write: %w", err))
}

// Finish returns the body, which the caller owns and releases. Nothing is
// synced yet. After an error the body is gone.
func (w *BodyWriter) Finish() (*Body, error) {
	if w.buf == nil {
		return nil, errFinished
	}
	if w.file != nil && w.err == nil && len(*w.buf) > 0 {
		w.flush()
	}
	if w.err != nil {
		w.Abort()
		return nil, w.err
	}
	b := &Body{spool: w.spool, file: w.file, path: w.path, size: w.size}
	if b.file == nil {
		b.mem = append(make([]byte, 0, len(*w.buf)), *w.buf...)
	}
	w.drop()
	return b, nil
}

// Abort gives the memory back and removes the file. It may follow Finish.
func (w *BodyWriter) Abort() {
	if w.buf == nil {
		return
	}
	if w.file != nil {
		_ = w.file.Close()
		w.spool.discard(w.path)
	}
	w.drop()
}

func (w *BodyWriter) drop() {
	w.spool.putBuffer(w.buf)
	w.buf, w.file = nil, nil
}

func (s *Spool) discard(path string) {
	if err := s.fs.Remove(path); err != nil && !missing(err) {
		s.log.Warn("spool file not removed", "path", path, "error", err)
	}
}

// Body is a received body: a mail.Body for any number of readers at once, until
// Release.
type Body struct {
	spool *Spool
	mem   []byte   // when it is small
	file  vfs.File // when it is not
	size  int64

	mu       sync.Mutex
	path     string // below tmp/; empty once kept
	kept     string // under its first id
	synced   bool
	broken   error // the failed sync
	released bool
}

// Size implements mail.Body.
func (b *Body) Size() int64 { return b.size }

// Bytes returns the octets of a body that is in memory, and whether it is. They
// must not be changed, and stay valid after Release.
func (b *Body) Bytes() ([]byte, bool) { return b.mem, b.file == nil }

// ReadAt implements io.ReaderAt.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if b.file == nil {
		return mail.BytesBody(b.mem).ReadAt(p, off)
	}
	if off < 0 || off >= b.size {
		return 0, io.EOF
	}
	n, err := b.file.ReadAt(p[:min(int64(len(p)), b.size-off)], off)
	if n < len(p) && err == nil {
		err = io.EOF
	}
	return n, err
}

// Again returns a body with the same octets, which stay readable when b is
// released, whether it was kept or not. The caller releases it.
func (b *Body) Again() (*Body, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil {
		return &Body{spool: b.spool, mem: b.mem, size: b.size}, nil
	}
	path := b.path
	if path == "" {
		path = b.kept
	}
	file, err := b.spool.fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("spool: open again: %w", err)
	}
	return &Body{spool: b.spool, file: file, size: b.size}, nil
}

// Release closes the file, and removes it unless it was kept. It may be called
// again.
func (b *Body) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.released || b.file == nil {
		return
	}
	b.released = true
	_ = b.file.Close()
	if b.path != "" {
		b.spool.discard(b.path)
	}
}

// Close is Release, for those who want an io.Closer.
func (b *Body) Close() error {
	b.Release()
	return nil
}

// keep syncs the file once and gives it a name.
func (b *Body) keep(name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == nil || b.released {
		return errors.New("body is not an open file")
	}
	if err := b.sync(); err != nil {
		return err
	}
	if b.kept != "" {
		return b.spool.fs.Link(b.kept, name)
	}
	if err := b.spool.fs.Rename(b.path, name); err != nil {
		return err
	}
	b.path, b.kept = "", name
	return nil
}

// sync syncs the file the first time. A handle whose sync failed is never
// synced again: the second sync would succeed without the data.
func (b *Body) sync() error {
	if b.synced || b.broken != nil {
		return b.broken
	}
	b.broken = b.file.Sync()
	b.synced = b.broken == nil
	return b.broken
}
