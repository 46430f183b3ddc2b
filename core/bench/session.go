// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"net"
)

// session is the server's side of one SMTP session of the sink.
type session struct {
	sink *sink
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
}

func newSession(s *sink, c net.Conn) *session {
	return &session{s, c, bufio.NewReaderSize(c, 16<<10), bufio.NewWriterSize(c, 512)}
}

// run answers commands until QUIT or the end of the connection.
func (s *session) run() {
	defer s.conn.Close()
	s.sink.connected()
	s.reply("220 nexthop.example ESMTP\r\n")
	for {
		line, err := s.line()
		if err != nil || !s.answer(line) {
			s.out.Flush()
			return
		}
	}
}

// line returns the next line. Replies are sent when there is nothing more to
// read, so that pipelined commands share a packet (RFC 2920).
func (s *session) line() ([]byte, error) {
	if s.in.Buffered() == 0 {
		if err := s.out.Flush(); err != nil {
			return nil, err
		}
	}
	return s.in.ReadSlice('\n')
}

// answer reports whether the session goes on.
func (s *session) answer(line []byte) bool {
	verb := bytes.ToUpper(line[:min(4, len(line))])
	switch string(verb) {
	case "EHLO":
		s.reply("250-nexthop.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 0\r\n")
	case "HELO", "MAIL", "RCPT", "RSET", "NOOP":
		s.reply("250 2.0.0 ok\r\n")
	case "DATA":
		return s.data() == nil
	case "QUIT":
		s.reply("221 2.0.0 bye\r\n")
		return false
	default:
		s.reply("500 5.5.2 not known here\r\n")
	}
	return true
}

func (s *session) reply(text string) { _, _ = s.out.WriteString(text) } // Flush returns the error

// data reads one message and counts it.
func (s *session) data() error {
	s.reply("354 go on\r\n")
	if err := s.out.Flush(); err != nil {
		return err
	}
	n, want, ok, err := s.header()
	if err != nil {
		return err
	}
	sum, err := s.body()
	if err != nil {
		return err
	}
	s.sink.add(n, ok && sum == want)
	s.reply("250 2.0.0 taken\r\n")
	return nil
}

// header reads to the empty line and returns what the mark says.
func (s *session) header() (n int, sum uint32, ok bool, err error) {
	for {
		line, err := s.in.ReadSlice('\n')
		if err != nil || string(line) == "\r\n" {
			return n, sum, ok, err
		}
		if name, value, colon := bytes.Cut(line, []byte(":")); colon && string(name) == mark {
			n, sum, ok = parseMark(value)
		}
	}
}

// body reads to the line with the lone dot and returns the checksum of what
// comes before it, without the dots that RFC 5321 §4.5.2 adds.
func (s *session) body() (sum uint32, err error) {
	for start := true; ; {
		part, err := s.in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return 0, io.ErrUnexpectedEOF
		}
		if start && string(part) == ".\r\n" {
			return sum, nil
		}
		if start && part[0] == '.' {
			part = part[1:]
		}
		sum = crc32.Update(sum, crc32.IEEETable, part)
		start = err == nil
	}
}
