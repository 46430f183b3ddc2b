// SPDX-License-Identifier: Apache-2.0

package mail

// Status is what became of one attempt for one recipient.
type Status uint8

// The statuses of an Outcome.
const (
	Deferred  Status = iota // not now: a temporary fault, try again
	Delivered               // the next hop has taken responsibility
	Failed                  // never: a permanent fault
)

// String returns the status as logs and metrics spell it.
func (s Status) String() string {
	switch s {
	case Delivered:
		return "delivered"
	case Failed:
		return "failed"
	}
	return "deferred"
}

// Outcome is the result of one attempt for one recipient.
type Outcome struct {
	Recipient int    // index in Envelope.Recipients
	Status    Status // derived from Reply where the next hop gave one
	Reply     Reply  // the next hop's reply, or ours where none came; Text is one line, at most 1,000 octets
	NextHop   string // host name tried, empty if none was found
	Address   string // "ip:port" tried, empty if none was reached
	TLS       string // TLS version used, empty for plain
	Remote    bool   // Reply was spoken by the next hop, not made by us
	DSN       bool   // the next hop was told which reports the sender wants, and makes them (RFC 3461 §5.2.1)

	DeliverBy bool // the next hop was told by when to deliver (RFC 2852)
}
