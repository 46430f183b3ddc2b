// SPDX-License-Identifier: Apache-2.0

package smtpin

import "bytes"

// cutLine looks for a command line at the front of b. It returns the line
// without its CRLF and its length n with it; n is 0 when b does not hold a
// whole line yet. A bare CR or LF, or more than limit octets, is refused
// (RFC 5321 §2.3.8, §4.5.3.1.4).
func cutLine(b []byte, limit int) (line []byte, n int, bad *refusal) {
	lf := bytes.IndexByte(b, '\n')
	seen := b
	if lf >= 0 {
		seen = b[:lf]
	}
	cr := bytes.IndexByte(seen, '\r')
	switch {
	case cr >= 0 && cr < len(seen)-1:
		return nil, 0, refuse(ReasonBareNewline, 500, 5, 2, "bare CR in a command, lines end in CRLF (RFC 5321 section 2.3.8)")
	case lf >= 0 && cr < 0:
		return nil, 0, refuse(ReasonBareNewline, 500, 5, 2, "bare LF in a command, lines end in CRLF (RFC 5321 section 2.3.8)")
	case lf >= limit || lf < 0 && len(b) >= limit:
		return nil, 0, refuse(ReasonLineLength, 500, 5, 2, "command line too long")
	case lf < 0:
		return nil, 0, nil
	}
	return b[:cr], lf + 1, nil
}

// lineCheck follows message content and refuses bare CR, bare LF and long
// lines. The content may come in pieces of any size.
type lineCheck struct {
	limit  int  // octets of a line without CRLF
	length int  // of the line so far
	cr     bool // the last octet was a CR
}

// next checks the next octets of the content.
func (c *lineCheck) next(p []byte) *refusal {
	for len(p) > 0 {
		n, bad := c.piece(p)
		if bad != nil {
			return bad
		}
		p = p[n:]
	}
	return nil
}

// end checks that the content may end here. A last line without CRLF is fine
// (BDAT has such), half a line end is not.
func (c *lineCheck) end() *refusal {
	if c.cr {
		return c.bare("CR")
	}
	return nil
}

// piece checks p up to the end of its first line and returns how far it came.
func (c *lineCheck) piece(p []byte) (int, *refusal) {
	if c.cr {
		if p[0] != '\n' {
			return 0, c.bare("CR")
		}
		c.cr, c.length = false, 0
		return 1, nil
	}
	lf := bytes.IndexByte(p, '\n')
	line := p
	if lf >= 0 {
		line = p[:lf]
	}
	cr := bytes.IndexByte(line, '\r')
	switch {
	case cr >= 0 && cr < len(line)-1:
		return 0, c.bare("CR")
	case lf >= 0 && cr < 0:
		return 0, c.bare("LF")
	case cr >= 0:
		line = line[:cr]
	}
	if c.length += len(line); c.length > c.limit {
		return 0, refuse(ReasonLineLength, 554, 6, 0, "message has a line that is too long")
	}
	if lf >= 0 {
		c.length = 0
		return lf + 1, nil
	}
	c.cr = cr >= 0
	return len(p), nil
}

func (c *lineCheck) bare(what string) *refusal {
	return refuse(ReasonBareNewline, 554, 6, 0, "message has a bare "+what+", lines end in CRLF (RFC 5321 section 2.3.8)")
}
