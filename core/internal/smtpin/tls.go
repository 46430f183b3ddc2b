// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"strings"
	"time"
)

// startTLS answers STARTTLS (RFC 3207). Octets that came in the clear behind
// the command may be an attacker's: they end the session, and nothing that was
// said before TLS is remembered.
func (s *session) startTLS(arg string) {
	switch {
	case arg != "":
		s.refuse(refuse(ReasonSyntax, 501, 5, 4, "STARTTLS takes no argument"))
	case s.client.TLSVersion != "":
		s.refuse(outOfOrder("TLS is active already"))
	case !s.offer.has("STARTTLS"):
		s.refuse(refuse(ReasonUnknown, 502, 5, 1, "STARTTLS not offered"))
	case len(s.unread()) > 0:
		s.end(refuse(ReasonTLS, 554, 5, 1, "input behind STARTTLS, closing"))
	default:
		s.say(replyTLS)
		s.forget()
		if s.handshake() {
			s.overTLS()
		}
	}
}

// forget drops all that the client said so far (RFC 3207 §4.2). go-smtp will
// do so at the EHLO that has to follow.
func (s *session) forget() {
	s.Reset()
	s.greeted, s.extended = false, false
	s.offer = s.server.secure
	s.client.Helo, s.client.Protocol = "", ""
	s.logOut()
}

// implicit brings TLS up where a session begins with it, and reports whether the
// session goes on.
func (s *session) implicit() bool {
	if !s.server.opts.Implicit || s.state() != nil {
		return true
	}
	s.offer = s.server.secure
	return s.handshake()
}

// handshake brings TLS up and puts it below the session. After a failure there
// is no way to tell the peer anything.
func (s *session) handshake() bool {
	c := tls.Server(s.raw, s.server.opts.TLS)
	err := s.flush()
	if err == nil {
		err = s.arm(time.Now().Add(s.timeout), inHandshake)
	}
	if err == nil {
		err = s.disarm(0, c.HandshakeContext(s.ctx()))
	}
	if err != nil {
		s.note(refuse(ReasonTLS, 454, 7, 0, fmt.Sprintf("TLS handshake: %v", err)))
		s.ended = true
		return false
	}
	s.secure(c)
	return true
}

// secure notes what the handshake agreed on, and the client's certificate if
// Options.TLS asks for one.
func (s *session) secure(c *tls.Conn) {
	st := c.ConnectionState()
	s.conn = c
	s.client.TLSVersion = strings.ReplaceAll(tls.VersionName(st.Version), " ", "")
	s.client.TLSCipher = tls.CipherSuiteName(st.CipherSuite)
	if len(st.PeerCertificates) > 0 {
		sum := sha256.Sum256(st.PeerCertificates[0].Raw)
		s.client.PeerCert = string(sum[:])
	}
}
