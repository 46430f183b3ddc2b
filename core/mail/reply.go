// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"errors"
	"fmt"
	"strconv"
)

// Enhanced is an enhanced status code (RFC 3463): class, subject, detail.
// The zero value means "none".
type Enhanced [3]int

// String returns the code in the form "5.7.1".
func (e Enhanced) String() string { return string(e.appendTo(nil)) }

func (e Enhanced) appendTo(b []byte) []byte {
	b = append(strconv.AppendInt(b, int64(e[0]), 10), '.')
	b = append(strconv.AppendInt(b, int64(e[1]), 10), '.')
	return strconv.AppendInt(b, int64(e[2]), 10)
}

// Reply is one SMTP reply: made where the knowledge is, sent as it stands. As
// an error it carries its cause for the log; the client never sees the cause.
type Reply struct {
	Code     int // three digits, RFC 5321 §4.2
	Enhanced Enhanced
	Text     string // public text: one line, no CR or LF
	Cause    error  // for the log; may be nil
}

// NewReply returns a reply. The class of enhanced must fit code.
func NewReply(code int, enhanced Enhanced, text string) *Reply {
	return &Reply{Code: code, Enhanced: enhanced, Text: text}
}

// Because returns a copy of r that carries cause.
func (r *Reply) Because(cause error) *Reply {
	c := *r
	c.Cause = cause
	return &c
}

// Error returns the reply as it goes over the wire, with its cause if any.
func (r *Reply) Error() string {
	if r.Cause != nil {
		return fmt.Sprintf("%s (%v)", r.Line(), r.Cause)
	}
	return r.Line()
}

// Line returns "550 5.7.1 text".
func (r *Reply) Line() string {
	b := append(strconv.AppendInt(make([]byte, 0, len(r.Text)+16), int64(r.Code), 10), ' ')
	if r.Enhanced != (Enhanced{}) {
		b = append(r.Enhanced.appendTo(b), ' ')
	}
	return string(append(b, r.Text...))
}

// Unwrap returns the cause.
func (r *Reply) Unwrap() error { return r.Cause }

// Positive reports a 2xx reply, Temporary a 4xx and Permanent a 5xx one.
func (r *Reply) Positive() bool { return r.Code/100 == 2 }

// Temporary reports whether the reply is 4xx.
func (r *Reply) Temporary() bool { return r.Code/100 == 4 }

// Permanent reports whether the reply is 5xx.
func (r *Reply) Permanent() bool { return r.Code/100 == 5 }

// OurFault is the reply for a fault on our side, whatever it was: the sender
// keeps the message and tries again (451 4.3.0).
func OurFault(cause error) *Reply {
	return &Reply{Code: 451, Enhanced: Enhanced{4, 3, 0}, Text: "local error, try again later", Cause: cause}
}

// ReplyOf finds the Reply in err's chain; an error without one is our fault.
// It returns nil for nil.
func ReplyOf(err error) *Reply {
	if err == nil {
		return nil
	}
	var r *Reply
	if errors.As(err, &r) {
		return r
	}
	return OurFault(err)
}
