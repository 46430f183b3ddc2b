// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"io"
	"slices"
	"strconv"
	"strings"
)

// bdat takes a chunk (RFC 3030 §2), where CHUNKING is offered. The message is there
// with the last one.
func (c *sinkConn) bdat(arg string) error {
	number, last, _ := strings.Cut(arg, " ")
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 || !slices.Contains(c.s.o.Extensions, "CHUNKING") {
		return c.do("BDAT", arg, "503 5.5.1 not here")
	}
	chunk := make([]byte, n)
	if _, err := io.ReadFull(c.r, chunk); err != nil {
		return err
	}
	if c.tx == nil || len(c.tx.To) == 0 {
		return c.do("BDAT", arg, "503 5.5.1 no recipients")
	}
	c.tx.Content = append(c.tx.Content, chunk...)
	digit, err := c.reply("BDAT", arg, "250 2.0.0 "+number+" octets")
	if !strings.EqualFold(last, "LAST") {
		return err
	}
	rec := c.tx
	c.tx = nil
	if rec.Chunked = true; digit == '2' {
		c.keep(*rec)
	}
	return err
}
