// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"net/netip"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Queue is the durable queue as delivery sees it. Its methods are called from
// many goroutines. A recipient that Due handed out is leased until Settle, Return,
// Postpone or Shelve names it: Due does not hand it out again before. A message is
// named by its Envelope.ID.
type Queue interface {
	// Due leases recipients whose time has come by now, about max of them:
	// it hands out no further message once it has so many. It returns nothing
	// only when nothing is due. The highest Priority goes first, yet lower
	// ones are not left without any; tenants take turns that cost their
	// recipients, and within a tenant its campaigns; the mail of a campaign
	// goes in the order in which it is due. Of a long list a part is leased,
	// and the rest in its next turn.
	Due(now time.Time, max int) []Lease
	// NextDue returns the earliest time at which Due will have something
	// that is not leased; false when nothing waits for a time.
	NextDue() (time.Time, bool)
	// Wake holds a value after something became due by other ways than the
	// clock: a message came in, an operator asked for a retry.
	Wake() <-chan struct{}
	// Return gives leased recipients back without an attempt: they are due as
	// before.
	Return(message string, rcpts []int)
	// Postpone gives leased recipients back without an attempt: they are not
	// due before until.
	Postpone(message string, rcpts []int, until time.Time)
	// Shelve is Postpone for recipients that are suspended. Who ends the
	// suspension has the queue hand them out at once.
	Shelve(message string, rcpts []int, until time.Time)
	// Settle notes what became of leased recipients and ends their leases.
	// Reports join the same batch. After an error nothing is noted and the
	// leases hold on.
	Settle(ctx context.Context, results ...Result) error
}

// Lease is some recipients of a queued message, ours to try.
type Lease struct {
	Message    Message
	Recipients []int // indices in the envelope
}

// Message is a queued message. Its methods may be called by many at once.
type Message interface {
	Envelope() *mail.Envelope // nobody changes it
	State(rcpt int) State
	Open() (Content, error)
}

// Content is what is sent: header section, with the empty line when there is
// one, and the body.
type Content struct {
	Header []byte
	Body   mail.Body
	Close  func() // frees what Open took; nil: nothing to free
}

// State is what the queue knows of a recipient.
type State struct {
	Done     bool         // delivered, failed or dropped
	Held     string       // why it is held ("quarantine: …"); empty: it is not
	Until    time.Time    // when the hold ends; zero: when somebody releases it
	Leased   bool         // somebody is about to try it, or does
	Attempts int          // attempts so far
	Warned   bool         // the sender was told of the delay
	Next     time.Time    // not before; zero: at once
	Last     mail.Outcome // of the last attempt; zero without one
}

// Result is what became of some recipients of one message.
type Result struct {
	Message  string // Envelope.ID
	Outcomes []Settled
	Reports  []*Report // what its sender is told
}

// Settled is the outcome of one recipient. Next is when to try again, zero for
// one that is delivered or has failed, or is held.
type Settled struct {
	mail.Outcome
	Next    time.Time
	Held    bool // deferred until somebody releases it; Reply says by which stage, and why
	Untried bool // it does not count as an attempt
	Warned  bool // a report on the delay goes along, the only one there will be
	Dropped bool // a stage discarded it: nothing was delivered, and nobody is told
}

// State says what became of the recipient, in a word.
func (s *Settled) State() string {
	switch {
	case s.Held:
		return "held"
	case s.Dropped:
		return "dropped"
	}
	return s.Status.String()
}

// Report is a delivery status notification (RFC 3464) to be queued. Its
// envelope has the null sender; the queue gives it an id derived from the
// message's and from whom it is about, so that it is never queued twice.
type Report struct {
	Envelope     *mail.Envelope
	Header, Body []byte
	Kind         mail.Action // ActionFailed, ActionDelayed or, for successes, ActionDelivered
	Recipients   []int       // whom it is about
}

// Account is what a report is made of.
type Account struct {
	Envelope *mail.Envelope
	Header   []byte      // the message's own; nil when it cannot be read
	Body     []byte      // its body, when the whole message is to go back; else nil
	Told     []mail.Told // of this round alone: only failures, only delays, or only successes
	Added    []byte      // fields that stages want the report to have, lines ending in CRLF
}

// Reporter writes reports to senders.
type Reporter interface {
	// Report writes one. It sets nothing but Envelope, Header and Body.
	Report(a *Account) (*Report, error)
}

// MX is one mail exchanger of a domain (RFC 5321 §5.1).
type MX struct {
	Host string // a name, with or without the last dot
	Pref uint16
	TTL  time.Duration // for how long that is good; 0: not known
}

// Resolver looks names up. An error that holds a mail.Reply is taken at its
// word (556 5.1.10 for a null MX, 550 5.1.2 for a domain that does not exist);
// any other is temporary.
type Resolver interface {
	// LookupMX returns the mail exchangers of domain, itself as the only
	// one when it has addresses and no MX.
	LookupMX(ctx context.Context, domain string) ([]MX, error)
	LookupIP(ctx context.Context, host string) ([]netip.Addr, error)
}

// Target is one address of one host.
type Target struct {
	Host string // name, for TLS and logs
	Addr netip.AddrPort
	TLS  string // "opportunistic", "required" or "off"

	Local    netip.Addr // address that the connection leaves from, of Addr's family; zero: the system chooses
	Hostname string     // our name in EHLO; empty: the one that the transport has

	RequireTLS bool // as TLS "required", and the host has to offer REQUIRETLS (RFC 8689)
}

// SMTP opens connections to mail hosts.
type SMTP interface {
	// Dial returns a connection that is ready for MAIL: greeting, EHLO and
	// STARTTLS are done. The error is a *HostError, or holds a mail.Reply,
	// where there is anything to tell; it is a *SourceError when the connection
	// cannot leave from t.Local.
	Dial(ctx context.Context, t Target) (Conn, error)
}

// HostError says why a host could not be used.
type HostError struct {
	Reply  mail.Reply // the host's, or the transport's own where none came
	Remote bool       // Reply was spoken by the host
}

// Error implements error.
func (e *HostError) Error() string { return e.Reply.Error() }

// Conn is one connection to a mail host.
type Conn interface {
	// Run sends the jobs that next hands out, one right behind the other,
	// and returns after QUIT or when the connection is gone; nil for a
	// connection that was closed in order. next is asked without wait while
	// replies are outstanding, and with wait, which may block until there
	// is a job, when none are; false from it means "no job now" without
	// wait, and "say QUIT" with it. done is called once for each job, with
	// one outcome per recipient, or with none when the job was not tried:
	// the connection ended before the host can have taken any of it.
	Run(ctx context.Context, next func(wait bool) (*Job, bool), done func(*Job, []mail.Outcome)) error
}

// LimitedConn is a Conn to a host that says how much a transaction may have.
type LimitedConn interface {
	Conn
	// Limits returns the most recipients of one transaction, and the most
	// domains that they may have (RFC 9422); 0 for no limit.
	Limits() (rcpts, domains int)
}

// Job is one transaction: some recipients of one message.
type Job struct {
	Envelope   *mail.Envelope
	Recipients []int // at most Options.TransactionRecipients
	Header     []byte
	Body       mail.Body

	task    *task
	close   func()  // nil: nothing to free
	attempt Attempt // nil: no stages
	begin   time.Time
}

// Maildir delivers into the mailboxes of a route.
type Maildir interface {
	// Deliver puts one message into the mailbox of one recipient, durably.
	// A nil reply is success; any reply is taken at its word.
	Deliver(ctx context.Context, r *Route, to mail.Address, j *Job) *mail.Reply
}

// Clock is the time as delivery sees it. f is called on a goroutine of the
// clock's own.
type Clock interface {
	Now() time.Time
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Observer is told what happens, for metrics and events. Its methods are called
// from many goroutines and must not block.
type Observer interface {
	// Settled is called once for each recipient and attempt, took after
	// the attempt began.
	Settled(env *mail.Envelope, route string, s Settled, took time.Duration)
	// InFlight is called with +n and -n as recipients are handed to and
	// come back from a transport.
	InFlight(route string, n int)
	// Connected is called after each attempt to reach a next hop.
	Connected(route string, err error)
	// Panicked is called when a goroutine of delivery had a bug.
	Panicked()
}
