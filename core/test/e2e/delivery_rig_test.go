// SPDX-License-Identifier: Apache-2.0

// Package e2e runs several rooms together, over real sockets. It holds tests
// alone.
package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/internal/report"
	"github.com/postroad-mail/postroad/core/internal/resolver"
	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// rig is the sending half of a relay: the real queue on a disk in memory, the
// real scheduler, resolver and SMTP client, and a clock that stands still.
type rig struct {
	t     testing.TB
	fs    vfs.FS
	clock *testkit.Clock
	dns   *testkit.DNS
	route *delivery.Route

	store *store.Store
	queue *queue.Queue
	out   *delivery.Scheduler
	ended chan error
	sent  int
}

func newRig(t testing.TB, zone string, route *delivery.Route) *rig {
	t.Helper()
	r := &rig{t: t, fs: vfs.NewMem(), clock: testkit.NewClock(time.Date(2030, 1, 2, 3, 0, 0, 0, time.UTC)),
		dns: testkit.NewDNS(t, zone), route: route}
	r.start()
	t.Cleanup(r.stop)
	return r
}

func (r *rig) start() {
	r.t.Helper()
	var err error
	if r.store, err = store.Open(store.Options{FS: r.fs, Dir: "/data", MinFree: -1, Ballast: -1}); err != nil {
		r.t.Fatal(err)
	}
	if r.queue, err = queue.Open(queue.Options{Store: r.store, Clock: r.clock}); err != nil {
		r.t.Fatal(err)
	}
	if err := r.queue.Whole(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	names, err := resolver.New(resolver.Options{Servers: []string{r.dns.Addr()}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.out = delivery.New(delivery.Options{
		Queue: outQueue{r.queue}, Clock: r.clock, Hostname: "relay.example.net",
		Routes:   func(name string) (*delivery.Route, bool) { return r.route, name == r.route.Name },
		RouteOf:  func(mail.Recipient) string { return r.route.Name },
		Resolver: outNames{names}, SMTP: outSMTP{smtp.New(smtp.Options{Hostname: "relay.example.net"})},
		Reporter: outReports{r.clock},
	})
	r.ended = make(chan error, 1)
	go func() { r.ended <- r.out.Run(context.Background()) }()
}

func (r *rig) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.out.Shutdown(ctx); err != nil {
		r.t.Errorf("shutdown: %v", err)
	}
	if err := <-r.ended; err != nil {
		r.t.Errorf("run: %v", err)
	}
	if err := r.queue.Close(); err != nil {
		r.t.Errorf("queue: %v", err)
	}
	if err := r.store.Close(); err != nil {
		r.t.Errorf("store: %v", err)
	}
}

// idle waits until nothing is due and nothing is under way.
func (r *rig) idle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := r.out.Idle(ctx); err != nil {
		r.t.Fatalf("idle: %v", err)
	}
}

// send queues a message and returns its id.
func (r *rig) send(from, body string, to ...string) string {
	r.t.Helper()
	m := r.message(from, body, to...)
	if err := r.queue.Enqueue(context.Background(), m); err != nil {
		r.t.Fatal(err)
	}
	return m.Envelope.ID
}

func (r *rig) message(from, body string, to ...string) *queue.Message {
	r.sent++
	env := &mail.Envelope{ID: fmt.Sprintf("01J%023d", r.sent), Sender: mail.Address(from), Received: r.clock.Now()}
	for _, a := range to {
		env.Recipients = append(env.Recipients, mail.Recipient{Address: mail.Address(a), Original: mail.Address(a)})
	}
	header := fmt.Sprintf("From: <%s>\r\nSubject: number %d\r\n\r\n", from, r.sent)
	return &queue.Message{Envelope: env, Header: []byte(header), Body: mail.BytesBody(body)}
}

func (r *rig) queued() int {
	r.t.Helper()
	all, err := r.queue.List(r.t.Context(), queue.Filter{})
	if err != nil {
		r.t.Error(err)
	}
	return len(all)
}

// sinks starts mail hosts on the same port of 127.0.0.1, 127.0.0.2 and so on,
// and returns that port.
func sinks(t testing.TB, options ...testkit.SinkOptions) ([]*testkit.Sink, uint16) {
	t.Helper()
	var all []*testkit.Sink
	port := "0"
	for i, o := range options {
		o.Listen = net.JoinHostPort(fmt.Sprintf("127.0.0.%d", i+1), port)
		s := testkit.NewSink(t, o)
		port = fmt.Sprint(s.Addr().Port())
		all = append(all, s)
	}
	return all, all[0].Addr().Port()
}

// What follows fits the rooms together; core/relay has the same for the real
// relay.

type outQueue struct{ *queue.Queue }

func (q outQueue) Due(now time.Time, limit int) []delivery.Lease {
	leases := q.Queue.Due(now, limit)
	out := make([]delivery.Lease, len(leases))
	for i, l := range leases {
		out[i] = delivery.Lease{Message: outMessage{l.Message}, Recipients: l.Recipients}
	}
	return out
}

func (q outQueue) Settle(ctx context.Context, results ...delivery.Result) error {
	rs := make([]queue.Result, len(results))
	for i, r := range results {
		rs[i].Message = r.Message
		for _, o := range r.Outcomes {
			rs[i].Outcomes = append(rs[i].Outcomes, queue.Settled{Recipient: o.Recipient, Outcome: o.Outcome, Next: o.Next})
		}
		for _, d := range r.Reports {
			rs[i].DSN = append(rs[i].DSN, &queue.Message{Envelope: d.Envelope, Header: d.Header, Body: mail.BytesBody(d.Body)})
		}
	}
	return q.Queue.Settle(ctx, rs...)
}

type outMessage struct{ q *queue.Queued }

func (m outMessage) Envelope() *mail.Envelope { return m.q.Envelope }

func (m outMessage) State(rcpt int) delivery.State {
	s := m.q.States[rcpt]
	return delivery.State{Done: s.Status != mail.Deferred, Attempts: s.Attempts, Next: s.Next, Last: s.Last}
}

func (m outMessage) Open() (delivery.Content, error) {
	c, err := m.q.Open()
	if err != nil {
		return delivery.Content{}, err
	}
	return delivery.Content{Header: c.Header, Body: c.Body, Close: c.Close}, nil
}

type outNames struct{ *resolver.Resolver }

func (n outNames) LookupMX(ctx context.Context, domain string) ([]delivery.MX, error) {
	mxs, err := n.Resolver.LookupMX(ctx, domain)
	out := make([]delivery.MX, len(mxs))
	for i, m := range mxs {
		out[i] = delivery.MX{Host: m.Host, Pref: m.Pref}
	}
	return out, err
}

func (n outNames) LookupIP(ctx context.Context, host string) ([]netip.Addr, error) {
	return n.Resolver.LookupIP(ctx, host)
}

type outSMTP struct{ *smtp.Client }

func (s outSMTP) Dial(ctx context.Context, t delivery.Target) (delivery.Conn, error) {
	c, err := s.Client.Dial(ctx, smtp.Target{Host: t.Host, Addr: t.Addr, TLS: t.TLS})
	if err != nil {
		return nil, hostError(err)
	}
	return outConn{c}, nil
}

func hostError(err error) error {
	if e, ok := err.(*smtp.HostError); ok {
		return &delivery.HostError{Reply: e.Reply, Remote: e.Remote}
	}
	return err
}

type outConn struct{ *smtp.Conn }

func (c outConn) Run(ctx context.Context, next func(bool) (*delivery.Job, bool), done func(*delivery.Job, []mail.Outcome)) error {
	return c.Conn.Run(ctx, func(wait bool) (*smtp.Job, bool) {
		j, ok := next(wait)
		if !ok {
			return nil, false
		}
		return &smtp.Job{Envelope: j.Envelope, Recipients: j.Recipients, Header: j.Header, Body: j.Body, Tag: j}, true
	}, func(j *smtp.Job, outcomes []mail.Outcome) { done(j.Tag.(*delivery.Job), outcomes) })
}

type outReports struct{ clock *testkit.Clock }

func (o outReports) Report(a *delivery.Account) (*delivery.Report, error) {
	e, h, b, err := report.BuildDSN(report.Input{Hostname: "relay.example.net", Envelope: a.Envelope, Header: a.Header, Told: a.Told, Added: a.Added, Now: o.clock.Now()})
	if err != nil {
		return nil, err
	}
	return &delivery.Report{Envelope: e, Header: h, Body: b}, nil
}
