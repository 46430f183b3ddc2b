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
// lines; of a binary message that is its header section, up to the first empty
// line, for its body has no lines (RFC 3030 §3). The content may come in pieces
// of any size.
type lineCheck struct {
	limit  int  // octets of a line without CRLF
	length int  // of the line so far
	cr     bool // the last octet was a CR
	binary bool // the body is binary
	free   bool // this is the body of a binary message
}

// next checks the next octets of the content.
func (c *lineCheck) next(p []byte) *refusal {
	for len(p) > 0 && !c.free {
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
		return 1, c.lineFeed(p[0])
	}
	lf := bytes.IndexByte(p, '\n')
	if lf < 0 {
		return len(p), c.open(p)
	}
	return lf + 1, c.closed(p[:lf])
}

// lineFeed checks the octet behind a CR that ended the last piece.
func (c *lineCheck) lineFeed(b byte) *refusal {
	if b != '\n' {
		return c.bare("CR")
	}
	c.cr = false
	c.over()
	return nil
}

// over ends a line.
func (c *lineCheck) over() {
	c.free = c.binary && c.length == 0
	c.length = 0
}

// open checks the part of a line whose end is not there yet.
func (c *lineCheck) open(p []byte) *refusal {
	cr := bytes.IndexByte(p, '\r')
	if cr >= 0 && cr < len(p)-1 {
		return c.bare("CR")
	}
	if c.cr = cr >= 0; c.cr {
		p = p[:cr]
	}
	return c.longer(len(p))
}

// closed checks a line, or the rest of one, that an LF follows.
func (c *lineCheck) closed(p []byte) *refusal {
	switch cr := bytes.IndexByte(p, '\r'); {
	case cr < 0:
		return c.bare("LF")
	case cr < len(p)-1:
		return c.bare("CR")
	}
	bad := c.longer(len(p) - 1)
	c.over()
	return bad
}

func (c *lineCheck) longer(n int) *refusal {
	if c.length += n; c.length > c.limit {
		return refuse(ReasonLineLength, 554, 6, 0, "message has a line that is too long")
	}
	return nil
}

func (c *lineCheck) bare(what string) *refusal {
	return refuse(ReasonBareNewline, 554, 6, 0, "message has a bare "+what+", lines end in CRLF (RFC 5321 section 2.3.8)")
}
