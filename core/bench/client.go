// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"time"
)

// patience bounds each wait for a reply.
const patience = 2 * time.Minute

// client is the client's side of an SMTP session (RFC 5321), reduced to what
// costs least: no pipelining, fixed envelope, prepared octets.
type client struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
	buf  []byte
}

// send sends message n, on the open connection or a new one, and returns the
// time from the end of data to its 250.
func (c *client) send(m *maker, n int) (time.Duration, error) {
	if err := c.open(); err != nil {
		return 0, err
	}
	for _, step := range []struct{ line, want string }{
		{"MAIL FROM:<" + sender + ">\r\n", "250"}, {"RCPT TO:<" + recipient + ">\r\n", "250"}, {"DATA\r\n", "354"},
	} {
		if err := c.ask([]byte(step.line), step.want); err != nil {
			return 0, err
		}
	}
	c.buf = m.appendTo(c.buf[:0], n)
	start := time.Now()
	err := c.ask(c.buf, "250")
	return time.Since(start), err
}

// open connects and says EHLO, unless that is done.
func (c *client) open() error {
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", c.addr, patience)
	if err != nil {
		return err
	}
	if c.in == nil {
		c.in = bufio.NewReaderSize(nil, 1024)
	}
	c.conn = conn
	c.in.Reset(conn)
	if err := c.ask(nil, "220"); err != nil {
		return err
	}
	return c.ask([]byte("EHLO client.example\r\n"), "250")
}

// ask sends and waits for a reply that has to begin with want.
func (c *client) ask(line []byte, want string) error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if len(line) > 0 {
		if _, err := c.conn.Write(line); err != nil {
			return err
		}
	}
	for {
		reply, err := c.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", want, err)
		}
		if len(reply) < 4 || string(reply[:3]) != want {
			return fmt.Errorf("wanted %s, got %q", want, bytes.TrimSpace(reply))
		}
		if reply[3] != '-' {
			return nil
		}
	}
}

// quit ends the session, if there is one.
func (c *client) quit() {
	if c.conn == nil {
		return
	}
	_ = c.ask([]byte("QUIT\r\n"), "221") // the message is safe: its 250 has come
	c.conn.Close()
	c.conn = nil
}
