// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"io"
	"strconv"
	"strings"
)

// errAborted ends a message whose client sent RSET, EHLO or QUIT instead of
// the next chunk. That command is still to be answered.
var errAborted = errors.New("smtpin: message aborted by the client")

// errSkip ends the passing over of refused content that does not end.
var errSkip = errors.New("smtpin: refused content goes on and on")

// chunk is the argument of a BDAT command (RFC 3030 §2).
type chunk struct {
	size int64
	last bool
}

// parseChunk reads "size [LAST]". A fault is fatal for the connection: nobody
// knows how many octets follow.
func parseChunk(arg string) (chunk, *refusal) {
	w := words(arg)
	last := len(w) == 2 && strings.EqualFold(w[1], "LAST")
	if len(w) == 0 || len(w[0]) > 20 || len(w) > 1 && !last {
		return chunk{}, badChunk()
	}
	n, err := strconv.ParseUint(w[0], 10, 63)
	if err != nil {
		return chunk{}, badChunk()
	}
	return chunk{int64(n), last}, nil
}

func badChunk() *refusal {
	return refuse(ReasonSyntax, 501, 5, 4, "syntax: BDAT size [LAST]; closing, as the chunk cannot be found")
}

// chunks is the framer of BDAT. It follows the message from chunk to chunk and
// answers the commands between them: what go-smtp believes to be one DATA.
type chunks struct {
	s     *session
	chunk chunk // size is what is left of it
	total int64 // octets of the chunks so far

	smalls int // small chunks so far
}

func (c *chunks) next() ([]byte, error) {
	for {
		if bad := c.admit(); bad != nil {
			return nil, bad
		}
		if c.chunk.size > 0 {
			return c.octets()
		}
		if c.chunk.last {
			return nil, io.EOF
		}
		if err := c.another(); err != nil {
			return nil, err
		}
	}
}

// admit refuses a message at the chunk that makes it too big, before a single
// octet of that chunk is passed on.
func (c *chunks) admit() *refusal {
	if limit := c.s.offer.size; c.chunk.size > limit-c.total {
		return tooBig(limit)
	}
	return nil
}

// another answers the chunk that is over and waits for the next one.
func (c *chunks) another() error {
	c.s.say(replyChunk)
	next, err := c.s.nextChunk()
	c.chunk = next
	if err == nil && c.small() {
		c.s.end(refuse(ReasonChunks, 421, 7, 0, "too many small chunks, closing"))
		return errAborted
	}
	return err
}

// octets returns what the buffer has of the chunk.
func (c *chunks) octets() ([]byte, error) {
	if len(c.s.unread()) == 0 {
		if err := c.s.fillContent(); err != nil {
			return nil, err
		}
	}
	n := min(int64(len(c.s.unread())), c.chunk.size)
	c.chunk.size -= n
	c.total += n
	return c.s.take(int(n)), nil
}

// skip passes over the rest of the chunk: the reply to this BDAT is a refusal,
// and the chunks behind it will find no transaction.
func (c *chunks) skip() error { return c.s.skipChunk(c.chunk.size) }
