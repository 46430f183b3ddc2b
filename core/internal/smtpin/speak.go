// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"io"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"
)

// say gives the current command its reply: whole lines.
func (s *session) say(text string) {
	s.spoken = true
	s.out = append(s.out, text...)
	if len(s.out) < flushAbove {
		return
	}
	if err := s.flush(); err != nil {
		s.ended = true
	}
}

// refuse gives the current command a negative reply; 421 ends the session. A
// client that does nothing but talk nonsense is sent away.
func (s *session) refuse(r *refusal) {
	s.note(r)
	s.tarpit(r)
	s.sayEach(r.reply)
	if r.reply.Code == 421 {
		s.ended = true
	}
	if r.reason != ReasonSyntax && r.reason != ReasonUnknown {
		return
	}
	if s.faults++; s.faults >= s.server.opts.Limits.Errors {
		s.end(refuse(ReasonErrors, 421, 7, 0, "too many errors, closing"))
	}
}

// note reports a negative reply.
func (s *session) note(r *refusal) {
	s.server.opts.Observer.Refused(r.reason, r.reply.Code)
	if level := r.level(); level >= s.server.opts.Logger.GetLevel() {
		s.logger().Log(level, "refused", "reason", r.reason, "reply", r.reply.Line(), "cause", r.reply.Cause)
	}
}

// end gives a last reply and ends the session. A nil r ends it silently.
func (s *session) end(r *refusal) {
	if s.ended {
		return
	}
	if r != nil {
		s.note(r)
		s.say(wireText(r.reply))
	}
	s.ended = true
}

// lost ends the session because of a failed read.
func (s *session) lost(err error) {
	var bad *refusal
	switch {
	case errors.As(err, &bad):
		s.end(bad)
	case errors.Is(err, errDraining):
		s.end(goingDown())
	case errors.Is(err, errSlow):
		s.end(s.tooSlow())
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.end(refuse(ReasonTimeout, 421, 4, 2, "timeout, closing"))
	default:
		s.end(nil)
	}
}

func goingDown() *refusal {
	return refuse(ReasonShutdown, 421, 3, 2, "going down, try again later")
}

// rescue turns a panic into the end of this session.
func (s *session) rescue(err *error) {
	p := recover()
	if p == nil {
		return
	}
	s.server.opts.Observer.Panicked()
	s.logger().Error("panic in session", "panic", p, "stack", string(debug.Stack()))
	s.end(refuse(ReasonFault, 421, 3, 0, "internal error, closing"))
	*err = io.EOF
}

// logger is made when there is something to log, which is seldom.
func (s *session) logger() hclog.Logger {
	l := s.server.opts.Logger.With("session", s.client.SessionID, "peer", s.RemoteAddr().String())
	if s.client.Via.IsValid() {
		l = l.With("client", s.client.Addr.String())
	}
	return l
}
