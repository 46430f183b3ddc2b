// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/delivery"
	"github.com/postroad-mail/postroad/core/internal/queue"
	"github.com/postroad-mail/postroad/core/mail"
)

// verbBounce is the one verb that goes through delivery, for it owes reports.
const verbBounce = "bounce"

// firstFew is how many messages a dry run shows.
const firstFew = 5

// bounceBatch is how many messages are bounced at once: each batch is settled and
// synced before the next one begins.
const bounceBatch = 256

// act is an action made ready: what to do, and to what.
type act struct {
	control.Action
	ids    []string
	filter queue.Filter
	reply  mail.Reply // of a bounce
}

// Act implements control.Service. A message that is named and not there is an
// error and nothing is changed; of a selector it was delivered meanwhile and is
// left out.
func (o operator) Act(ctx context.Context, a control.Action) (control.Done, error) {
	e, err := o.engine()
	if err != nil {
		return control.Done{}, err
	}
	if err := o.check(&a); err != nil {
		return control.Done{}, err
	}
	todo := &act{Action: a, ids: a.IDs, filter: queue.Filter{}}
	todo.reply, err = bounceReply(a.Reply)
	if err == nil && a.Verb == verbBounce && !todo.reply.Permanent() {
		err = fmt.Errorf("bounce: %q is not a 5xx reply", a.Reply)
	}
	if err != nil {
		return control.Done{}, err
	}
	if a.Select != nil {
		if todo.filter, err = o.filter(e, a.Select); err != nil {
			return control.Done{}, err
		}
		var meant queue.Tally
		if todo.ids, meant, err = e.queue.Select(ctx, todo.filter); err != nil || !a.Yes {
			return o.dry(ctx, e, todo.filter, meant, err)
		}
	} else if err := e.queue.Check(ctx, a.IDs); err != nil && (!a.GoneOK || !errors.Is(err, queue.ErrNotFound)) {
		return control.Done{}, fmt.Errorf("%s: %w", a.Verb, err)
	}
	done, err := o.do(ctx, e, todo)
	o.log(&a, &done, err)
	return done, err
}

// dry is the answer of a dry run, where err is nil.
func (o operator) dry(ctx context.Context, e *engine, f queue.Filter, meant queue.Tally, err error) (control.Done, error) {
	f.Limit = firstFew
	var sums []queue.Summary
	if err == nil {
		sums, err = e.queue.List(ctx, f)
	}
	if err != nil {
		return control.Done{}, err
	}
	return control.Done{Messages: meant.Messages, Recipients: meant.Recipients, Octets: meant.Octets, First: o.entries(ctx, e, sums)}, nil
}

// check refuses what is not whole, before anything is looked at.
func (o operator) check(a *control.Action) error {
	switch a.Verb {
	case queue.Retry, queue.Release:
	case queue.PutOnHold, queue.Drop, verbBounce, queue.Reroute:
		if strings.TrimSpace(a.Reason) == "" {
			return fmt.Errorf("%s needs a reason", a.Verb)
		}
	default:
		return fmt.Errorf("unknown verb %q", a.Verb)
	}
	switch {
	case (a.Select == nil) == (len(a.IDs) == 0):
		return fmt.Errorf("%s: name ids, or a selector", a.Verb)
	case a.For < 0 || a.For > 0 && a.Verb != queue.PutOnHold:
		return fmt.Errorf("%s cannot last for %s", a.Verb, a.For)
	case a.Verb != queue.Reroute:
		return nil
	}
	return o.knowsRoute(a.Verb, a.To)
}

// knowsRoute returns an error that names the routes there are, unless name is one
// of them.
func (o operator) knowsRoute(verb, name string) error {
	routes := o.r.gen.Load().routing.routes
	if _, ok := routes[name]; ok {
		return nil
	}
	return fmt.Errorf("%s: the configuration has no route %q; it has %s", verb, name, strings.Join(slices.Sorted(maps.Keys(routes)), ", "))
}

// do does it. What is in line at a next hop comes back to the queue, and leaves
// it again as it is then.
func (o operator) do(ctx context.Context, e *engine, a *act) (control.Done, error) {
	if a.Verb == verbBounce {
		return o.bounce(ctx, e, a)
	}
	c := queue.Change{Verb: a.Verb, Only: a.filter, Route: a.To, Reason: a.Reason}
	c.Hold = queue.Hold{Kind: queue.OnHold, Reason: a.Reason, By: by(a.By)}
	if a.For > 0 {
		c.Hold.Until = o.r.clock.Now().Add(a.For)
	}
	t, err := e.queue.Change(ctx, c, a.ids)
	if a.Verb != queue.Retry && a.Verb != queue.Release {
		e.sched.Recall(a.ids...)
	}
	return control.Done{Messages: t.Messages, Recipients: t.Recipients, Octets: t.Octets, Did: true}, err
}

func by(operator string) string {
	if operator == "" {
		return "operator"
	}
	return "operator " + operator
}

// log says who did what to how much, and why.
func (o operator) log(a *control.Action, d *control.Done, err error) {
	kv := []any{"operator", a.By, "verb", a.Verb, "selector", inWords(a.Select), "reason", a.Reason,
		"messages", d.Messages, "recipients", d.Recipients, "octets", d.Octets}
	if a.To != "" {
		kv = append(kv, "route", a.To)
	}
	if d.Busy > 0 {
		kv = append(kv, "busy", d.Busy)
	}
	if err != nil {
		kv = append(kv, "error", err)
	}
	o.r.log.Info("operator", kv...)
}

// bounce fails recipients in the operator's words, batch by batch. Those that are
// being tried at that moment are left out: they may be delivered.
func (o operator) bounce(ctx context.Context, e *engine, a *act) (control.Done, error) {
	done := control.Done{Did: true}
	for ids := a.ids; len(ids) > 0; {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n := min(bounceBatch, len(ids))
		if err := bounceBatchOf(ctx, e, a, ids[:n], &done); err != nil {
			return done, fmt.Errorf("bounce: %w", err)
		}
		ids = ids[n:]
	}
	return done, nil
}

// bounceBatchOf takes messages out of delivery's hands and has it fail them. It
// returns after the sync.
func bounceBatchOf(ctx context.Context, e *engine, a *act, ids []string, done *control.Done) error {
	e.queue.Seize(ids...)
	defer e.queue.Unseize(ids...)
	e.sched.Recall(ids...)
	var leases []delivery.Lease
	var faults []error
	for _, id := range ids {
		l, busy, err := e.queue.TakeOver(id, a.filter)
		if err != nil { // damaged: the others go on
			faults = append(faults, fmt.Errorf("message %s stays as it is: %w", id, err))
		}
		done.Busy += busy
		if len(l.Recipients) == 0 {
			continue
		}
		leases = append(leases, delivery.Lease{Message: deliveryMessage{l.Message}, Recipients: l.Recipients})
		done.Messages++
		done.Recipients += len(l.Recipients)
		done.Octets += l.Message.Size()
	}
	if err := e.sched.Fail(ctx, leases, a.reply); err != nil {
		return err
	}
	return errors.Join(append(faults, e.queue.Flush())...)
}

// bounceReply reads an operator's words: "550 5.7.1 text", "550 text" or text.
func bounceReply(s string) (mail.Reply, error) {
	r := mail.Reply{Code: 550, Enhanced: mail.Enhanced{5, 7, 1}, Text: strings.TrimSpace(s)}
	if strings.ContainsAny(s, "\r\n\x00") || len(s) > 500 {
		return r, errors.New("a reply is one line of at most 500 octets")
	}
	if r.Text == "" {
		r.Text = "refused by the operator of the relay"
	}
	var e mail.Enhanced
	first, rest, _ := strings.Cut(r.Text, " ")
	code, err := strconv.Atoi(first)
	if err != nil || len(first) != 3 {
		return r, nil
	}
	r.Code, r.Enhanced, r.Text = code, mail.Enhanced{code / 100, 0, 0}, strings.TrimSpace(rest)
	status, rest, _ := strings.Cut(r.Text, " ")
	if n, _ := fmt.Sscanf(status, "%d.%d.%d", &e[0], &e[1], &e[2]); n == 3 {
		if e[0] != code/100 || e[1] < 0 || e[1] > 999 || e[2] < 0 || e[2] > 999 {
			return r, fmt.Errorf("%s does not fit a %d reply", status, code)
		}
		r.Enhanced, r.Text = e, strings.TrimSpace(rest)
	}
	return r, nil
}

// suspendedBy is delivery's question about suspensions.
func (e *engine) suspendedBy(now time.Time, env *mail.Envelope, r *mail.Recipient, route string) (why string, until time.Time) {
	s := e.queue.Suspended(env.Tenant, env.Campaign, r.Address.Domain(), route, now)
	if s == nil {
		return "", time.Time{}
	}
	return "suspended (" + suspendedWhat(s) + ") by " + s.By + ": " + s.Reason + ", suspension " + s.ID, s.Until
}

func suspendedWhat(s *queue.Suspension) string {
	var parts []string
	for _, p := range [...][2]string{{"tenant ", s.Tenant}, {"campaign ", s.Campaign}, {"domain ", s.Domain}, {"route ", s.Route}} {
		if p[1] != "" {
			parts = append(parts, p[0]+p[1])
		}
	}
	return strings.Join(parts, ", ")
}

// Suspend implements control.Service. It holds before it is counted what it is
// about, which has to wait until the queue was read.
func (o operator) Suspend(ctx context.Context, a control.SuspendAction) (control.Done, error) {
	e, err := o.engine()
	if err == nil {
		err = o.checkSuspend(&a)
	}
	if err != nil {
		return control.Done{}, err
	}
	f, err := o.filter(e, &a.Select)
	if err != nil {
		return control.Done{}, err
	}
	if !a.Yes {
		_, meant, err := e.queue.Select(ctx, f)
		return o.dry(ctx, e, f, meant, err)
	}
	made, err := o.suspend(e, &a)
	if err != nil {
		return control.Done{}, err
	}
	_, meant, err := e.queue.Select(ctx, f)
	if err != nil {
		err = fmt.Errorf("suspension %s was made; how much mail it is about is not known: %w", made.ID, err)
	}
	return control.Done{Messages: meant.Messages, Recipients: meant.Recipients, Octets: meant.Octets, Suspension: (*mail.Suspension)(&made), Did: true}, err
}

func (o operator) checkSuspend(a *control.SuspendAction) error {
	s := a.Select
	if !suspendable(&s) {
		return errors.New("suspend goes by tenant, campaign, domain and route alone")
	}
	if strings.TrimSpace(a.Reason) == "" || a.For <= 0 {
		return errors.New("suspend needs a reason, and for how long")
	}
	if s.Route == "" {
		return nil
	}
	return o.knowsRoute("suspend", s.Route)
}

func (o operator) suspend(e *engine, a *control.SuspendAction) (queue.Suspension, error) {
	s := &a.Select
	want := selected(s)
	want.ID, want.Reason, want.By, want.Until = o.r.newID(), a.Reason, by(a.By), o.r.clock.Now().Add(a.For)
	made, err := e.queue.Suspend(want)
	if err != nil {
		return made, err
	}
	e.sched.Reconsider()
	o.r.log.Info("operator", "operator", a.By, "verb", "suspend", "selector", inWords(s), "reason", a.Reason, "suspension", made.ID, "until", made.Until)
	return made, nil
}

// Resume implements control.Service.
func (o operator) Resume(_ context.Context, a control.ResumeAction) ([]mail.Suspension, error) {
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	if (a.Select == nil) == (len(a.IDs) == 0) {
		return nil, errors.New("resume: name ids of suspensions, or a selector")
	}
	ids := a.IDs
	if a.Select != nil {
		meant, err := suspensionsOf(e, a.Select)
		if err != nil || !a.Yes || len(meant) == 0 {
			return suspensions(meant), err
		}
		for i := range meant {
			ids = append(ids, meant[i].ID)
		}
	}
	ended, err := e.queue.Resume(ids...)
	if err != nil {
		return nil, err
	}
	if len(ended) == 0 {
		return nil, fmt.Errorf("no suspension %s; postroad queue suspensions lists those there are", strings.Join(ids, ", "))
	}
	for i := range ended {
		o.r.log.Info("operator", "operator", a.By, "verb", "resume", "selector", inWords(a.Select), "suspension", ended[i].ID, "what", suspendedWhat(&ended[i]))
	}
	return suspensions(ended), nil
}

// suspensionsOf returns the suspensions that name what is set in s.
func suspensionsOf(e *engine, s *mail.QueueSelector) ([]queue.Suspension, error) {
	if !suspendable(s) {
		return nil, errors.New("resume goes by tenant, campaign, domain and route alone")
	}
	var found []queue.Suspension
	want := selected(s)
	for _, have := range e.queue.Suspensions() {
		if want.Matches(have.Tenant, have.Campaign, have.Domain, have.Route) {
			found = append(found, have)
		}
	}
	return found, nil
}

// selected is what a selector says of suspensions.
func selected(s *mail.QueueSelector) queue.Suspension {
	return queue.Suspension{Tenant: s.Tenant, Campaign: s.Campaign, Domain: strings.ToLower(strings.TrimPrefix(s.Domain, "@")), Route: s.Route}
}

// suspendable reports whether s names nothing but what suspensions go by.
func suspendable(s *mail.QueueSelector) bool {
	return *s == mail.QueueSelector{Tenant: s.Tenant, Campaign: s.Campaign, Domain: s.Domain, Route: s.Route}
}

// Suspensions implements control.Service.
func (o operator) Suspensions(context.Context) ([]mail.Suspension, error) {
	e, err := o.engine()
	if err != nil {
		return nil, err
	}
	return suspensions(e.queue.Suspensions()), nil
}

func suspensions(ss []queue.Suspension) []mail.Suspension {
	out := make([]mail.Suspension, len(ss))
	for i := range ss {
		out[i] = mail.Suspension(ss[i])
	}
	return out
}
