// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/postroad-mail/postroad/core/mail"
)

// session is one connection, and what go-smtp sees of it on both sides: the
// net.Conn below (this file) and the smtp.Session above (transaction.go).
type session struct {
	wire
	server    *Server
	client    mail.Client
	backend   Session        // nil before Open
	speaker   netip.AddrPort // who speaks, behind a PROXY header; not whom it speaks for by XCLIENT
	spokenFor bool           // by XCLIENT
	admitted  netip.Addr     // what the session counts for; invalid: for nobody
	offer     *offer         // what the client may use
	opened    bool           // the Backend was asked
	away      *refusal       // the reply to each command, once the client has been sent away

	greeted  bool   // EHLO or HELO was accepted
	extended bool   // by EHLO
	line     string // a command read too early, to be answered next; empty if none
	hasLine  bool
	handed   string // what go-smtp still has to read
	spoken   bool   // the current command has its reply
	copies   int    // of the next refusal, where it is owed to more than one recipient
	faults   int    // of protocol, since the last accepted message
	idling   int    // commands since the last transaction, of those that begin none
	logins   int    // that failed, in a row
	slips    int    // faults that were slowed down
	ended    bool   // nothing more will be read
	closed   bool

	tx      Transaction // nil outside a transaction
	pending mailCommand // the MAIL that go-smtp is being told of
	rcpt    rcptCommand // the RCPT that go-smtp is being told of
	utf8    bool        // the transaction is SMTPUTF8
	binary  bool        // the transaction is BINARYMIME
	tried   bool        // a RCPT was answered in this transaction
	rcpts   int         // recipients accepted
	expires time.Time   // end of the transaction's time, or of a client's that was sent away; zero: none
	bdat    *chunk      // first chunk of a message; nil for DATA
	pace    pace        // of the content
}

func newSession(s *Server, c net.Conn) *session {
	l := &s.opts.Limits
	small := make([]byte, l.CommandLine)
	p := &session{
		wire:   wire{raw: c, conn: c, timeout: l.CommandTimeout, draining: &s.draining, pool: &s.pool, in: small, small: small},
		server: s,
		offer:  s.plain,
		pace:   newPace(l),
		client: mail.Client{Addr: addrPort(c), Listener: s.opts.Name, SessionID: ulid.Make().String(), Notes: map[string]string{}},
	}
	p.spoken = true // the banner is ours
	return p
}

// addrPort returns the peer's address. That of a program at the other end of a unix
// socket is loopback's with the port 0; on other networks it is the zero value.
func addrPort(c net.Conn) netip.AddrPort {
	if _, ok := c.RemoteAddr().(*net.UnixAddr); ok {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0)
	}
	a, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// countsAs is the address of whom the session counts for: one whose address the
// proxy does not know counts for the proxy.
func (s *session) countsAs() netip.Addr {
	if ip := s.client.Addr.Addr(); ip.IsValid() {
		return ip
	}
	return s.client.Via.Addr()
}

// Read gives go-smtp its next command, one per call, in canonical form. What
// go-smtp cannot answer is answered here. io.EOF ends the session.
func (s *session) Read(p []byte) (n int, err error) {
	defer s.rescue(&err)
	if !s.opened {
		s.open()
	}
	if s.handed == "" {
		s.handed = s.nextCommand()
	}
	if s.handed == "" {
		return 0, io.EOF
	}
	n = copy(p, s.handed)
	s.handed = s.handed[n:]
	return n, nil
}

// Write takes go-smtp's reply. It is sent only where the session has not
// spoken.
func (s *session) Write(p []byte) (int, error) {
	if !s.spoken && !s.ended {
		s.out = append(s.out, p...)
	}
	return len(p), nil
}

// Close ends the connection. go-smtp may call it more than once.
func (s *session) Close() error {
	if s.closed {
		return nil
	}
	s.closed, s.ended, s.handed = true, true, ""
	s.closeBackend()
	err := s.close()
	s.server.leave(s)
	return err
}

// LocalAddr, RemoteAddr and the deadlines complete net.Conn; the wire keeps
// time itself, and go-smtp is configured not to.
func (s *session) LocalAddr() net.Addr              { return s.raw.LocalAddr() }
func (s *session) RemoteAddr() net.Addr             { return s.raw.RemoteAddr() }
func (s *session) SetDeadline(time.Time) error      { return nil }
func (s *session) SetReadDeadline(time.Time) error  { return nil }
func (s *session) SetWriteDeadline(time.Time) error { return nil }

func (s *session) ctx() context.Context { return s.server.ctx }

// nextCommand answers commands until there is one for go-smtp. An empty string
// is the end of the session.
func (s *session) nextCommand() string {
	for !s.ended {
		s.spoken = false
		line, err := s.readLine()
		if err != nil {
			s.lost(err)
			return ""
		}
		if handed := s.dispatch(line); handed != "" {
			return handed
		}
	}
	return ""
}

// readLine returns the next command line without its CRLF. The whole line has
// to come within the command timeout.
func (s *session) readLine() (string, error) {
	if s.hasLine {
		s.hasLine = false
		return s.line, nil
	}
	s.shrink()
	var until time.Time
	for {
		line, n, bad := cutLine(s.unread(), s.server.opts.Limits.CommandLine)
		if bad != nil {
			return "", bad
		}
		if n > 0 {
			text := string(line)
			s.take(n)
			return text, nil
		}
		if until.IsZero() {
			until = s.deadline(s.server.opts.Limits.CommandTimeout)
		}
		if err := s.awaitCommand(until); err != nil {
			return "", err
		}
	}
}

// awaitCommand waits for more octets of a command. Outside a transaction the
// session follows the Backend in the meantime.
func (s *session) awaitCommand(until time.Time) error {
	if s.tx != nil {
		return s.fill(until, inTransaction)
	}
	err := s.fill(until, forCommand)
	if err != errNudged {
		return err
	}
	if bad := s.follow(); bad != nil {
		return bad
	}
	return nil
}

// follow lets the Backend's session change between two commands.
func (s *session) follow() *refusal {
	f, ok := s.backend.(Follower)
	if !ok || s.tx != nil {
		return nil
	}
	if reply := checked(f.Follow(s.ctx())); !accepted(reply) {
		return lastWord(reply, 421)
	}
	return nil
}

// deadline is d from now, or the end of the transaction's time.
func (s *session) deadline(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if !s.expires.IsZero() && t.After(s.expires) {
		return s.expires
	}
	return t
}

// skipLimit is how much refused content is read for the sake of giving a
// proper reply at its end.
func (s *session) skipLimit() int64 { return max(2*s.server.opts.Limits.MessageSize, 64<<20) }

// skipChunk passes over n octets.
func (s *session) skipChunk(n int64) error {
	if n > s.skipLimit() {
		return errSkip
	}
	for n > 0 {
		if len(s.unread()) == 0 {
			if err := s.fillContent(); err != nil {
				return err
			}
		}
		n -= int64(len(s.take(int(min(n, int64(len(s.unread())))))))
	}
	return nil
}
