// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// fakeQueue keeps messages in memory and watches that each lease ends once.
type fakeQueue struct {
	mu     sync.Mutex
	order  []*fakeMessage
	byID   map[string]*fakeMessage
	wake   chan struct{}
	faults []string // broken promises
	fail   error    // of Settle
	events func(format string, args ...any)

	settles, most int // calls of Settle; most recipients leased at once
	leased        int
	shelved       []*State
}

type fakeMessage struct {
	q      *fakeQueue
	env    *mail.Envelope
	states []State
	leased []bool
	opens  int
	broken error
}

func newFakeQueue() *fakeQueue {
	return &fakeQueue{byID: map[string]*fakeMessage{}, wake: make(chan struct{}, 1), events: func(string, ...any) {}}
}

func (m *fakeMessage) Envelope() *mail.Envelope { return m.env }

func (m *fakeMessage) State(r int) State {
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	return m.states[r]
}

func (m *fakeMessage) Open() (Content, error) {
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	if m.broken != nil {
		return Content{}, m.broken
	}
	m.opens++
	return Content{Header: []byte("Subject: " + m.env.ID + "\r\n\r\n"), Body: mail.BytesBody("hello\r\n"), Close: m.close}, nil
}

func (m *fakeMessage) close() {
	m.q.mu.Lock()
	defer m.q.mu.Unlock()
	m.opens--
}

func (q *fakeQueue) enqueue(env *mail.Envelope) {
	q.mu.Lock()
	m := &fakeMessage{q: q, env: env, states: make([]State, len(env.Recipients)), leased: make([]bool, len(env.Recipients))}
	q.order = append(q.order, m)
	q.byID[env.ID] = m
	q.mu.Unlock()
	q.signal()
}

func (q *fakeQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *fakeQueue) Wake() <-chan struct{} { return q.wake }

func (q *fakeQueue) Due(now time.Time, limit int) []Lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ls []Lease
	for _, m := range q.order {
		if l := m.due(now); len(l.Recipients) > 0 && len(ls) < limit {
			for _, r := range l.Recipients {
				m.leased[r] = true
			}
			q.leased += len(l.Recipients)
			ls = append(ls, l)
		}
	}
	q.most = max(q.most, q.leased)
	return ls
}

func (m *fakeMessage) due(now time.Time) Lease {
	l := Lease{Message: m}
	for r, st := range m.states {
		if !m.leased[r] && !st.Done && st.Held == "" && !now.Before(st.Next) {
			l.Recipients = append(l.Recipients, r)
		}
	}
	return l
}

func (q *fakeQueue) NextDue() (at time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range q.order {
		for r, st := range m.states {
			if m.leased[r] || st.Done || st.Held != "" || ok && !st.Next.Before(at) {
				continue
			}
			at, ok = st.Next, true
		}
	}
	return at, ok
}

func (q *fakeQueue) Return(id string, rcpts []int) { q.Postpone(id, rcpts, time.Time{}) }

func (q *fakeQueue) Postpone(id string, rcpts []int, until time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range rcpts {
		q.unlease("return", id, r)
		if !until.IsZero() {
			q.byID[id].states[r].Next = until
		}
	}
	q.signal()
}

func (q *fakeQueue) Shelve(id string, rcpts []int, until time.Time) {
	q.Postpone(id, rcpts, until)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range rcpts {
		q.byID[id].states[r].Next = until
		q.shelved = append(q.shelved, &q.byID[id].states[r])
	}
}

// unshelve makes due what was shelved.
func (q *fakeQueue) unshelve() {
	q.mu.Lock()
	for _, st := range q.shelved {
		st.Next = time.Time{}
	}
	q.shelved = nil
	q.mu.Unlock()
	q.signal()
}

func (q *fakeQueue) unlease(what, id string, r int) {
	m := q.byID[id]
	if m == nil || !m.leased[r] {
		q.faults = append(q.faults, fmt.Sprintf("%s of %s/%d, which is not leased", what, id, r))
		return
	}
	m.leased[r] = false
	q.leased--
}

func (q *fakeQueue) Settle(_ context.Context, results ...Result) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return q.fail
	}
	q.settles++
	for _, res := range results {
		for _, o := range res.Outcomes {
			q.settle(res.Message, o)
		}
		for _, r := range res.Reports {
			q.events("%s: %s", res.Message, r.Body)
		}
	}
	return nil
}

func (q *fakeQueue) settle(id string, o Settled) {
	q.unlease("settle", id, o.Recipient)
	st := &q.byID[id].states[o.Recipient]
	if !o.Untried {
		st.Attempts++
	}
	if o.Warned && st.Warned {
		q.faults = append(q.faults, fmt.Sprintf("%s/%d: a second warning", id, o.Recipient))
	}
	st.Warned = st.Warned || o.Warned
	st.Last, st.Next, st.Done = o.Outcome, o.Next, o.Next.IsZero() && !o.Held
	if o.Held {
		st.Held = o.Reply.Text
	}
	if st.Done == (o.Status == mail.Deferred) {
		q.faults = append(q.faults, fmt.Sprintf("settle of %s/%d as %s with next %v", id, o.Recipient, o.Status, o.Next))
	}
	q.events("%s/%d %s: %s", id, o.Recipient, o.Status, o.Reply.Line())
}

// open returns what is still open, and broken promises.
func (q *fakeQueue) check() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	faults := slices.Clone(q.faults)
	for _, m := range q.order {
		if m.opens != 0 {
			faults = append(faults, fmt.Sprintf("%s opened and not closed: %d", m.env.ID, m.opens))
		}
		for r := range m.leased {
			if m.leased[r] {
				faults = append(faults, fmt.Sprintf("%s/%d is still leased", m.env.ID, r))
			}
		}
	}
	return faults
}

// fakeNet is the hosts that can be reached, and the names.
type fakeNet struct {
	mu      sync.Mutex
	mx      map[string][]MX
	mxErr   map[string]error
	mxGate  map[string]chan struct{} // a look-up of the domain hangs until it is closed
	ip      map[string][]netip.Addr
	hosts   map[string]string // behaviour by host name
	gate    map[string]chan struct{}
	dials   int
	lookups int // of mail exchangers
	limit   int // connections that a host takes at once; 0: any number
	open    map[string]int
	most    map[string]int
	broken  map[netip.Addr]bool // addresses of ours that nothing can leave from
	events  func(format string, args ...any)
	waits   chan string // a host that hangs says so
}

func newFakeNet() *fakeNet {
	return &fakeNet{mx: map[string][]MX{}, mxErr: map[string]error{}, mxGate: map[string]chan struct{}{}, broken: map[netip.Addr]bool{}, ip: map[string][]netip.Addr{}, hosts: map[string]string{},
		gate: map[string]chan struct{}{}, open: map[string]int{}, most: map[string]int{},
		events: func(string, ...any) {}, waits: make(chan string, 10000)}
}

func (n *fakeNet) LookupMX(ctx context.Context, d string) ([]MX, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lookups++
	if gate := n.mxGate[d]; gate != nil {
		n.mu.Unlock()
		n.waits <- "lookup " + d
		select {
		case <-gate:
		case <-ctx.Done():
		}
		n.mu.Lock()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err := n.mxErr[d]; err != nil {
		return nil, err
	}
	if mx := n.mx[d]; mx != nil {
		return mx, nil
	}
	return []MX{{Host: d}}, nil
}

func (n *fakeNet) LookupIP(_ context.Context, h string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a := n.ip[h]; a != nil {
		return a, nil
	}
	return nil, errors.New("SERVFAIL")
}

func (n *fakeNet) behaviour(h string) (string, chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hosts[h], n.gate[h]
}

func (n *fakeNet) set(h, behaviour string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hosts[h] = behaviour
	if g := n.gate[h]; g != nil {
		close(g)
		delete(n.gate, h)
	}
	if strings.HasPrefix(behaviour, "hang") {
		n.gate[h] = make(chan struct{})
	}
}

func (n *fakeNet) Dial(ctx context.Context, t Target) (Conn, error) {
	b, gate := n.behaviour(t.Host)
	n.mu.Lock()
	n.dials++
	broken := n.broken[t.Local]
	n.mu.Unlock()
	from := ""
	if t.Local.IsValid() {
		from = fmt.Sprintf(" from %s as %s", t.Local, t.Hostname)
	}
	switch {
	case broken:
		n.events("dial %s [%s]%s: cannot leave", t.Host, t.Addr, from)
		return nil, &SourceError{errors.New("cannot assign requested address")}
	case b == "refuse":
		n.events("dial %s [%s]: refused", t.Host, t.Addr)
		return nil, errors.New("connection refused")
	case strings.HasPrefix(b, "greet "):
		n.events("dial %s [%s]: %s", t.Host, t.Addr, b[6:])
		return nil, &HostError{Reply: *replyFrom(b[6:]), Remote: true}
	case b == "hangdial":
		n.waits <- t.Host
		select {
		case <-gate:
			return nil, errors.New("timeout")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.RequireTLS && b != "requiretls" {
		n.events("dial %s [%s]%s: no REQUIRETLS", t.Host, t.Addr, from)
		return nil, &HostError{Reply: *replyFrom("550 5.7.30 REQUIRETLS support required")}
	}
	if t.RequireTLS {
		from += " requiring TLS"
	}
	n.events("dial %s [%s]%s: ok", t.Host, t.Addr, from)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.limit > 0 && n.open[t.Host] >= n.limit {
		return nil, &HostError{Reply: *replyFrom("421 4.7.0 too many connections"), Remote: true}
	}
	n.open[t.Host]++
	n.most[t.Host] = max(n.most[t.Host], n.open[t.Host])
	return &fakeConn{n: n, t: t}, nil
}

func replyFrom(s string) *mail.Reply {
	var r mail.Reply
	fmt.Sscanf(s, "%d %d.%d.%d", &r.Code, &r.Enhanced[0], &r.Enhanced[1], &r.Enhanced[2])
	r.Text = strings.SplitN(s+"  ", " ", 3)[2]
	r.Text = strings.TrimSpace(r.Text)
	return &r
}

type fakeConn struct {
	n    *fakeNet
	t    Target
	used bool
}

// Run behaves as its host does. It asks for the next job before it is done
// with one, as a pipelined connection does.
func (c *fakeConn) Run(ctx context.Context, next func(bool) (*Job, bool), done func(*Job, []mail.Outcome)) error {
	defer func() {
		c.n.mu.Lock()
		defer c.n.mu.Unlock()
		c.n.open[c.t.Host]--
	}()
	for {
		j, ok := next(true)
		if !ok {
			return nil
		}
		for j != nil {
			b, gate := c.n.behaviour(c.t.Host)
			if c.used && b == "closes" {
				done(j, nil)
				return errors.New("closed by the host")
			}
			ahead, _ := next(false)
			out, err := c.carry(ctx, b, gate, j)
			done(j, out)
			c.used = true
			if err != nil && ahead != nil {
				done(ahead, nil)
			}
			if err != nil {
				return err
			}
			j = ahead
		}
	}
}

func (c *fakeConn) carry(ctx context.Context, b string, gate chan struct{}, j *Job) ([]mail.Outcome, error) {
	switch {
	case b == "drop":
		return nil, errors.New("connection reset")
	case b == "panic":
		panic("scripted")
	case b == "forget":
		return []mail.Outcome{}, errors.New("gone")
	case b == "hang":
		c.n.waits <- c.t.Host
		select {
		case <-gate:
		case <-ctx.Done():
			return c.say(j, b, "451 4.4.2 stopped", false), ctx.Err()
		}
	case strings.HasPrefix(b, "reply "):
		return c.say(j, b, b[6:], true), nil
	}
	return c.say(j, b, "250 2.0.0 ok", true), nil
}

func (c *fakeConn) say(j *Job, b, line string, remote bool) []mail.Outcome {
	var out []mail.Outcome
	for _, r := range j.Recipients {
		reply := replyFrom(line)
		if strings.HasPrefix(string(j.Envelope.Recipients[r].Address), "bad") {
			reply = replyFrom("550 5.1.1 no such user")
		}
		out = append(out, mail.Outcome{Recipient: r, Status: statusOf(reply), Reply: *reply, NextHop: c.t.Host, Address: c.t.Addr.String(), Remote: remote,
			DSN: b == "dsn", DeliverBy: b == "deliverby"})
	}
	c.n.events("%s gets %s %v", c.t.Host, j.Envelope.ID, j.Recipients)
	return out
}

// fakeMaildir accepts every mailbox that the route lists.
type fakeMaildir struct{}

func (fakeMaildir) Deliver(_ context.Context, r *Route, to mail.Address, _ *Job) *mail.Reply {
	if slices.Contains(r.Mailboxes, string(to)) {
		return nil
	}
	return mail.NewReply(550, mail.Enhanced{5, 1, 1}, "no such mailbox")
}

// fakeReporter writes what it is told.
type fakeReporter struct{ fault error }

func (f fakeReporter) Report(a *Account) (*Report, error) {
	if f.fault != nil {
		return nil, f.fault
	}
	kind := ""
	var rs []string
	for _, o := range a.Told {
		about := fmt.Sprint(o.Recipient)
		if o.Action != mail.ActionFailed {
			kind, about = o.Action.String()+" ", about+" "+o.Action.String()
		}
		if !o.Until.IsZero() {
			about += " until " + o.Until.Format("02 15:04")
		}
		rs = append(rs, about)
	}
	slices.Sort(rs)
	all := ""
	if a.Body != nil {
		all = fmt.Sprintf(" and %d of body", len(a.Body))
	}
	return &Report{Body: fmt.Appendf(nil, "%sreport to %s on %v with %d octets of header%s%s", kind, a.Envelope.Sender.Path(), rs, len(a.Header), all, a.Added)}, nil
}
