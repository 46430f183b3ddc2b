// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"io"

	"github.com/postroad-mail/postroad/core/mail"
)

// Backend decides about transactions. It is called by many sessions at once.
type Backend interface {
	// Mail begins a transaction (RFC 5321 §4.1.1.2). A nil or positive reply
	// opens it, and Close of the Transaction will be called exactly once; with
	// any other reply the Transaction is ignored. c belongs to the callee and
	// does not change. ctx ends when a Shutdown runs out of time.
	Mail(ctx context.Context, c *mail.Client, from mail.Address, p MailParams) (Transaction, *mail.Reply)
}

// Transaction is one mail transaction. Its methods are called one after the
// other, on the session's goroutine.
type Transaction interface {
	// Rcpt adds a recipient. A nil or positive reply accepts it.
	Rcpt(ctx context.Context, to mail.Address) *mail.Reply
	// Data takes the message, at most once and only with a recipient accepted.
	// r gives the octets as they will be kept: CRLF line ends, dots unstuffed,
	// io.EOF at the end and only there; it also implements io.WriterTo. Any
	// other read error means that the client is gone or the message is refused:
	// the reply to that is smtpin's, whatever Data returns. A returned reply is
	// sent after Data returned; nil counts as a fault of ours (451 4.3.0).
	Data(ctx context.Context, r io.Reader) *mail.Reply
	// Close ends the transaction, however it ended.
	Close()
}

// MailParams are the parameters of a MAIL command.
type MailParams struct {
	Size     int64 // SIZE= in octets (RFC 1870), 0 if absent
	SMTPUTF8 bool  // SMTPUTF8 (RFC 6531)
	EightBit bool  // BODY=8BITMIME (RFC 6152)
}

// Observer is told what happens, for metrics. It is called by many sessions
// at once and must not block.
type Observer interface {
	Connected()
	Disconnected()
	Command(verb string)             // a verb of RFC 5321 and extensions in upper case, or "other"
	Refused(reason string, code int) // a 4xx or 5xx reply; reason is one of the Reason constants
	Panicked()
}

// The reasons of Observer.Refused.
const (
	ReasonBareNewline = "bare_newline"    // bare CR or LF, in a command or in content
	ReasonLineLength  = "line_length"     // command line or body line above its limit
	ReasonSyntax      = "syntax"          // command, argument, parameter or address not valid
	ReasonUnknown     = "unknown_command" // not a command, or one that is not offered
	ReasonSequence    = "sequence"        // command out of order
	ReasonUTF8        = "smtputf8"        // non-ASCII address without SMTPUTF8
	ReasonSize        = "size"            // message above the limit, declared or real
	ReasonRecipients  = "recipients"      // recipient above the limit
	ReasonTLS         = "tls"             // STARTTLS not possible, handshake failed
	ReasonErrors      = "too_many_errors" // connection ended after too many faults
	ReasonTimeout     = "timeout"         // command, data or transaction time passed
	ReasonConnections = "connections"     // connection above a limit
	ReasonShutdown    = "shutdown"        // we are going down
	ReasonBackend     = "backend"         // the Backend refused
	ReasonFault       = "fault"           // a fault of ours
)

type nobody struct{}

func (nobody) Connected()          {}
func (nobody) Disconnected()       {}
func (nobody) Command(string)      {}
func (nobody) Refused(string, int) {}
func (nobody) Panicked()           {}
