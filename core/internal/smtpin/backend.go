// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"context"
	"io"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Backend decides about connections. It is called by many sessions at once.
//
// Every reply that a Backend, a Session or a Transaction returns is final: a
// nil or positive one lets the client go on, 4xx and 5xx refuse, and anything
// else counts as a fault of ours (451 4.3.0).
type Backend interface {
	// Open is called before the banner (RFC 5321 §3.1). A refusal takes the
	// banner's place: 4xx becomes 421 and ends the connection, 5xx becomes 554
	// and the client has a moment to say QUIT. With a refusal the Session is
	// ignored.
	//
	// Open is called again when an XCLIENT begins the session anew for another client,
	// behind Close of the Session before.
	//
	// c tells of the client. It is the same object in all calls for one
	// connection, holds at each call what is known then, and changes only
	// between them; the callee writes nothing in it but the Notes. ctx ends when
	// a Shutdown runs out of time.
	Open(ctx context.Context, c *mail.Client) (Session, *mail.Reply)
}

// Session is one connection. Its methods are called one after the other, on
// the connection's goroutine.
type Session interface {
	// TLS is called when TLS has come up. SMTP has no place for a reply there, so
	// a refusal answers the commands that follow: 4xx becomes 421 to the first of
	// them and ends the connection, 5xx is the reply to each of them up to QUIT.
	TLS(ctx context.Context) *mail.Reply
	// Helo is called for each sound EHLO and HELO. list holds what would be
	// offered, a line each, and must not be written to; what is returned is
	// offered instead, and what is not on it may not be used: STARTTLS, BDAT and
	// the parameters of MAIL and RCPT are refused then, and a smaller SIZE is the limit. A
	// line for an extension that this server does not have is shown and means
	// nothing. HELO shows no list, but is held to it all the same. After a
	// refusal everything is as it was before the command (RFC 5321 §4.1.4).
	Helo(ctx context.Context, list []string) ([]string, *mail.Reply)
	// Mail begins a transaction (RFC 5321 §4.1.1.2). Unless it is refused, Close
	// of the Transaction will be called exactly once, and before the next Mail;
	// with a refusal the Transaction is ignored.
	Mail(ctx context.Context, from mail.Address, p MailParams) (Transaction, *mail.Reply)
	// Close ends the session. It is called exactly once, with no transaction
	// open, when the connection is over for whatever reason.
	Close()
}

// Follower is what a Session also offers that changes between transactions, when
// the configuration did.
type Follower interface {
	// Follow is called outside a transaction: before each command but QUIT, and
	// once the session waits after a Nudge of the Server. A refusal is 421 and ends
	// the session.
	Follow(ctx context.Context) *mail.Reply
}

// Transaction is one mail transaction. Its methods are called one after the
// other, on the connection's goroutine.
type Transaction interface {
	// Rcpt adds a recipient.
	Rcpt(ctx context.Context, to mail.Address, p RcptParams) *mail.Reply
	// Ready is called before 354 invites the content, and before the first chunk
	// is taken, only with a recipient accepted. After a refusal of DATA the
	// transaction is still open, and Ready may be called again; after a refusal
	// of a chunk it is over, for the chunks behind it are no message.
	Ready(ctx context.Context) *mail.Reply
	// Data takes the message, at most once and only behind Ready.
	// r gives the octets as they will be kept: CRLF line ends, but in a body that
	// MAIL called binary, dots unstuffed,
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
	Size       int64       // SIZE= in octets (RFC 1870), 0 if absent
	SMTPUTF8   bool        // SMTPUTF8 (RFC 6531)
	EightBit   bool        // BODY=8BITMIME (RFC 6152)
	Return     mail.Return // RET= (RFC 3461 §4.3)
	EnvelopeID string      // ENVID=, decoded (RFC 3461 §4.4)
	Params     string      // all of them as given: "SIZE=100 BODY=8BITMIME"

	Binary      bool           // BODY=BINARYMIME (RFC 3030): the body is read as it is
	RequireTLS  bool           // REQUIRETLS (RFC 8689)
	Release     time.Time      // HOLDFOR= or HOLDUNTIL= (RFC 4865); zero: at once
	DeliverBy   mail.DeliverBy // BY= (RFC 2852)
	Priority    int            // MT-PRIORITY= (RFC 6710), as that of an Envelope
	Prioritized bool           // there was an MT-PRIORITY
}

// RcptParams are the parameters of a RCPT command.
type RcptParams struct {
	Notify mail.Notify // NOTIFY= (RFC 3461 §4.1)
	ORCPT  string      // ORCPT=, decoded (RFC 3461 §4.2)
	Params string      // all of them as given

	ValidSince mail.ValidSince // RRVS= (RFC 7293)
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
	ReasonAuth        = "auth"            // a login that failed, was cancelled, or is not possible here
	ReasonEarly       = "early_talker"    // the client spoke before the banner
	ReasonErrors      = "too_many_errors" // connection ended after too many faults
	ReasonIdle        = "idle_commands"   // connection ended after too many commands without a transaction
	ReasonTimeout     = "timeout"         // command, data or transaction time passed
	ReasonSlow        = "data_rate"       // content came below the least rate
	ReasonChunks      = "chunks"          // message of too many small chunks
	ReasonConnections = "connections"     // connection above a limit
	ReasonProxy       = "proxy_protocol"  // a proxy did not begin with a PROXY header
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
