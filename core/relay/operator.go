// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/internal/admin"
	"github.com/postroad-mail/postroad/core/internal/clock"
	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// operator is what the relay offers on its control socket.
type operator struct{ r *Relay }

// Info implements control.Service.
func (o operator) Info(context.Context) (control.Info, error) {
	i := o.r.Info()
	out := control.Info{Version: Version(), PID: os.Getpid(), Config: i.ConfigFile, Started: o.r.started, Listeners: map[string]string{}, Queue: map[string]int{}}
	for _, l := range i.Listeners {
		out.Listeners[l.Name] = l.Address
	}
	for _, s := range o.r.queueSize() {
		out.Queue[s.State] = s.Messages
	}
	return out, nil
}

// Reload implements control.Service.
func (o operator) Reload(ctx context.Context) error { return o.r.Reload(context.WithoutCancel(ctx)) }

func (o operator) engine() (*engine, error) { return o.r.live() }

// List implements control.Service.
func (o operator) List(_ context.Context, f control.Filter) ([]mail.QueueEntry, error) {
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	of := queue.Filter{State: queue.Class(f.State), RecipientDomain: f.Domain, Sender: mail.Address(f.Sender), Limit: f.Limit}
	if f.Route != "" { // the queue knows what stages chose, not what the rules say
		of.Limit = everything
	}
	sums := e.queue.List(of)
	out := make([]mail.QueueEntry, 0, min(len(sums), f.Limit))
	for i := 0; i < len(sums) && len(out) < f.Limit; i++ {
		q, err := e.queue.Show(sums[i].ID)
		if errors.Is(err, queue.ErrNotFound) {
			continue // delivered meanwhile
		}
		if err != nil {
			out = append(out, unreadable(&sums[i], err))
			continue
		}
		if m := o.message(e, q); f.Route == "" || waitsFor(&m, f.Route) {
			out = append(out, m)
		}
	}
	return out, nil
}

// everything is a limit that no queue reaches.
const everything = 1 << 30

// waitsFor reports whether a recipient of m is still to go by that route.
func waitsFor(m *mail.QueueEntry, route string) bool {
	for i := range m.Recipients {
		if r := &m.Recipients[i]; r.Status == "queued" && r.Route == route {
			return true
		}
	}
	return false
}

// unreadable is a message whose records are damaged: a list names it all the
// same.
func unreadable(s *queue.Summary, err error) mail.QueueEntry {
	return mail.QueueEntry{ID: s.ID, State: string(s.State), Sender: s.Sender, Received: s.Received, Size: s.Size, Reason: err.Error()}
}

// Show implements control.Service.
func (o operator) Show(_ context.Context, id string) (mail.QueueEntry, error) {
	e, err := o.engine()
	if err != nil {
		return mail.QueueEntry{}, err
	}
	q, err := e.queue.Show(id)
	if err != nil {
		return mail.QueueEntry{}, fmt.Errorf("message %s: %w", id, err)
	}
	m := o.message(e, q)
	c, err := q.Open()
	if err != nil {
		return mail.QueueEntry{}, fmt.Errorf("message %s: %w", id, err)
	}
	defer c.Close()
	m.Header = string(c.Header)
	return m, nil
}

func (o operator) message(e *engine, q *queue.Queued) mail.QueueEntry {
	env := q.Envelope
	m := mail.QueueEntry{ID: env.ID, State: state(q), Sender: env.Sender, Received: env.Received, Size: q.Size(),
		Stages: env.Stages, Scores: env.Scores}
	if h := q.Hold; h != nil {
		m.Reason, m.Until = h.By+": "+h.Reason, h.Until
	}
	for i := range env.Recipients {
		if !env.Recipients[i].Removed {
			m.Recipients = append(m.Recipients, o.recipient(e, q, i))
		}
	}
	return m
}

// state is where a message stands, in the words of the queue's lists.
func state(q *queue.Queued) string {
	switch {
	case q.Hold != nil && q.Hold.Kind == queue.Quarantine:
		return string(queue.Quarantined)
	case q.Hold != nil:
		return string(queue.Held)
	}
	state := queue.Held // when all that wait are
	for i := range q.States {
		switch st := &q.States[i]; {
		case st.Status != mail.Deferred || st.Held:
		case st.Attempts == 0 && !q.Envelope.Recipients[i].Removed:
			return string(queue.Ready)
		default:
			state = queue.Deferred
		}
	}
	return string(state)
}

func (o operator) recipient(e *engine, q *queue.Queued, i int) mail.QueueRecipient {
	rc, st := &q.Envelope.Recipients[i], &q.States[i]
	out := mail.QueueRecipient{Address: rc.Address, Status: st.Status.String(), NextHop: rc.NextHop, Attempts: st.Attempts,
		Route: o.r.gen.Load().routing.routeOf(*rc)}
	if st.Last.Reply.Code != 0 {
		out.Last = delivery.Why(st.Last)
		if st.Last.NextHop != "" {
			out.Last = st.Last.NextHop + ": " + out.Last
		}
	}
	if st.Status != mail.Deferred {
		return out
	}
	out.Status, out.Next = "queued", st.Next
	if st.Leased {
		out.Why = "an attempt is under way"
		return out
	}
	out.Why = why(e.sched.Explain(q.Envelope, i, deliveryMessage{q}.State(i)))
	return out
}

// why says a decision in words.
func why(d delivery.Decision) string {
	s := d.Action.String() + ": " + d.Reason
	if d.Hop != "" {
		s += ", next hop " + d.Hop
	}
	if !d.Until.IsZero() {
		s += ", until " + d.Until.UTC().Format(time.RFC3339)
	}
	return s
}

// Queue returns what is queued, oldest first, with the reason why each recipient
// is still there; at most limit messages, or 1,000 when it is 0.
func (r *Relay) Queue(ctx context.Context, limit int) ([]mail.QueueEntry, error) {
	return operator{r}.List(ctx, control.Filter{Limit: limit})
}

// OpenQueue opens the queue of a relay that does not run, to look at it. Nothing
// is delivered. The caller closes it; until then no relay can start on the data
// directory. Plugins are not loaded.
func OpenQueue(o Options) (*StoppedQueue, error) {
	r := &Relay{o: o, clock: clock.System{}, metrics: admin.NewMetrics(), log: hclog.NewNullLogger()}
	r.stopping, r.hurry = context.WithCancel(context.Background())
	c, err := loadConfig(o, nil)
	if err != nil {
		return nil, &kinded{ErrConfig, err}
	}
	if _, err := os.Stat(filepath.Join(c.Server.DataDir, "db")); err != nil {
		return nil, &kinded{ErrUnavailable, fmt.Errorf("no relay has run on the data directory %s: %w", c.Server.DataDir, err)}
	}
	r.gen.Store(&generation{config: c, routing: newRouting(c), closed: make(chan struct{})})
	e, err := r.openEngine(c)
	if err != nil {
		return nil, err
	}
	r.engine.Store(e)
	return &StoppedQueue{r}, nil
}

// StoppedQueue is the queue of a relay that does not run.
type StoppedQueue struct{ r *Relay }

// QueueFilter selects messages; empty fields select all.
type QueueFilter struct {
	State  string // ready, deferred, held or quarantined
	Domain string // of a waiting recipient
	Sender string
	Route  string // of a waiting recipient
	Limit  int    // 0: 1,000
}

// List returns what is queued, oldest first.
func (q *StoppedQueue) List(ctx context.Context, f QueueFilter) ([]mail.QueueEntry, error) {
	return operator{q.r}.List(ctx, control.Filter(f))
}

// Show returns one message.
func (q *StoppedQueue) Show(ctx context.Context, id string) (mail.QueueEntry, error) {
	return operator{q.r}.Show(ctx, id)
}

// Close gives the data directory back.
func (q *StoppedQueue) Close() error { return q.r.Close() }

// Act implements control.Service. A message that is named and not there is an
// error and nothing is changed; with All it was delivered meanwhile and is left
// out.
func (o operator) Act(ctx context.Context, a control.Action) (int, error) {
	e, err := o.engine()
	if err != nil {
		return 0, err
	}
	verb, err := verbOf(ctx, e.queue, a)
	if err != nil {
		return 0, err
	}
	if !a.All {
		o.log(a, len(a.IDs))
		return len(a.IDs), verb(a.IDs...)
	}
	var ids []string
	for _, s := range e.queue.List(queue.Filter{Limit: everything}) {
		ids = append(ids, s.ID)
	}
	o.log(a, len(ids))
	return onThose(ids, verb)
}

func (o operator) log(a control.Action, n int) {
	o.r.log.Info("operator", "verb", a.Verb, "messages", n, "all", a.All, "reason", a.Reason)
}

// verbOf returns what the queue does for an action.
func verbOf(ctx context.Context, q *queue.Queue, a control.Action) (func(ids ...string) error, error) {
	switch a.Verb {
	case "retry":
		return func(ids ...string) error { return q.Retry(ctx, ids...) }, nil
	case "drop":
		return func(ids ...string) error { return q.Drop(ctx, ids...) }, nil
	case "release":
		return func(ids ...string) error { return q.Release(ctx, ids...) }, nil
	case "hold":
		h := queue.Hold{Kind: queue.OnHold, Reason: a.Reason, By: "operator"}
		return func(ids ...string) error { return q.Hold(ctx, h, ids...) }, nil
	}
	return nil, fmt.Errorf("unknown verb %q", a.Verb)
}

// onThose applies verb to those of ids that are still there, and returns how
// many. A verb changes nothing when one of its ids is unknown, so halving finds
// the ones that are gone.
func onThose(ids []string, verb func(ids ...string) error) (int, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	err := verb(ids...)
	switch {
	case err == nil:
		return len(ids), nil
	case !errors.Is(err, queue.ErrNotFound):
		return 0, err
	case len(ids) == 1:
		return 0, nil
	}
	first, err := onThose(ids[:len(ids)/2], verb)
	if err != nil {
		return first, err
	}
	second, err := onThose(ids[len(ids)/2:], verb)
	return first + second, err
}
