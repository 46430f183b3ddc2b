// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"os"
	"time"
)

// maxTarpit is how many faults make a session slower.
const maxTarpit = 10

// known reports whether the client is one of those that are trusted, or has logged
// in: it is neither held back nor slowed down.
func (s *session) known() bool {
	return s.client.Authenticated || containsAddr(s.server.opts.Known, s.client.Addr.Addr())
}

// holdBanner holds the banner back for a while, and reports whether the client
// waited for it. One that speaks before it is a program that hears nothing of what
// we say (RFC 5321 §4.3.1 wants clients to wait).
func (s *session) holdBanner() bool {
	d := s.server.opts.Limits.GreetDelay
	if d == 0 || s.known() || s.state() != nil || s.mayXClient() {
		return true
	}
	err := s.fill(time.Now().Add(d), inHandshake)
	switch {
	case err == nil:
		s.sendAway(outOfOrder("refused, only QUIT is left"))
		s.refuse(refuse(ReasonEarly, 554, 5, 1, "you spoke before the greeting"))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true
	default:
		s.lost(err)
	}
	return false
}

// tarpit makes the reply to a fault of a stranger the later the more there were.
func (s *session) tarpit(r *refusal) {
	d := s.server.opts.Limits.Tarpit
	if d == 0 || r.reply.Code < 500 || s.known() {
		return
	}
	s.slips = min(s.slips+1, maxTarpit)
	_ = s.flush() // what was said before does not wait
	select {
	case <-time.After(time.Duration(s.slips) * d):
	case <-s.server.down:
	case <-s.ctx().Done():
	}
}
