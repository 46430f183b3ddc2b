// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// awayTime is how long a client that was refused may take to say QUIT.
const awayTime = 10 * time.Second

// open begins the session. A client that is refused for good is not cut off but
// waited for (RFC 5321 §3.1): closing at once would let a client that has sent
// something already see a reset instead of the reply.
func (s *session) open() {
	s.opened = true
	if s.introduce() {
		s.welcome()
	}
}

// welcome admits the client, asks the Backend about it, and greets it.
func (s *session) welcome() {
	if bad := s.server.admit(s); bad != nil {
		s.end(bad)
		return
	}
	if !s.implicit() || !s.holdBanner() {
		return
	}
	b, reply := s.server.opts.Backend.Open(s.ctx(), &s.client)
	reply = checked(reply)
	if accepted(reply) && b == nil {
		reply = mail.OurFault(errNoReply)
	}
	if accepted(reply) {
		s.backend = b
		s.out = append(s.out, s.server.banner...)
		if s.server.opts.Implicit {
			s.overTLS()
		}
		return
	}
	s.sendAway(outOfOrder("refused, only QUIT is left"))
	s.refuse(lastWord(reply, 554))
}

// lastWord is what a refused client is told: 421 for now, the given code for
// good.
func lastWord(r *mail.Reply, permanent int) *refusal {
	c := *r
	c.Code = permanent
	if r.Temporary() {
		c.Code = 421
	}
	return &refusal{blame(r).reason, &c}
}

// sendAway makes each the reply to every command from now on but QUIT.
func (s *session) sendAway(each *refusal) {
	s.away = each
	s.expires = time.Now().Add(awayTime)
}

// goAway answers a command of a client that was sent away.
func (s *session) goAway(verb string) string {
	if verb == "QUIT" {
		return s.plain(verb, "")
	}
	s.refuse(s.away)
	return ""
}

// overTLS asks the Backend once TLS is up. The server has nothing to say then,
// so the client hears of a refusal at its next command. One that is refused for
// good may say more than one: who gets 5xx to EHLO tries HELO, and takes a
// closed connection for a fault that passes.
func (s *session) overTLS() {
	reply := checked(s.backend.TLS(s.ctx()))
	if accepted(reply) {
		return
	}
	s.sendAway(lastWord(reply, reply.Code))
}

// closeBackend ends the transaction, if any, and the Backend's session.
func (s *session) closeBackend() {
	s.Reset()
	var err error
	defer s.rescue(&err)
	if s.backend != nil {
		s.backend.Close()
	}
}
