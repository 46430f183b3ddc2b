// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// maxViews is how many decoded parts are kept at a time.
const maxViews = 16

// spool holds decoded parts while a hook lasts. All that it writes in that time
// is limited, so that parts in each other, or read in turns, cost no more than a
// few times the message.
type spool struct {
	newBody func() BodyWriter
	room    int64 // octets that may still be written
	views   []view
}

// view is one way to read one part, decoded.
type view struct {
	part, kind int
	body       mail.Body
}

func newSpool(p *Pipeline) spool { return spool{newBody: p.o.NewBody, room: 4 * p.o.MaxBody} }

// get returns a view, made by fill at its first use.
func (s *spool) get(part, kind int, fill func(io.Writer) (int64, error)) (mail.Body, error) {
	for _, v := range s.views {
		if v.part == part && v.kind == kind {
			return v.body, nil
		}
	}
	body, err := s.write(fill)
	if err != nil {
		return nil, err
	}
	if len(s.views) == maxViews {
		releaseBody(s.views[0].body)
		s.views = s.views[1:]
	}
	s.views = append(s.views, view{part, kind, body})
	return body, nil
}

// write spools what fill writes.
func (s *spool) write(fill func(io.Writer) (int64, error)) (mail.Body, error) {
	if s.newBody == nil {
		return nil, abi.ErrUnsupported
	}
	w := s.newBody()
	if _, err := fill(&limited{w, &s.room}); err != nil {
		w.Abort()
		return nil, err
	}
	body, err := w.Finish()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", abi.ErrIO, err)
	}
	return body, nil
}

func (s *spool) close() {
	for _, v := range s.views {
		releaseBody(v.body)
	}
	s.views = nil
}

// limited writes as long as there is room.
type limited struct {
	w    io.Writer
	room *int64
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > *l.room {
		return 0, abi.ErrLimit
	}
	*l.room -= int64(len(p))
	n, err := l.w.Write(p)
	if err != nil {
		return n, fmt.Errorf("%w: %w", abi.ErrIO, err)
	}
	return n, nil
}

// faultReader notes a fault of the source, so that it is not taken for a fault
// of the message.
type faultReader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}
