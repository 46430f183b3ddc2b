// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
)

// errOver ends a session.
var errOver = errors.New("session is over")

// sinkConn is one session of a Sink.
type sinkConn struct {
	s    *Sink
	n    int // number of the connection
	c    net.Conn
	r    *bufio.Reader
	w    *bufio.Writer
	helo string
	tls  bool
	mail int
	buf  []byte    // content that nobody will look at
	tx   *Received // the open transaction, nil outside
}

func newSinkConn(s *Sink, c net.Conn, n int) *sinkConn {
	return &sinkConn{s: s, n: n, c: c, r: bufio.NewReaderSize(c, 32<<10), w: bufio.NewWriter(c)}
}

func (c *sinkConn) serve() {
	defer func() { c.c.Close() }()
	if c.do(VerbConnect, "", "220 sink.test ESMTP") != nil {
		return
	}
	for {
		if c.r.Buffered() == 0 && c.w.Flush() != nil {
			return
		}
		line, ok := c.line()
		if !ok {
			return
		}
		c.s.change(func() { c.s.commands[c.n-1] = append(c.s.commands[c.n-1], line) })
		if c.command(line) != nil {
			c.w.Flush()
			return
		}
	}
}

// line reads a command line, which only CRLF ends.
func (c *sinkConn) line() (string, bool) {
	var b []byte
	for !bytes.HasSuffix(b, []byte("\r\n")) {
		part, err := c.r.ReadSlice('\n')
		b = append(b, part...)
		if err != nil && err != bufio.ErrBufferFull || len(b) > 1<<20 {
			return "", false
		}
	}
	c.countBare(b)
	return string(b[:len(b)-2]), true
}

func (c *sinkConn) command(line string) error {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO":
		return c.hello(verb, arg)
	case "STARTTLS":
		return c.starttls()
	case "MAIL":
		return c.mailFrom(arg)
	case "RCPT":
		return c.rcptTo(arg)
	case "DATA":
		return c.data()
	case "BDAT":
		return c.bdat(arg)
	case "RSET":
		c.tx = nil
		return c.do(verb, arg, "250 2.0.0 reset")
	case "NOOP":
		return c.do(verb, arg, "250 2.0.0 ok")
	case "QUIT":
		if err := c.do(verb, arg, "221 2.0.0 bye"); err != nil {
			return err
		}
		return errOver
	}
	return c.do(verb, arg, "500 5.5.2 unknown command")
}

// do asks the script about an event and answers; usual is the reply of a good
// server. It fails when the session is over.
func (c *sinkConn) do(verb, arg, usual string) error {
	_, err := c.reply(verb, arg, usual)
	return err
}

// reply is do, and returns the first digit of the reply sent.
func (c *sinkConn) reply(verb, arg, usual string) (byte, error) {
	var a Action
	if script := c.s.script(); script != nil {
		a = script(Event{Conn: c.n, Verb: verb, Arg: arg, Mail: c.mail, TLS: c.tls})
	}
	if a.Wait != nil {
		c.w.Flush()
		select {
		case <-a.Wait:
		case <-c.s.stop:
			return 0, errOver
		}
	}
	if a.Drop {
		c.w.Flush()
		return 0, errOver
	}
	if a.Reply == "" {
		a.Reply = usual
	}
	if a.Raw == "" {
		a.Raw = wireReply(a.Reply)
	}
	if _, err := c.w.WriteString(a.Raw); err != nil || a.Close {
		return 0, errOver
	}
	if a.Raw == "" { // VerbContent has no reply
		return 0, nil
	}
	return a.Raw[0], nil
}

// wireReply turns "250 a\nb" into "250-a CRLF 250 b CRLF".
func wireReply(s string) string {
	if s == "" {
		return ""
	}
	lines := strings.Split(s, "\n")
	code, first, _ := strings.Cut(lines[0], " ")
	lines[0] = first
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = code + sep + lines[i] + "\r\n"
	}
	return strings.Join(lines, "")
}

func (c *sinkConn) hello(verb, arg string) error {
	c.tx, c.helo = nil, arg
	if verb == "HELO" {
		return c.do(verb, arg, "250 sink.test")
	}
	if c.s.o.NoEHLO {
		return c.do(verb, arg, "502 5.5.1 not here")
	}
	ext := c.s.o.Extensions
	if ext == nil {
		ext = DefaultExtensions()
	}
	if (c.s.o.TLS != nil || c.s.o.BadTLS) && !c.tls {
		ext = append(slices.Clone(ext), "STARTTLS")
	}
	return c.do(verb, arg, strings.Join(append([]string{"250 sink.test"}, ext...), "\n"))
}

func (c *sinkConn) starttls() error {
	if c.s.o.TLS == nil && !c.s.o.BadTLS || c.tls {
		return c.do("STARTTLS", "", "502 5.5.1 no TLS here")
	}
	digit, err := c.reply("STARTTLS", "", "220 2.0.0 go ahead")
	if err != nil || digit != '2' {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	if c.s.o.BadTLS {
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		c.w.WriteString("this is not a TLS handshake\r\n")
		return errOver
	}
	tc := tls.Server(c.c, c.s.o.TLS)
	if err := tc.Handshake(); err != nil {
		return err
	}
	c.c, c.r, c.w = tc, bufio.NewReaderSize(tc, 32<<10), bufio.NewWriter(tc)
	c.tls, c.tx, c.helo, c.mail = true, nil, "", 0
	return nil
}

func (c *sinkConn) mailFrom(arg string) error {
	path, params, ok := cutPath(arg, "FROM:")
	if !ok {
		return c.do("MAIL", arg, "501 5.5.4 no path")
	}
	if c.tx != nil {
		return c.do("MAIL", arg, "503 5.5.1 nested MAIL")
	}
	c.mail++
	digit, err := c.reply("MAIL", arg, "250 2.1.0 ok")
	if err == nil && digit == '2' {
		c.tx = &Received{Conn: c.n, Client: c.c.RemoteAddr().(*net.TCPAddr).IP.String(), From: path, FromParams: params, Helo: c.helo, TLS: c.tls}
	}
	return err
}

func (c *sinkConn) rcptTo(arg string) error {
	path, _, ok := cutPath(arg, "TO:")
	if !ok {
		return c.do("RCPT", arg, "501 5.5.4 no path")
	}
	if c.tx == nil {
		return c.do("RCPT", arg, "503 5.5.1 no MAIL")
	}
	digit, err := c.reply("RCPT", arg, "250 2.1.5 ok")
	if err == nil && digit == '2' {
		c.tx.To = append(c.tx.To, path)
	}
	return err
}

func (c *sinkConn) data() error {
	usual := "354 go ahead"
	switch {
	case c.tx == nil:
		usual = "503 5.5.1 no MAIL"
	case len(c.tx.To) == 0:
		usual = "554 5.5.1 no valid recipients"
	}
	digit, err := c.reply("DATA", "", usual)
	if err != nil || digit != '3' {
		return err
	}
	if err := c.w.Flush(); err != nil {
		return err
	}
	content, err := c.content()
	if err != nil {
		return err
	}
	rec := c.tx
	c.tx = nil
	usual = "250 2.0.0 taken"
	if rec == nil || len(rec.To) == 0 {
		usual = "554 5.5.1 no valid recipients"
	}
	digit, err = c.reply(VerbDot, "", usual)
	if digit == '2' && rec != nil {
		rec.Content = content
		c.keep(*rec)
	}
	return err
}

func (c *sinkConn) keep(r Received) {
	c.s.change(func() {
		c.s.count++
		if !c.s.o.Forget {
			c.s.messages = append(c.s.messages, r)
		}
	})
}

// content reads up to and with CRLF.CRLF and returns what was before, dots
// unstuffed (RFC 5321 §4.5.2).
func (c *sinkConn) content() ([]byte, error) {
	if _, err := c.r.Peek(1); err != nil {
		return nil, err
	}
	if err := c.do(VerbContent, "", ""); err != nil {
		return nil, err
	}
	b := c.buf[:0]
	atLine := true
	for {
		part, err := c.r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, err
		}
		if atLine && string(part) == ".\r\n" {
			c.countBare(b)
			if c.s.o.Forget {
				c.buf = b
			}
			return b, nil
		}
		if atLine && part[0] == '.' {
			part = part[1:]
		}
		b = append(b, part...)
		atLine = bytes.HasSuffix(b, []byte("\r\n"))
	}
}

// countBare counts CR and LF octets that are not part of a CRLF.
func (c *sinkConn) countBare(b []byte) {
	n := bytes.Count(b, []byte("\r")) + bytes.Count(b, []byte("\n")) - 2*bytes.Count(b, []byte("\r\n"))
	if n > 0 {
		c.s.change(func() { c.s.bare += n })
	}
}

// cutPath splits "FROM:<a@b> X=Y" into the path and its parameters.
func cutPath(arg, prefix string) (path string, params []string, ok bool) {
	if len(arg) < len(prefix) || !strings.EqualFold(arg[:len(prefix)], prefix) {
		return "", nil, false
	}
	arg = strings.TrimLeft(arg[len(prefix):], " ")
	end := strings.LastIndexByte(arg, '>')
	if !strings.HasPrefix(arg, "<") || end < 0 {
		return "", nil, false
	}
	return arg[:end+1], strings.Fields(arg[end+1:]), true
}
