// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"net"
	"net/textproto"
	"sync"
	"sync/atomic"
	"time"
)

// sessions is how many clients send at the same time.
const sessions = 20

// load is what clients do to one life of the relay, until it dies.
type load struct {
	addr   string
	l      *ledger
	acked  func(n int, read time.Time) // called at once when the n-th 250 of this life was read
	dying  atomic.Bool                 // set before the relay is killed: errors are no news then
	wg     sync.WaitGroup
	mu     sync.Mutex
	faults []string
}

// start begins the sessions.
func (o *load) start() {
	for range sessions {
		o.wg.Go(func() {
			if err := o.session(); err != nil && !o.dying.Load() {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.faults = append(o.faults, "client: "+err.Error())
			}
		})
	}
}

// end waits until all sessions are over and returns what went wrong before the
// kill.
func (o *load) end() []string {
	o.wg.Wait()
	return o.faults
}

// session sends one message after the other until the connection fails.
func (o *load) session() error {
	conn, err := net.Dial("tcp", o.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	c := textproto.NewConn(conn)
	if _, _, err := c.ReadResponse(220); err != nil {
		return err
	}
	if err := ask(c, "EHLO client.test", 250); err != nil {
		return err
	}
	for {
		if err := o.message(c); err != nil {
			return err
		}
	}
}

// message sends one message and enters its 250 as soon as it was read.
func (o *load) message(c *textproto.Conn) error {
	id, content := o.l.next()
	if err := ask(c, fmt.Sprintf("MAIL FROM:<a@here.test>\r\nRCPT TO:<%s@far.test>\r\nDATA", id), 250, 250, 354); err != nil {
		return err
	}
	w := c.DotWriter()
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, text, err := c.ReadResponse(250)
	read := time.Now()
	if err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	o.acked(o.l.acknowledge(id, text), read)
	return nil
}

// ask sends lines in one piece and reads the replies to them.
func ask(c *textproto.Conn, lines string, codes ...int) error {
	if err := c.PrintfLine("%s", lines); err != nil {
		return err
	}
	for _, code := range codes {
		if _, _, err := c.ReadResponse(code); err != nil {
			return err
		}
	}
	return nil
}
