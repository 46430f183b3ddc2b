// SPDX-License-Identifier: Apache-2.0

package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxGroup is the most commands that wait for replies at once. RFC 2920 §3.1:
// while we write, the replies must fit into the buffers between us and the
// host, or both wait for ever; 100 long ones do.
const maxGroup = 100

// errClosing ends a connection after 421 (RFC 5321 §3.8).
var errClosing = errors.New("the host closes the connection")

// errContent marks a message that could not be read: our fault, not the host's.
var errContent = errors.New("cannot read the message")

// errOutOfStep ends a connection on which replies do not fit the commands.
var errOutOfStep = errors.New("the host's replies do not fit our commands")

// Conn is a connection that is ready for MAIL. It belongs to one goroutine.
type Conn struct {
	client *Client
	wire   *wire
	host   string
	addr   string
	tls    string // version, empty for plain
	ext    extensions
	group  int  // most commands that wait for replies at once: 1 without PIPELINING
	used   bool // a transaction came to its end here
	rset   bool // the last one left something behind
	txs    [2]transaction
	turn   int // which of txs is next
	mails  int // MAIL commands so far

	stuffer stuffer // of the content at hand

	verify func() bool // whether the certificate is the host's; nil on a plain connection
}

func newConn(c *Client, t Target, nc net.Conn) *Conn {
	return &Conn{
		client: c, wire: newWire(nc, &c.o.Timeouts), group: 1,
		host: strings.TrimSuffix(t.Host, "."), addr: t.Addr.String(),
	}
}

// TLS returns the version of TLS in use, "TLS1.3" for instance, and the empty
// string on a plain connection.
func (c *Conn) TLS() string { return c.tls }

// Close closes the connection as it stands.
func (c *Conn) Close() error { return c.wire.c.Close() }

// Next hands out the next job. With wait it may block until there is one, and
// false means that the connection shall be closed; without wait it must not
// block, and false means that there is none now. The job and its content must
// stay until Done has it.
type Next func(wait bool) (*Job, bool)

// Done takes a job back, with one outcome per recipient in the order of
// Job.Recipients. It is called once for each job that Next handed out, from
// inside Run. With nil outcomes the job was not tried: the host closed a
// connection on which it had served before, and the job belongs on another one.
// On a fresh connection that does not happen, so giving the job to a new one
// cannot go on for ever.
type Done func(j *Job, outcomes []mail.Outcome)

// Run sends the jobs that next hands out and closes the connection in the end:
// with QUIT when next says so, which is no error, or when the host or the
// network ended it, or ctx. next is asked with wait when everything sent is
// answered. With PIPELINING it is asked without wait each time a final dot is
// about to leave, and what it hands out leaves in the same write.
//
// A host that is lost between the final dot and its reply has perhaps taken the
// message; the outcome is deferred all the same (RFC 5321 §4.5.4.1).
func (c *Conn) Run(ctx context.Context, next Next, done Done) error {
	stop := context.AfterFunc(ctx, func() { c.wire.c.Close() })
	defer stop()
	defer c.wire.c.Close()
	for {
		if c.full() {
			return c.quit()
		}
		job, ok := next(true)
		if !ok {
			return c.quit()
		}
		if err := c.burst(job, next, done); err != nil {
			return fmt.Errorf("smtp: %s [%s]: %w", c.host, c.addr, err)
		}
	}
}

// burst sends job and what next has to send right behind it. Only meanwhile
// does the connection hold its large buffers.
func (c *Conn) burst(job *Job, next Next, done Done) error {
	b := c.client.buffers.Get().(*buffers)
	c.wire.out = b.out[:0]
	defer func() {
		c.wire.out = nil
		c.client.buffers.Put(b)
	}()
	t := c.begin(job)
	for t != nil {
		ahead, err := c.carry(t, b.piece, next, done)
		t.done(done, t.outcomes)
		if err != nil && ahead != nil {
			ahead.done(done, nil)
		}
		if err != nil {
			return err
		}
		t = ahead
	}
	return nil
}

// begin makes the transaction for job. Recipients that need not be sent, as the
// host has said what it cannot take, are settled at once.
func (c *Conn) begin(job *Job) *transaction {
	t := &c.txs[c.turn]
	c.turn = 1 - c.turn
	t.reset(job, c.rset)
	switch why, ok := c.fit(t); {
	case !ok:
		t.settleOpen(c.ours(why))
	case c.ext.maxSize > 0 && t.size() > c.ext.maxSize:
		t.settleOpen(c.ours(tooLarge))
	default:
		t.address(c)
	}
	if len(t.rcpts) > 0 {
		c.mails++
	}
	return t
}

// carry brings t to its end. It returns the transaction behind it, if one is
// under way already. With an error the connection is over.
func (c *Conn) carry(t *transaction, piece []byte, next Next, done Done) (*transaction, error) {
	if len(t.rcpts) == 0 {
		return nil, nil
	}
	if err := c.exchange(t); err != nil {
		return nil, c.lost(t, err)
	}
	c.rset = t.mailTaken
	if t.chunk {
		t.goAhead = t.accepted > 0
	}
	switch {
	case t.goAhead && t.accepted == 0:
		return nil, c.loneDot()
	case !t.goAhead:
		c.used = true
		return nil, nil
	}
	if err := c.content(t, piece); err != nil {
		return nil, c.interrupted(t, err)
	}
	c.rset = false
	if t.chunk { // what comes next depends on the reply
		return nil, c.dot(t)
	}
	ahead := c.ahead(next, done)
	return ahead, c.dot(t)
}

// exchange writes MAIL, RCPT and DATA in groups and reads the replies.
func (c *Conn) exchange(t *transaction) error {
	for t.answered < t.total() && !t.stuck() {
		c.write(t)
		if err := c.wire.flush(); err != nil {
			return err
		}
		for t.answered < t.written {
			if err := c.answer(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// write appends the next group of commands, if the one before is answered.
func (c *Conn) write(t *transaction) {
	end := min(t.total(), t.answered+c.group)
	for ; t.written < end; t.written++ {
		c.wire.out = t.command(c.wire.out, t.written, &c.ext)
	}
}

func (c *Conn) answer(t *transaction) error {
	r, err := c.wire.read(t.timeout(c.wire.t))
	if err != nil {
		return err
	}
	if r.code == 421 {
		return c.closing(t, r)
	}
	return t.take(r, c)
}

// closing settles t after 421. A host that will not serve any more on this
// connection has said nothing about the next message.
func (c *Conn) closing(t *transaction, r *reply) error {
	if !c.giveBack(t) {
		t.settleOpen(c.spoken(r))
	}
	return errClosing
}

// lost settles t when the connection ended in the envelope.
func (c *Conn) lost(t *transaction, err error) error {
	if !errors.Is(err, errClosing) && !c.giveBack(t) {
		t.settleOpen(c.fault("lost the connection before the message was sent", err))
	}
	return err
}

// giveBack takes the outcomes from a transaction that was not tried.
func (c *Conn) giveBack(t *transaction) bool {
	if !c.used || !t.untouched() {
		return false
	}
	t.outcomes = nil
	return true
}

// loneDot ends the content that a host asks for although it has taken no
// recipient (RFC 2920 §3.1). Whatever it says, nobody was promised anything.
func (c *Conn) loneDot() error {
	c.rset, c.used = false, true
	r, err := c.wire.command(".", c.wire.t.Dot)
	if err == nil && r.code == 421 {
		return errClosing
	}
	return err
}

// content writes the content, stuffed, with its final dot. The end of it stays
// in the buffer.
func (c *Conn) content(t *transaction, piece []byte) error {
	if t.chunk {
		return c.binary(t, piece)
	}
	s := &c.stuffer
	*s = stuffer{}
	if err := c.stuff(s, t.header); err != nil {
		return err
	}
	if err := c.body(s, t.body, piece); err != nil {
		return err
	}
	c.wire.out = append(s.end(c.wire.out), '.', '\r', '\n')
	return nil
}

func (c *Conn) body(s appender, b mail.Body, piece []byte) error {
	if b == nil {
		return nil
	}
	if mem, ok := b.(mail.BytesBody); ok {
		return c.stuff(s, mem)
	}
	size := b.Size()
	for off := int64(0); off < size; {
		p := piece[:min(int64(len(piece)), size-off)]
		n, err := b.ReadAt(p, off)
		if n < len(p) {
			return fmt.Errorf("%w: %d of %d octets: %w", errContent, off+int64(n), size, orEOF(err))
		}
		if err := c.stuff(s, p); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// stuff writes b, stuffed, as far as the buffer does not hold it.
func (c *Conn) stuff(s appender, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), pieceSize)
		c.wire.out = s.append(c.wire.out, b[:n])
		b = b[n:]
		if len(c.wire.out) >= flushSize {
			if err := c.wire.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// interrupted settles t when the content could not be written to its end. No
// final dot left, so the host has not taken the message; if it said why, that
// counts.
func (c *Conn) interrupted(t *transaction, err error) error {
	switch r, ok := c.premature(err); {
	case ok:
		t.settleOpen(c.spoken(r))
	case errors.Is(err, errContent):
		t.settleOpen(c.ours(*mail.OurFault(err)))
	default:
		t.settleOpen(c.fault("lost the connection while sending the message", err))
	}
	return err
}

// premature returns the refusal that a host sent before it hung up on us.
func (c *Conn) premature(err error) (*reply, bool) {
	if errors.Is(err, errContent) {
		return nil, false
	}
	r, err := c.wire.read(time.Second)
	return r, err == nil && r.code >= 400
}

// ahead begins the next transaction, if there is work and the host allows it.
func (c *Conn) ahead(next Next, done Done) *transaction {
	for c.group > 1 && !c.full() {
		job, ok := next(false)
		if !ok {
			return nil
		}
		t := c.begin(job)
		if len(t.rcpts) > 0 {
			c.write(t)
			return t
		}
		c.turn = 1 - c.turn // nothing to send: its place is free again
		t.done(done, t.outcomes)
	}
	return nil
}

// dot sends the final dot and reads the reply to it.
func (c *Conn) dot(t *transaction) error {
	err := c.wire.flush()
	if err == nil {
		var r *reply
		if r, err = c.wire.read(c.wire.t.Dot); err == nil {
			return c.finish(t, r)
		}
	}
	t.settleOpen(c.fault("lost the connection before the reply to the message; it may arrive twice", err))
	c.client.o.Logger.Warn("connection lost behind the final dot", "id", t.job.Envelope.ID, "host", c.host, "error", err)
	return err
}

func (c *Conn) finish(t *transaction, r *reply) error {
	c.used = true
	c.rset = t.chunk && r.code/100 != 2 // RFC 3030 §2: the host may be anywhere now
	t.settleOpen(c.spoken(r))
	if r.code == 421 {
		return errClosing
	}
	return nil
}

// quit says goodbye. The host's reply changes nothing.
func (c *Conn) quit() error {
	if _, err := c.wire.command("QUIT", c.wire.t.Quit); err != nil {
		c.client.o.Logger.Trace("no reply to QUIT", "host", c.host, "error", err)
	}
	return nil
}

// spoken is the outcome of a reply by the host.
func (c *Conn) spoken(r *reply) mail.Outcome {
	o := c.outcome(r.mail())
	o.Remote = true
	return o
}

// ours is the outcome of a reply that is ours.
func (c *Conn) ours(r mail.Reply) mail.Outcome { return c.outcome(r) }

// fault is the outcome when the host went silent.
func (c *Conn) fault(what string, cause error) mail.Outcome {
	text := printable([]byte(what + ": " + reason(cause)))
	return c.outcome(mail.Reply{Code: 451, Enhanced: mail.Enhanced{4, 4, 2}, Text: text, Cause: cause})
}

// reason says why a connection failed, without the addresses that the outcome
// has anyway.
func reason(err error) string {
	var op *net.OpError
	switch {
	case errors.Is(err, net.ErrClosed):
		return "stopped by the relay" // nobody else closes our side
	case errors.Is(err, io.EOF):
		return "closed by the host"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

func (c *Conn) outcome(r mail.Reply) mail.Outcome {
	return mail.Outcome{Status: status(r.Code), Reply: r, NextHop: c.host, Address: c.addr, TLS: c.tls, DSN: c.ext.dsn, DeliverBy: c.ext.deliverBy}
}

// status says what a reply means for a recipient. Only 2xx is success and only
// 5xx is final; what should not come, such as 354 to MAIL, is tried again.
func status(code int) mail.Status {
	switch code / 100 {
	case 2:
		return mail.Delivered
	case 5:
		return mail.Failed
	}
	return mail.Deferred
}
