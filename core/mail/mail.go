// SPDX-License-Identifier: Apache-2.0

// Package mail is the vocabulary of Postroad: envelope, address, recipient,
// header, verdict, reply and outcome, as values. It imports only the standard
// library; every room of the relay imports it, and it imports none of them.
//
// Terms are those of RFC 5321 (SMTP), RFC 5322 (message format) and RFC 3463
// (enhanced status codes). A word means the same thing here, in pipeline.hcl,
// in logs, in metrics and in the SDKs.
package mail

import (
	"io"
	"net/netip"
	"strings"
	"time"
)

// Client is the peer that handed a message to us, as the SMTP session knows it.
type Client struct {
	Addr          netip.AddrPort // the peer's address and port; the zero value if unknown
	Via           netip.AddrPort // the proxy that told of Addr; the zero value if none
	Name          string         // verified reverse DNS name, empty if unknown
	Helo          string         // argument of EHLO or HELO
	Protocol      string         // "SMTP", "ESMTP", "ESMTPS", … (RFC 3848)
	TLSVersion    string         // "TLS1.3", empty on a plain connection
	TLSCipher     string         // IANA name, empty on a plain connection
	User          string         // authenticated user, empty if none
	Mechanism     string         // SASL mechanism of the AUTH, empty if none
	PeerCert      string         // SHA-256 of the client certificate, 32 octets; empty if none
	Listener      string         // name of the listener in pipeline.hcl
	SessionID     string         // one id for the connection, for logs
	Authenticated bool           // true after a successful AUTH

	Notes map[string]string // what stages noted about the session; one goroutine at a time
}

// ClientNetwork returns what counts as one client where clients are counted: an
// IPv4 address, or the /64 that an IPv6 host can pick its addresses from.
func ClientNetwork(ip netip.Addr) netip.Addr {
	ip = ip.Unmap()
	if !ip.Is6() {
		return ip
	}
	p, _ := ip.Prefix(64) // Is6 says that 64 bits are there
	return p.Addr()
}

// Envelope is what SMTP says about a message apart from its content
// (RFC 5321 §2.3.1), with the facts that Postroad adds. Sender and Recipients
// are current; the Original fields are as the client gave them.
type Envelope struct {
	ID             string // one id from accept to outcome: 26 characters, sortable by time
	Sender         Address
	OriginalSender Address
	Recipients     []Recipient // index is the recipient's stable id: entries are never removed or moved
	Client         Client
	Received       time.Time // when the transaction began
	DeclaredSize   int64     // SIZE= of MAIL, 0 if absent
	SMTPUTF8       bool      // MAIL said SMTPUTF8 (RFC 6531)
	EightBit       bool      // MAIL said BODY=8BITMIME (RFC 6152)
	Tenant         string    // for limits, indexes and fairness; empty if none
	Campaign       string
	Meta           map[string]string // what stages noted, kept with the queued message
	Params         string            // ESMTP parameters of MAIL as given: "SIZE=100 BODY=8BITMIME"
	Scores         []Score           // what stages scored, in order
	Stages         []StageMark       // the stages that were called, each once, in the order of their first call
	NotBefore      time.Time         // no delivery attempt before; zero: at once
	Expires        time.Time         // given up then; zero: when the route says so
	Priority       int               // -MaxPriority to MaxPriority, higher first among what is due
	NoDSN          bool              // no report, whatever becomes of it
	Return         Return            // RET= of MAIL (RFC 3461 §4.3)
	EnvelopeID     string            // ENVID= of MAIL, decoded: printable ASCII (RFC 3461 §4.4)
	Binary         bool              `json:",omitzero"` // MAIL said BODY=BINARYMIME (RFC 3030 §3): the body may hold bare CR, bare LF and NUL
	RequireTLS     bool              `json:",omitzero"` // MAIL said REQUIRETLS (RFC 8689): only to hosts that are sure to be it, and promise the same
	TLSOptional    bool              `json:",omitzero"` // the header said TLS-Required: No (RFC 8689 §3): no policy of the recipient's domain counts
	DeliverBy      DeliverBy         `json:",omitzero"` // BY= of MAIL (RFC 2852)
	MTPriority     bool              `json:",omitzero"` // MAIL said MT-PRIORITY (RFC 6710), which Priority came from
}

// Score is a named symbol with its score, in thousandths, as a stage gave it.
type Score struct {
	Stage  string
	Symbol string
	Milli  int32
}

// StageMark says which code a stage ran for a message: "sha256:" and 64
// hexadecimal digits of the module, or "native:" and the name of a Go stage.
type StageMark struct {
	Stage string
	Code  string
}

// String returns the mark as logs have it: "STAGE@CODE", of a digest the first
// 12 digits.
func (m StageMark) String() string {
	if digits, ok := strings.CutPrefix(m.Code, "sha256:"); ok {
		return m.Stage + "@" + digits[:min(len(digits), 12)]
	}
	return m.Stage + "@" + m.Code
}

// Recipient is one forward-path of an envelope.
type Recipient struct {
	Address  Address // current
	Original Address // as RCPT gave it; empty when a stage added this recipient
	Route    string  // name of the route a stage chose; empty: routing decides
	NextHop  string  // raw next hop "host:port" a stage chose; empty: the route decides
	Outside  bool    // NextHop must have a public address: what the stage is granted covers it by a pattern
	Removed  bool    // a stage deleted it, or a verdict settled it
	Params   string  // ESMTP parameters of RCPT as given
	Notify   Notify  // NOTIFY= of RCPT (RFC 3461 §4.1)
	ORCPT    string  // ORCPT= of RCPT, decoded: "rfc822;bob@example.org" (RFC 3461 §4.2); it stays when a stage changes Address

	ValidSince ValidSince `json:",omitzero"` // RRVS= of RCPT (RFC 7293)
}

// Score returns the sum of the scores, in thousandths.
func (e *Envelope) Score() int64 {
	var sum int64
	for _, s := range e.Scores {
		sum += int64(s.Milli)
	}
	return sum
}

// Live reports the number of recipients that are not removed.
func (e *Envelope) Live() int {
	n := 0
	for i := range e.Recipients {
		if !e.Recipients[i].Removed {
			n++
		}
	}
	return n
}

// Clone returns a deep copy: no slice or map is shared with e.
func (e *Envelope) Clone() *Envelope {
	c := *e
	c.Recipients = append([]Recipient(nil), e.Recipients...)
	c.Scores = append([]Score(nil), e.Scores...)
	c.Stages = append([]StageMark(nil), e.Stages...)
	if e.Meta != nil {
		c.Meta = make(map[string]string, len(e.Meta))
		for k, v := range e.Meta {
			c.Meta[k] = v
		}
	}
	return &c
}

// Body is the content of a message behind the header's empty line: CRLF line
// ends unless the envelope says Binary, no dot-stuffing. It does not change and
// may be read by many at once.
type Body interface {
	io.ReaderAt
	Size() int64 // in octets
}

// BytesBody is a Body held in memory.
type BytesBody []byte

// ReadAt implements io.ReaderAt.
func (b BytesBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Size implements Body.
func (b BytesBody) Size() int64 { return int64(len(b)) }
