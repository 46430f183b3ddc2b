// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"io"
)

// framer finds the octets of one message on the wire.
type framer interface {
	// next returns the next run of octets, never an empty one, valid until the
	// next call. io.EOF is the end of the message.
	next() ([]byte, error)
	// skip passes over what is left of a message that was refused, up to the
	// point where the reply belongs.
	skip() error
}

// mark says what scanDots found behind the run.
type mark uint8

const (
	markRun  mark = iota // a run, n octets of content
	markMore             // nothing to decide yet, more octets are needed
	markDot              // a stuffed dot: drop one octet
	markEnd              // ".CRLF" at the start of a line: the end
)

// scanDots splits dot-stuffed content (RFC 5321 §4.5.2) into runs: n octets at
// the front of b are content. bol says that b begins at the start of a line,
// that is behind CRLF and nothing else. Runs do not end between CR and LF.
func scanDots(b []byte, bol bool) (n int, m mark) {
	if len(b) == 0 {
		return 0, markMore
	}
	if bol && b[0] == '.' {
		return 0, scanDot(b)
	}
	if i := bytes.Index(b, []byte("\r\n.")); i >= 0 {
		return i + 2, markRun
	}
	if n = len(b); b[n-1] == '\r' {
		n--
	}
	if n == 0 {
		return 0, markMore
	}
	return n, markRun
}

// scanDot judges a dot at the start of a line.
func scanDot(b []byte) mark {
	switch {
	case len(b) >= 3 && b[1] == '\r' && b[2] == '\n':
		return markEnd
	case len(b) == 1 || len(b) == 2 && b[1] == '\r':
		return markMore
	}
	return markDot
}

// dots is the framer of DATA.
type dots struct {
	s       *session
	midline bool // not at the start of a line
}

func (d *dots) next() ([]byte, error) {
	for {
		n, m := scanDots(d.s.unread(), !d.midline)
		switch m {
		case markRun:
			run := d.s.take(n)
			d.midline = !bytes.HasSuffix(run, []byte("\r\n"))
			return run, nil
		case markDot:
			d.s.take(1)
			d.midline = true
		case markEnd:
			d.s.take(3)
			return nil, io.EOF
		case markMore:
			if err := d.s.fillContent(); err != nil {
				return nil, err
			}
		}
	}
}

// skip reads to the end of the data, as the client listens to no reply before
// it, but not for ever.
func (d *dots) skip() error {
	for left := d.s.skipLimit(); left > 0; {
		run, err := d.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		left -= int64(len(run))
	}
	return errSkip
}

// message is the content of one message as the Backend reads it: framed,
// checked line by line, and bounded.
type message struct {
	framer framer
	lines  lineCheck
	limit  int64
	size   int64
	run    []byte // octets of the framer not read yet
	err    error  // why there is nothing behind run: io.EOF, a *refusal, or the connection's
}

// Read implements io.Reader.
func (m *message) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if !m.advance() {
		return 0, m.err
	}
	n := copy(p, m.run)
	m.run = m.run[n:]
	return n, nil
}

// WriteTo implements io.WriterTo: it copies without a buffer in between.
func (m *message) WriteTo(w io.Writer) (total int64, err error) {
	for m.advance() {
		n, err := w.Write(m.run)
		m.run = m.run[n:]
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if m.err == io.EOF {
		return total, nil
	}
	return total, m.err
}

// advance makes sure that run has octets, or that err says why not.
func (m *message) advance() bool {
	if len(m.run) > 0 {
		return true
	}
	if m.err != nil {
		return false
	}
	run, err := m.framer.next()
	if err == nil || err == io.EOF {
		if bad := m.check(run, err); bad != nil {
			err = bad
		}
	}
	if m.err = err; err != nil {
		return false
	}
	m.run = run
	return true
}

// check judges a run, or the end.
func (m *message) check(run []byte, err error) *refusal {
	if err == io.EOF {
		return m.lines.end()
	}
	if m.size += int64(len(run)); m.size > m.limit {
		return tooBig(m.limit)
	}
	return m.lines.next(run)
}

// rest reads to the end for a Backend that accepted without doing so: a message
// that breaks the rules is refused all the same.
func (m *message) rest() {
	m.run = nil
	for m.advance() {
		m.run = nil
	}
}
