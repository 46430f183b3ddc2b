// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/transport/maildir"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// deliveryQueue is the queue as delivery declares it.
type deliveryQueue struct{ *queue.Queue }

// Due implements delivery.Queue.
func (q deliveryQueue) Due(now time.Time, max int) []delivery.Lease {
	leases := q.Queue.Due(now, max)
	out := make([]delivery.Lease, len(leases))
	for i, l := range leases {
		out[i] = delivery.Lease{Message: deliveryMessage{l.Message}, Recipients: l.Recipients}
	}
	return out
}

// Settle implements delivery.Queue.
func (q deliveryQueue) Settle(ctx context.Context, results ...delivery.Result) error {
	rs := make([]queue.Result, len(results))
	for i := range results {
		rs[i] = queueResult(&results[i])
	}
	return q.Queue.Settle(ctx, rs...)
}

func queueResult(r *delivery.Result) queue.Result {
	out := queue.Result{Message: r.Message, Outcomes: make([]queue.Settled, len(r.Outcomes))}
	for i, o := range r.Outcomes {
		out.Outcomes[i] = queue.Settled{Recipient: o.Recipient, Outcome: o.Outcome, Next: o.Next, Held: o.Held, Untried: o.Untried, Warned: o.Warned}
	}
	for _, report := range r.Reports {
		out.DSN = append(out.DSN, reportMessage(r.Message, report))
	}
	return out
}

// reportMessage gives a report its id, which no other report has: one of another
// kind, or on others, is another one.
func reportMessage(id string, r *delivery.Report) *queue.Message {
	r.Envelope.ID = queue.DSNID(id, r.Recipients, int(r.Kind))
	return &queue.Message{Envelope: r.Envelope, Header: r.Header, Body: mail.BytesBody(r.Body)}
}

// deliveryMessage is a queued message as delivery declares it.
type deliveryMessage struct{ q *queue.Queued }

// Envelope implements delivery.Message.
func (m deliveryMessage) Envelope() *mail.Envelope { return m.q.Envelope }

// State implements delivery.Message.
func (m deliveryMessage) State(rcpt int) delivery.State {
	s := &m.q.States[rcpt]
	d := delivery.State{Done: s.Status != mail.Deferred, Attempts: s.Attempts, Next: s.Next, Last: s.Last, Leased: s.Leased, Warned: s.Warned}
	if s.Held {
		d.Held = strings.TrimPrefix(s.Last.Reply.Text, "held ")
	}
	if h := m.q.Hold; h != nil {
		d.Held, d.Until = heldBy(h), h.Until
	}
	return d
}

// heldBy says who keeps a message back and why, with the kind of what is no plain
// hold.
func heldBy(h *queue.Hold) string {
	by := "by " + h.By + ": " + h.Reason
	if h.Kind == queue.OnHold {
		return by
	}
	return h.Kind + " " + by
}

// Open implements delivery.Message.
func (m deliveryMessage) Open() (delivery.Content, error) {
	c, err := m.q.Open()
	if err != nil {
		return delivery.Content{}, err
	}
	return delivery.Content{Header: c.Header, Body: c.Body, Close: c.Close}, nil
}

// deliverySMTP is the SMTP client as delivery declares it.
type deliverySMTP struct{ c *smtp.Client }

// Dial implements delivery.SMTP.
func (d deliverySMTP) Dial(ctx context.Context, t delivery.Target) (delivery.Conn, error) {
	c, err := d.c.Dial(ctx, smtp.Target{Host: t.Host, Addr: t.Addr, TLS: t.TLS, Local: t.Local, Hostname: t.Hostname, RequireTLS: t.RequireTLS})
	var he *smtp.HostError
	switch {
	case errors.As(err, &he) && he.Local:
		return nil, &delivery.SourceError{Err: inShort(he)}
	case errors.As(err, &he):
		return nil, &delivery.HostError{Reply: he.Reply, Remote: he.Remote}
	case err != nil:
		return nil, err
	}
	return deliveryConn{c}, nil
}

// inShort is what the system said, without the operation around it.
func inShort(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

type deliveryConn struct{ c *smtp.Conn }

// Limits implements delivery.LimitedConn.
func (d deliveryConn) Limits() (rcpts, domains int) { return d.c.Limits() }

// Run implements delivery.Conn.
func (d deliveryConn) Run(ctx context.Context, next func(bool) (*delivery.Job, bool), done func(*delivery.Job, []mail.Outcome)) error {
	return d.c.Run(ctx, func(wait bool) (*smtp.Job, bool) {
		j, ok := next(wait)
		if !ok {
			return nil, false
		}
		return &smtp.Job{Envelope: j.Envelope, Recipients: j.Recipients, Header: j.Header, Body: j.Body, Tag: j}, true
	}, func(j *smtp.Job, os []mail.Outcome) { done(j.Tag.(*delivery.Job), os) })
}

// deliveryMaildir is the Maildir transport as delivery declares it.
type deliveryMaildir struct {
	r *Relay
	t *maildir.Transport
}

// Deliver implements delivery.Maildir. A binary message is converted, for a mailbox
// holds lines.
func (d deliveryMaildir) Deliver(ctx context.Context, r *delivery.Route, to mail.Address, j *delivery.Job) *mail.Reply {
	boxes := maildir.Mailboxes{Root: r.Root, Create: r.Create, Listed: r.Mailboxes}
	m := maildir.Message{Sender: j.Envelope.Sender, Header: j.Header, Body: j.Body}
	if !j.Envelope.Binary {
		return d.t.Deliver(ctx, boxes, to, m)
	}
	c, err := d.r.recoded(m.Header, m.Body, true)
	switch {
	case errors.Is(err, smtp.ErrUnconvertible):
		return mail.NewReply(554, mail.Enhanced{5, 6, 3}, "a mailbox cannot take the message as it is, and it cannot be converted").Because(err)
	case err != nil:
		return mail.OurFault(err)
	}
	defer c.Release()
	m.Header, m.Body = c.Header, c.Body
	return d.t.Deliver(ctx, boxes, to, m)
}

// deliveryResolver is DNS as delivery declares it: what is final carries its
// reply.
type deliveryResolver struct{ r Resolver }

// LookupMX implements delivery.Resolver.
func (d deliveryResolver) LookupMX(ctx context.Context, domain string) ([]delivery.MX, error) {
	mxs, err := d.r.LookupMX(ctx, domain)
	if err != nil {
		return nil, dnsReply(err, domain)
	}
	out := make([]delivery.MX, len(mxs))
	for i, m := range mxs {
		out[i] = delivery.MX{Host: m.Host, Pref: m.Pref, TTL: m.TTL}
	}
	return out, nil
}

// LookupIP implements delivery.Resolver.
func (d deliveryResolver) LookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	ips, err := d.r.LookupIP(ctx, host)
	return ips, dnsReply(err, host)
}

// dnsReply gives an answer that is final its reply (RFC 5321 §5.1, RFC 7505);
// other faults of DNS stay temporary.
func dnsReply(err error, name string) error {
	var r *mail.Reply
	switch {
	case errors.As(err, &r):
		return err
	case errors.Is(err, ErrNullMX):
		return mail.NewReply(556, mail.Enhanced{5, 1, 10}, "domain "+name+" takes no mail (null MX)").Because(err)
	case errors.Is(err, ErrNoDomain):
		return mail.NewReply(550, mail.Enhanced{5, 1, 2}, "domain "+name+" does not exist").Because(err)
	}
	return err
}

// MX is a mail exchanger of a domain (RFC 5321 §5.1).
type MX struct {
	Host string
	Pref uint16
	TTL  time.Duration // for how long that is good; 0: not known, and a minute is taken for it
}

// Resolver answers what delivery asks of DNS. An embedder may bring one; the
// default asks the servers of pipeline.hcl.
type Resolver interface {
	// LookupMX returns the exchangers in any order; the domain itself when it
	// has addresses but no MX. ErrNullMX and ErrNoDomain are final, any other
	// error is temporary, unless it holds a *mail.Reply.
	LookupMX(ctx context.Context, domain string) ([]MX, error)
	LookupIP(ctx context.Context, host string) ([]netip.Addr, error)
}

// Errors that a Resolver returns for answers that are final.
var (
	ErrNullMX   = errors.New("null MX: the domain takes no mail")
	ErrNoDomain = errors.New("no such domain")
)

// dns is the Resolver that asks DNS servers.
type dns struct{ *resolver.Resolver }

// LookupMX implements Resolver.
func (d dns) LookupMX(ctx context.Context, domain string) ([]MX, error) {
	mxs, err := d.Resolver.LookupMX(ctx, domain)
	if err != nil {
		return nil, err
	}
	out := make([]MX, len(mxs))
	for i, m := range mxs {
		out[i] = MX{m.Host, m.Pref, m.TTL}
	}
	return out, nil
}
