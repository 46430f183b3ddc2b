// SPDX-License-Identifier: Apache-2.0

package smtp

import "bytes"

// stuffer turns content into what follows DATA (RFC 5321 §4.5.2): a dot is put
// in front of each dot at the start of a line. It repairs line ends on the way:
// a bare LF becomes CRLF, a bare CR a space. Content comes in pieces, cut
// anywhere. What it adds to a piece of n octets is at most n+3 octets.
type stuffer struct {
	inLine bool // the last octet was not a line end
	cr     bool // the last octet was CR: what it is depends on the next one
	plain  bool // no dots are stuffed: line ends alone are repaired
}

// append appends the stuffed src to dst.
func (s *stuffer) append(dst, src []byte) []byte {
	if s.cr && len(src) > 0 {
		dst, src = s.resolve(dst, src)
	}
	for len(src) > 0 {
		if !s.inLine && src[0] == '.' && !s.plain {
			dst = append(dst, '.')
		}
		i := bytes.IndexByte(src, '\n')
		if i < 0 {
			return s.part(dst, src)
		}
		dst = appendLine(dst, src[:i])
		s.inLine = false
		src = src[i+1:]
	}
	return dst
}

// end ends the last line if that is still to be done, and makes s ready for the
// next content.
func (s *stuffer) end(dst []byte) []byte {
	if s.inLine || s.cr {
		dst = append(dst, '\r', '\n')
	}
	*s = stuffer{}
	return dst
}

// resolve decides about a CR that ended the piece before.
func (s *stuffer) resolve(dst, src []byte) ([]byte, []byte) {
	s.cr = false
	if src[0] == '\n' {
		s.inLine = false
		return append(dst, '\r', '\n'), src[1:]
	}
	s.inLine = true
	return append(dst, ' '), src
}

// part appends the beginning of a line whose end is not there yet.
func (s *stuffer) part(dst, src []byte) []byte {
	n := len(src)
	if src[n-1] == '\r' {
		s.cr = true
		n--
	}
	s.inLine = s.inLine || n > 0
	return appendClean(dst, src[:n])
}

// appendLine appends a line that was cut in front of its LF.
func appendLine(dst, line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return append(appendClean(dst, line), '\r', '\n')
}

// appendClean appends b, which has no LF, with every CR as a space.
func appendClean(dst, b []byte) []byte {
	start := len(dst)
	dst = append(dst, b...)
	if bytes.IndexByte(b, '\r') < 0 {
		return dst
	}
	for i := start; i < len(dst); i++ {
		if dst[i] == '\r' {
			dst[i] = ' '
		}
	}
	return dst
}
