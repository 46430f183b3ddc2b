// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"cmp"
	"crypto/tls"
	"net/netip"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Options says what a Server is. Backend is required; the zero value of every
// other field works.
type Options struct {
	Name     string  // of the listener, for logs and mail.Client.Listener
	Hostname string  // our name in banner and replies, and domain of <postmaster>
	Backend  Backend // decides about transactions
	Kind     Kind    // what is spoken
	Logger   hclog.Logger
	Observer Observer
	Limits   Limits
	TLS      *tls.Config    // nil: no STARTTLS
	Implicit bool           // TLS from the first octet, not by STARTTLS (RFC 8314)
	Known    []netip.Prefix // clients that are no strangers
	Proxies  []netip.Prefix // who must begin each connection with a PROXY header
	XClient  []netip.Prefix // who may say XCLIENT
	Withhold []string       // extensions not to offer, e.g. "CHUNKING"; they are then refused too

	XClientLogin bool // whether the LOGIN of an XCLIENT is believed

	Now func() time.Time // what times in parameters are counted from; nil: time.Now
}

// Limits bound what one client, and all of them, can cost. Zero means the
// default in brackets; there is no "unlimited".
type Limits struct {
	MessageSize          int64         // octets of one message (25 MiB)
	Recipients           int           // accepted recipients of one transaction (1,000)
	LineLength           int           // octets of one body line without its CRLF (1 MiB)
	CommandLine          int           // octets of one command line with its CRLF, 512 to 65,536 (2,048)
	Connections          int           // open at once (1,000)
	ConnectionsPerClient int           // open at once from one IPv4 address or IPv6 /64 (100)
	Errors               int           // nonsense commands between two messages (20)
	IdleCommands         int           // NOOP, RSET, EHLO and others between two transactions (100)
	CommandTimeout       time.Duration // for one whole command line, one write, the TLS handshake (5 min)
	DataTimeout          time.Duration // for the next octets of content (5 min)
	DataRate             int           // octets of content a second, at least, over DataTimeout; 0: any
	TransactionTime      time.Duration // from MAIL to the end of content (1 h)
	GreetDelay           time.Duration // before the banner, for strangers (0)
	Tarpit               time.Duration // by which each fault of a stranger slows the replies to its faults (0)
	Hold                 time.Duration // longest HOLDFOR, in whole seconds (30 days)
	DeliverBy            time.Duration // least BY of mode R, in whole seconds; 0: any
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MessageSize:          cmp.Or(l.MessageSize, 25<<20),
		Recipients:           cmp.Or(l.Recipients, 1000),
		LineLength:           cmp.Or(l.LineLength, 1<<20),
		CommandLine:          min(max(cmp.Or(l.CommandLine, 2048), minCommandLine), bigBuffer),
		Connections:          cmp.Or(l.Connections, 1000),
		ConnectionsPerClient: cmp.Or(l.ConnectionsPerClient, 100),
		Errors:               cmp.Or(l.Errors, 20),
		IdleCommands:         cmp.Or(l.IdleCommands, 100),
		CommandTimeout:       cmp.Or(l.CommandTimeout, 5*time.Minute),
		DataTimeout:          cmp.Or(l.DataTimeout, 5*time.Minute),
		DataRate:             max(l.DataRate, 0),
		TransactionTime:      cmp.Or(l.TransactionTime, time.Hour),
		GreetDelay:           l.GreetDelay, Tarpit: l.Tarpit,
		Hold:      min(max(cmp.Or(l.Hold, 30*24*time.Hour), time.Second), longestTime),
		DeliverBy: min(max(l.DeliverBy, 0), longestTime),
	}
}

// minCommandLine is what RFC 5321 §4.5.3.1.4 demands of every server.
const minCommandLine = 512

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Hostname = cmp.Or(o.Hostname, "localhost")
	o.Limits = o.Limits.withDefaults()
	return o
}

// offers reports whether the extension is on the EHLO list of a plain
// connection.
func (o *Options) offers(extension string) bool {
	for _, w := range o.Withhold {
		if strings.EqualFold(w, extension) {
			return false
		}
	}
	switch extension {
	case "STARTTLS":
		return o.TLS != nil
	case "BINARYMIME":
		return o.offers("CHUNKING")
	}
	return true
}
