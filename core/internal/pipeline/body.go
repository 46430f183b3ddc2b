// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"
	"fmt"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// bodyEdit is a body in the making: it repairs line ends, so that nothing a
// stage writes can leave as a bare CR or LF (SMTP smuggling), and keeps to a
// limit.
type bodyEdit struct {
	w    BodyWriter
	room int64 // octets still permitted
	cr   bool  // the last octet taken was CR, its LF is not written yet
	lf   bool  // the last octet written was LF
	any  bool
}

var crlf = []byte("\r\n")

func (e *bodyEdit) write(p []byte) error {
	if bytes.IndexByte(p, 0) >= 0 {
		return abi.ErrBadArgument
	}
	if int64(len(p)) > e.room {
		return abi.ErrLimit
	}
	for len(p) > 0 {
		if e.cr { // whatever follows, a CR ends the line
			e.cr = false
			if err := e.put(crlf); err != nil {
				return err
			}
			if p[0] == '\n' {
				p = p[1:]
				continue
			}
		}
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			return e.put(p)
		}
		if err := e.put(p[:i]); err != nil {
			return err
		}
		if p[i] == '\r' {
			e.cr = true
		} else if err := e.put(crlf); err != nil {
			return err
		}
		p = p[i+1:]
	}
	return nil
}

func (e *bodyEdit) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if int64(len(p)) > e.room {
		return abi.ErrLimit
	}
	e.room -= int64(len(p))
	e.any, e.lf = true, p[len(p)-1] == '\n'
	if _, err := e.w.Write(p); err != nil {
		return fmt.Errorf("%w: %w", abi.ErrIO, err)
	}
	return nil
}

// finish ends the last line with CRLF, for which there is always room, and
// returns the body.
func (e *bodyEdit) finish() (mail.Body, error) {
	if e.cr || e.any && !e.lf {
		e.cr, e.room = false, max(e.room, int64(len(crlf)))
		if err := e.put(crlf); err != nil {
			return nil, err
		}
	}
	return e.w.Finish()
}
