// SPDX-License-Identifier: Apache-2.0

package soak

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// client is one session, which is kept for the whole campaign.
type client struct {
	c    *campaign
	n    int
	seq  int // of its next message
	conn net.Conn
	in   *bufio.Reader
	hold atomic.Pointer[stand] // where to wait in the next transaction; nil: nowhere
}

func newClient(c *campaign, n int) *client { return &client{c: c, n: n} }

// run sends messages until the campaign is over. Whatever the relay does that
// ends the session is a fault.
func (c *client) run() {
	if err := c.open(); err != nil {
		c.c.g.fail(err)
		return
	}
	for c.c.g.pass() {
		if err := c.message(); err != nil {
			c.c.g.fail(fmt.Errorf("session %d, message %d: %w", c.n, c.seq, err))
			return
		}
		c.c.g.ack()
	}
}

func (c *client) open() error {
	conn, err := net.Dial("tcp", c.c.p.r.Addr("in").String())
	if err != nil {
		return err
	}
	c.c.t.Cleanup(func() { conn.Close() })
	c.conn, c.in = conn, bufio.NewReader(conn)
	if err := c.ask("", 220); err != nil {
		return err
	}
	return c.ask("EHLO client"+strconv.Itoa(c.n)+"\r\n", 250)
}

// message sends the next message. Half of those that wait for a change have a
// piece of the content behind them.
func (c *client) message() error {
	from, err := c.begin()
	if err != nil {
		return err
	}
	id, content := contentOf(c.n, c.seq)
	c.c.l.enter(c.n, from)
	c.seq++
	if err := c.ask("RCPT TO:<to@far.test>\r\n", 250); err != nil {
		return err
	}
	stand := c.hold.Swap(nil)
	if stand != nil && c.n%2 == 0 {
		stand.wait()
	}
	if err := c.ask("DATA\r\n", 354); err != nil {
		return err
	}
	if stand != nil && c.n%2 == 1 {
		if err := c.write(content[:len(content)/2]); err != nil {
			return err
		}
		stand.wait()
		content = content[len(content)/2:]
	}
	if err := c.ask(content+".\r\n", 250); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	c.c.l.acknowledge(c.n)
	return nil
}

// begin begins a transaction and returns by which epochs it may go.
func (c *client) begin() (span, error) {
	from := c.c.l.now()
	err := c.ask(fmt.Sprintf("MAIL FROM:<client%d@here.test>\r\n", c.n), 250)
	from.last = c.c.l.now().last
	return from, err
}

// follow takes the session to the live generation.
func (c *client) follow() error {
	if _, err := c.begin(); err != nil {
		return fmt.Errorf("session %d, between messages: %w", c.n, err)
	}
	return c.ask("RSET\r\n", 250)
}

// ask sends and reads a reply that must have the code.
func (c *client) ask(text string, code int) error {
	if err := c.write(text); err != nil {
		return err
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("waiting for %d: %w", code, err)
		}
		if !strings.HasPrefix(line, strconv.Itoa(code)) {
			return fmt.Errorf("got %q, want %d", line, code)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

func (c *client) write(text string) error {
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.conn.Write([]byte(text))
	return err
}

// every is how many messages have one body over 64 KiB, which is a file in the
// relay, among them.
const every = 100

func ident(client, seq int) string { return fmt.Sprintf("%d-%d", client, seq) }

// contentOf is a message that is like no other; the field X-Soak names it and
// has the checksum of its body.
func contentOf(client, seq int) (id, content string) {
	id = ident(client, seq)
	line := id + " 0123456789 the quick brown fox jumps over the lazy dog\r\n"
	size := 200 + (client*31+seq*17)%3000
	if seq%every == client%every {
		size += 70 << 10
	}
	body := strings.Repeat(line, size/len(line)+1)
	return id, fmt.Sprintf("From: a@here.test\r\nTo: to@far.test\r\nSubject: soak %s\r\nX-Soak: %s %08x\r\n\r\n%s", id, id, crc32.ChecksumIEEE([]byte(body)), body)
}
