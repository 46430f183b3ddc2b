// SPDX-License-Identifier: Apache-2.0

// Package smtp carries messages to mail hosts: an SMTP client (RFC 5321) that
// keeps a connection busy. With PIPELINING (RFC 2920) MAIL, every RCPT and DATA
// leave in one write, and the next envelope follows right behind the final dot,
// before the reply to it is there; a small message then costs one write and one
// or two reads. Without PIPELINING the same code sends one command at a time.
//
// Client.Dial makes a Conn that is ready for MAIL; Conn.Run sends what the
// caller hands out until there is no more. One goroutine, the caller's, does
// all the work of a connection. When to connect, to whom, and what a deferred
// outcome leads to is decided elsewhere.
//
// What leaves is always well formed, whatever the content holds: lines end in
// CRLF, a bare LF becomes CRLF, a bare CR a space (so that no header field and
// no line begins where the author put none), dots are stuffed, and the content
// ends in CRLF. Content with both line ends right is not changed.
//
// Content with octets above 127 that a host without 8BITMIME is to have, and a
// binary message for a host without BINARYMIME (RFC 3030 §3, RFC 6152 §3), are
// converted by Options.Convert, or fail with 5.6.3. A binary message goes by BDAT as
// it is. Without SMTPUTF8 a recipient that needs it fails with 5.6.7 (RFC 6531 §3.5).
package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// Options say how a Client talks. Only Hostname must be set.
type Options struct {
	Hostname string // our name in EHLO
	Logger   hclog.Logger
	TLS      *tls.Config // base for STARTTLS (roots, client certificate); nil: the system's
	Timeouts Timeouts
	// Dial opens the TCP connection, from wherever it likes; nil: net.Dialer, from
	// Target.Local.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Convert makes messages that hosts can take; nil: 8-bit ones go as they are,
	// and binary ones fail.
	Convert Convert
	// Now is what the time that is left to deliver in is counted from; nil:
	// time.Now. Timeouts are those of the socket.
	Now func() time.Time
}

// Convert returns a message in which no body part is binary or, unless eightBit,
// has octets above 127. An error with ErrUnconvertible in its chain says that it
// cannot be done; any other is a fault of ours.
type Convert func(header []byte, body mail.Body, eightBit bool) (Converted, error)

// Converted is a message that a host can take.
type Converted struct {
	Header  []byte
	Body    mail.Body
	Release func() // frees what Body holds; nil: nothing
}

// ErrUnconvertible says of a message that it must not be changed, or that nobody
// knows how.
var ErrUnconvertible = errors.New("the message cannot be converted")

// Timeouts bound the waits for the host; zero fields get the value of RFC 5321
// §4.5.3.2 that stands behind them. A reply has to be complete within its time,
// however slowly its octets come.
type Timeouts struct {
	Connect   time.Duration // 30 s
	Greeting  time.Duration // 5 min
	Hello     time.Duration // 5 min; EHLO, HELO and STARTTLS
	Handshake time.Duration // 1 min; TLS
	Mail      time.Duration // 5 min; MAIL and RSET
	Rcpt      time.Duration // 5 min
	Data      time.Duration // 2 min; until 354
	Block     time.Duration // 3 min; each write, of 32 KiB or so
	Dot       time.Duration // 10 min; until the reply to the final dot
	Quit      time.Duration // 5 s; nothing depends on the reply
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second}, {&t.Greeting, 5 * time.Minute}, {&t.Hello, 5 * time.Minute},
		{&t.Handshake, time.Minute}, {&t.Mail, 5 * time.Minute}, {&t.Rcpt, 5 * time.Minute},
		{&t.Data, 2 * time.Minute}, {&t.Block, 3 * time.Minute}, {&t.Dot, 10 * time.Minute},
		{&t.Quit, 5 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

// Client opens connections. It may be used by many goroutines and holds nothing
// that must be closed.
type Client struct {
	o       Options
	buffers sync.Pool // of *buffers
}

// New returns a Client.
func New(o Options) *Client {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.TLS == nil {
		o.TLS = new(tls.Config)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Timeouts = o.Timeouts.withDefaults()
	c := &Client{o: o}
	c.buffers.New = func() any { return newBuffers() }
	return c
}

// Job is one transaction: one message for some of its recipients.
type Job struct {
	Envelope   *mail.Envelope // only read
	Recipients []int          // indices in Envelope.Recipients, at least one
	Header     []byte         // with its empty line, if it has one
	Body       mail.Body      // nil: nothing behind Header
	Tag        any            // the caller's own
}

// HostError says that a host could not be used: no connection, or none that is
// ready for MAIL. It speaks of the host and not of any message, so the next
// host may be tried, and a 5xx in it fails nobody.
type HostError struct {
	Host    string
	Address string     // "ip:port"
	Reply   mail.Reply // the host's, or ours where none came
	Remote  bool       // Reply was spoken by the host
	Local   bool       // the connection could not leave from Target.Local: nothing is known of the host
}

// Error implements error.
func (e *HostError) Error() string {
	return e.Host + " [" + e.Address + "]: " + e.Reply.Error()
}

// Unwrap returns the Reply.
func (e *HostError) Unwrap() error { return &e.Reply }
