// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxReturned is how long a message may be that comes back whole, in octets of
// its body: a report must not cost more memory than a message that is queued
// without a file.
const maxReturned = 64 << 10

// reports reports whether the sender of a message is told anything. A report has
// the null sender, so that nothing is ever said about one (RFC 5321 §4.5.5).
func (r *Route) reports(env *mail.Envelope) bool {
	return r.DSN != DSNOff && !env.NoDSN && !env.Sender.IsNull()
}

// action is what the sender is told of an outcome. Without NOTIFY that is a
// failure (RFC 3461 §4.1); what an operator or a stage put aside is nobody's
// business.
func (r *Route) action(env *mail.Envelope, s *Settled) mail.Action {
	n := env.Recipients[s.Recipient].Notify
	switch {
	case !r.reports(env) || s.Held || s.Dropped:
	case s.Warned:
		return mail.ActionDelayed
	case s.Status == mail.Failed && (n == 0 || n.Has(mail.NotifyFailure)):
		return mail.ActionFailed
	case s.Status == mail.Delivered && traced(env, &s.Outcome):
		return mail.ActionRelayed
	case s.Status == mail.Delivered && n.Has(mail.NotifySuccess):
		return r.success(&s.Outcome)
	}
	return mail.ActionNone
}

// success is what a sender is told who wants to hear of it. A host that took the
// request along with the message answers it itself; for one that cannot, we say
// that the message is out of sight (RFC 3461 §5.2.2). Who has mail discarded
// has nothing to tell.
func (r *Route) success(o *mail.Outcome) mail.Action {
	switch {
	case o.Remote && o.DSN:
		return mail.ActionNone
	case o.Remote:
		return mail.ActionRelayed
	case r.Kind == ViaDiscard:
		return mail.ActionNone
	}
	return mail.ActionDelivered
}

// warning is when the sender is told that a recipient has to wait; zero: never,
// or it was told before. Mail that was not to go out at once is not late before
// its time; where the sender has named a time itself (RFC 2852, by-mode N), that is
// it.
func (r *Route) warning(env *mail.Envelope, rcpt int, st State) time.Time {
	n, after := env.Recipients[rcpt].Notify, r.schedule(env).DelayWarning
	if at, ok := promised(env, rcpt); ok && !st.Warned && r.reports(env) {
		return at
	}
	switch {
	case st.Warned || !r.reports(env) || n != 0 && !n.Has(mail.NotifyDelay):
		return time.Time{}
	case n == 0 && after == 0:
		return time.Time{}
	case after == 0:
		after = DefaultDelayWarning
	}
	return released(env).Add(after)
}

// returnsAll reports whether a failure may bring the whole message back. One that
// requires TLS never does (RFC 8689 §5), nor does a binary one: a report is text.
func (r *Route) returnsAll(env *mail.Envelope) bool {
	return r.DSN == DSNFull && env.Return == mail.ReturnFull && !env.RequireTLS && !env.Binary
}

// write has the reports on a batch written, one of each kind.
func (s *Scheduler) write(b *batch) []*Report {
	if !slices.ContainsFunc(b.items, func(it item) bool { return it.action != mail.ActionNone }) {
		return nil // the usual case costs nothing
	}
	var rs []*Report
	for _, kind := range [...]mail.Action{mail.ActionFailed, mail.ActionDelayed, mail.ActionDelivered} {
		if a, all := b.account(kind); len(a.Told) > 0 {
			if r := s.report(b.items[0].msg, a, all); r != nil {
				r.Kind, r.Recipients = kind, whom(a)
				s.log.Info("report", "id", b.result.Message, "status", kind.String(), "recipients", len(r.Recipients))
				rs = append(rs, r)
			}
		}
	}
	return rs
}

// account gathers what there is to tell of a kind, and reports whether the whole
// message may go along.
func (b *batch) account(kind mail.Action) (a *Account, all bool) {
	a, all = &Account{}, kind == mail.ActionFailed
	for i := range b.items {
		it := &b.items[i]
		if kindOf(it.action) != kind {
			continue
		}
		a.Told = append(a.Told, it.told())
		all = all && it.all
		if it.notice != nil {
			a.Added = append(a.Added, it.notice.Header...)
		}
	}
	return a, all
}

// kindOf is which report an action stands in: successes share one.
func kindOf(a mail.Action) mail.Action {
	if a == mail.ActionRelayed {
		return mail.ActionDelivered
	}
	return a
}

// whom returns the recipients of an account in order.
func whom(a *Account) []int {
	rcpts := make([]int, len(a.Told))
	for i := range a.Told {
		rcpts[i] = a.Told[i].Recipient
	}
	slices.Sort(rcpts)
	return rcpts
}

// told is the outcome as the sender hears of it.
func (it *item) told() mail.Told {
	t := mail.Told{Outcome: it.settled.Outcome, Action: it.action, Until: it.until}
	if it.notice != nil && it.notice.Reply != nil {
		t.Reply, t.Remote = *it.notice.Reply, false
	}
	return t
}

// report has a report written. What happened to the recipients is settled also
// when that cannot be done: the message must not stay for ever because of its
// report.
func (s *Scheduler) report(m Message, a *Account, all bool) (r *Report) {
	defer s.recovered("settler")
	a.Envelope = m.Envelope()
	if err := a.read(m, all); err != nil {
		s.log.Warn("a report goes without the message's header", "id", a.Envelope.ID, "error", err)
	}
	r, err := s.o.Reporter.Report(a)
	if err != nil {
		s.log.Error("no report could be written", "id", a.Envelope.ID, "error", err)
		return nil
	}
	return r
}

// read copies what goes back of the message.
func (a *Account) read(m Message, all bool) error {
	c, err := m.Open()
	if err != nil {
		return err
	}
	if c.Close != nil {
		defer c.Close()
	}
	a.Header = append([]byte(nil), c.Header...)
	if !all || c.Body == nil || c.Body.Size() > maxReturned {
		return nil
	}
	body := make([]byte, c.Body.Size())
	if _, err := io.ReadFull(io.NewSectionReader(c.Body, 0, c.Body.Size()), body); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	a.Body = body
	return nil
}
