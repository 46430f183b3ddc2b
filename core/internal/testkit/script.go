// SPDX-License-Identifier: Apache-2.0

package testkit

import "strings"

// Event is a moment in a Sink's session at which its script is asked.
type Event struct {
	Conn int    // number of the connection, from 1
	Verb string // a command's verb in upper case, or one of the verbs below
	Arg  string // what followed the verb
	Mail int    // number of the transaction on this connection, from 1 at its MAIL; 0 before
	TLS  bool
}

// Verbs of events that are not commands.
const (
	VerbConnect = "CONNECT" // before the banner
	VerbContent = "CONTENT" // the first octets of content are there, the final dot is not read
	VerbDot     = "DOT"     // the final dot is read and not answered
)

// Action is what a Sink does at an event. The zero Action is what a good server
// does.
type Action struct {
	Reply string          // reply lines, joined by "\n", without CRLF; empty: the usual reply
	Raw   string          // octets that are sent as they stand instead of a reply
	Wait  <-chan struct{} // the reply is held back until this is closed, or the Sink is
	Drop  bool            // close the connection without a reply
	Close bool            // close the connection after the reply
}

func (a Action) isZero() bool {
	return a.Reply == "" && a.Raw == "" && a.Wait == nil && !a.Drop && !a.Close
}

// Script decides what a Sink does. It is called from the goroutines of the
// connections, many at once.
type Script func(Event) Action

// On returns a script that does a at each event with verb.
func On(verb string, a Action) Script {
	return When(verb, "", a)
}

// When returns a script that does a at events with verb whose argument
// contains part.
func When(verb, part string, a Action) Script {
	return func(e Event) Action {
		if e.Verb == verb && strings.Contains(e.Arg, part) {
			return a
		}
		return Action{}
	}
}

// OnConn returns a script that follows s on connection n alone.
func OnConn(n int, s Script) Script {
	return func(e Event) Action {
		if e.Conn == n {
			return s(e)
		}
		return Action{}
	}
}

// OnMail returns a script that follows s in the n-th transaction of each
// connection alone.
func OnMail(n int, s Script) Script {
	return func(e Event) Action {
		if e.Mail == n {
			return s(e)
		}
		return Action{}
	}
}

// Scripts returns a script that does what the first of ss says that says
// anything.
func Scripts(ss ...Script) Script {
	return func(e Event) Action {
		for _, s := range ss {
			if a := s(e); !a.isZero() {
				return a
			}
		}
		return Action{}
	}
}

// Refuse returns a script that answers verb with reply.
func Refuse(verb, reply string) Script { return On(verb, Action{Reply: reply}) }

// RefuseRcpt returns a script that answers RCPT for addresses containing part
// with reply.
func RefuseRcpt(part, reply string) Script { return When("RCPT", part, Action{Reply: reply}) }

// Drop returns a script that closes the connection at verb without a reply.
func Drop(verb string) Script { return On(verb, Action{Drop: true}) }

// Hold returns a script that holds the reply to verb back until ch is closed.
func Hold(verb string, ch <-chan struct{}) Script { return On(verb, Action{Wait: ch}) }
