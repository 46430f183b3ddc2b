// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
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
		out.Listeners[l.Name] = strings.TrimPrefix(out.Listeners[l.Name]+", "+l.Address, ", ")
	}
	for _, s := range o.r.queueSize() {
		out.Queue[s.State] = s.Messages
	}
	_, out.Reading = o.r.reading()
	return out, nil
}

// Reload implements control.Service.
func (o operator) Reload(ctx context.Context) error { return o.r.Reload(context.WithoutCancel(ctx)) }

func (o operator) engine() (*engine, error) { return o.r.live() }

// List implements control.Service.
func (o operator) List(ctx context.Context, f control.Filter) ([]mail.QueueEntry, error) {
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	of, err := o.filter(e, &f.QueueSelector)
	if err != nil {
		return nil, err
	}
	of.After, of.Limit = f.After, min(f.Limit, control.MaxList)
	sums, err := e.queue.List(ctx, of)
	if err != nil {
		return nil, err
	}
	return o.entries(ctx, e, sums), nil
}

// entries are the messages of a list; those that were delivered meanwhile are
// left out.
func (o operator) entries(ctx context.Context, e *engine, sums []queue.Summary) []mail.QueueEntry {
	out := make([]mail.QueueEntry, 0, len(sums))
	for i := range sums {
		q, err := e.queue.Show(ctx, sums[i].ID)
		switch {
		case errors.Is(err, queue.ErrNotFound):
		case err != nil:
			out = append(out, unreadable(&sums[i], err))
		default:
			out = append(out, o.message(e, q))
		}
	}
	return out
}

// unreadable is a message whose records are damaged: a list names it all the
// same.
func unreadable(s *queue.Summary, err error) mail.QueueEntry {
	return mail.QueueEntry{ID: s.ID, State: string(s.State), Sender: s.Sender, Received: s.Received, Size: s.Size, Reason: err.Error()}
}

// Show implements control.Service.
func (o operator) Show(ctx context.Context, id string) (mail.QueueEntry, error) {
	e, err := o.engine()
	if err != nil {
		return mail.QueueEntry{}, err
	}
	q, err := e.queue.Show(ctx, id)
	if err != nil {
		return mail.QueueEntry{}, fmt.Errorf("show: %w", err)
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
	m := mail.QueueEntry{ID: env.ID, State: state(q), Sender: env.Sender, Tenant: env.Tenant, Campaign: env.Campaign, Priority: env.Priority, Received: env.Received, Size: q.Size(),
		Stages: env.Stages, Scores: env.Scores, Asked: wishes(env)}
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
		Route: o.r.gen.Load().routing.routeOf(*rc), Warned: st.Warned, WarnedAt: st.WarnedAt, Asked: wishesFor(rc)}
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
	ds := deliveryMessage{q}.State(i)
	d := e.sched.Explain(q.Envelope, i, ds)
	out.Now, out.Hop, out.Until, out.Expires = inAWord(d, ds), d.Hop, d.Until, d.Expire
	out.Why = why(out.Now, d)
	out.Class = d.Class
	return out
}

// inAWord says a decision in a word of mail.QueueRecipient.Now.
func inAWord(d delivery.Decision, st delivery.State) string {
	switch {
	case d.Place == delivery.UnderWay:
		return "attempt"
	case d.Place == delivery.InLine && d.Action != delivery.Try:
		return d.Action.String() // unresolved, throttled, limited or no source
	case d.Place == delivery.InLine:
		return "in line"
	case st.Leased:
		return "leased"
	case st.Held != "":
		return "held"
	}
	switch d.Action {
	case delivery.Try:
		return "due"
	case delivery.Wait:
		return "waiting"
	case delivery.Expire:
		return "expired"
	}
	return d.Action.String()
}

// why says a decision in words, of which now is the first.
func why(now string, d delivery.Decision) string {
	s := d.Reason
	if !strings.HasPrefix(s, now) {
		s = now + ": " + s
	}
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

// QueueFilter selects messages to list.
type QueueFilter struct {
	mail.QueueSelector
	After string // only ids behind this one: the last of the page before
	Limit int    // 0: 1,000
}

// List returns what is queued, oldest first.
func (q *StoppedQueue) List(ctx context.Context, f QueueFilter) ([]mail.QueueEntry, error) {
	return operator{q.r}.List(ctx, control.Filter(f))
}

// Suspensions returns the suspensions that are not over, the oldest first.
func (q *StoppedQueue) Suspensions(ctx context.Context) ([]mail.Suspension, error) {
	return operator{q.r}.Suspensions(ctx)
}

// Export writes the messages that match to w, in the form that
// core/docs/operate.md describes. They stay in the queue.
func (q *StoppedQueue) Export(ctx context.Context, s mail.QueueSelector, w io.Writer) error {
	return operator{q.r}.Export(ctx, control.ExportAction{Select: &s}, w)
}

// HoldAll keeps all that is queued back until somebody releases it. What is in
// quarantine stays there, and what is held keeps its reason, unless that hold
// would end by itself. It returns after the sync.
func (q *StoppedQueue) HoldAll(ctx context.Context, reason, by string) error {
	a := control.Action{Verb: queue.PutOnHold, Reason: reason, By: by, Yes: true}
	for _, state := range []queue.Class{queue.Ready, queue.Deferred} {
		a.Select = &mail.QueueSelector{State: string(state)}
		if _, err := (operator{q.r}).Act(ctx, a); err != nil {
			return err
		}
	}
	return q.prolong(ctx, a)
}

// prolong does a to what is held for a while.
func (q *StoppedQueue) prolong(ctx context.Context, a control.Action) error {
	sums, err := q.r.engine.Load().queue.List(ctx, queue.Filter{State: queue.Held, Limit: math.MaxInt})
	if err != nil {
		return err
	}
	a.Select = nil
	for i := range sums {
		if h := sums[i].Hold; h != nil && !h.Until.IsZero() {
			a.IDs = append(a.IDs, sums[i].ID)
		}
	}
	if len(a.IDs) == 0 {
		return nil
	}
	_, err = operator{q.r}.Act(ctx, a)
	return err
}

// Show returns one message.
func (q *StoppedQueue) Show(ctx context.Context, id string) (mail.QueueEntry, error) {
	return operator{q.r}.Show(ctx, id)
}

// Close gives the data directory back.
func (q *StoppedQueue) Close() error { return q.r.Close() }
