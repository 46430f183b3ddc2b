// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// maxSuspensions bounds the suspensions at once: each decision looks at all.
const maxSuspensions = 1000

// ErrTooManySuspensions is for a suspension beyond the bound.
var ErrTooManySuspensions = fmt.Errorf("there are %d suspensions already; end some first", maxSuspensions)

// Suspension keeps mail back that matches everything that is set: what is
// queued and what will be. It is no attempt and changes no retry time. It ends
// by itself.
type Suspension struct {
	ID       string // as of a message; set by the caller
	Tenant   string
	Campaign string
	Domain   string // of the recipient, in lower case
	Route    string
	Reason   string    // for people; at most 1,000 octets
	By       string    // who did it
	Since    time.Time // set by the queue
	Until    time.Time
}

// Matches reports whether the suspension is for such mail; domain is in lower case.
func (s *Suspension) Matches(tenant, campaign, domain, route string) bool {
	return (s.Tenant == "" || s.Tenant == tenant) && (s.Campaign == "" || s.Campaign == campaign) &&
		(s.Domain == "" || s.Domain == domain) && (s.Route == "" || s.Route == route)
}

// check refuses a suspension that would never end, or hold everything.
func (s *Suspension) check(now time.Time) error {
	switch {
	case s.Tenant+s.Campaign+s.Domain+s.Route == "":
		return errors.New("a suspension names a tenant, campaign, domain or route")
	case !s.Until.After(now):
		return errors.New("a suspension ends in the future")
	}
	for _, v := range [...]string{s.Tenant, s.Campaign, s.Domain, s.Route} {
		if len(v) > maxText {
			return fmt.Errorf("%q… is too long", v[:40])
		}
	}
	return checkID(s.ID)
}

// Suspend makes a suspension. It returns after the sync, and holds from then
// on. Attempts that are under way go on.
func (q *Queue) Suspend(s Suspension) (Suspension, error) {
	q.change.Lock()
	defer q.change.Unlock()
	now := q.clock.Now()
	s.Domain, s.Since, s.Reason, s.By = strings.ToLower(s.Domain), now.UTC(), cut(s.Reason), cut(s.By)
	if err := s.check(now); err != nil {
		return s, fmt.Errorf("queue: suspend: %w", err)
	}
	keep, over := q.current(now)
	if len(keep) >= maxSuspensions {
		return s, fmt.Errorf("queue: suspend: %w", ErrTooManySuspensions)
	}
	return s, q.setSuspensions(append(keep, s), over, &s)
}

// Resume ends suspensions. It returns after the sync; what had waited for one
// of them is due at once. It returns those that it ended: who is not there has
// ended before.
func (q *Queue) Resume(ids ...string) ([]Suspension, error) {
	q.change.Lock()
	defer q.change.Unlock()
	keep, over := q.current(q.clock.Now())
	var ended []Suspension
	keep = slices.DeleteFunc(keep, func(s Suspension) bool {
		if !slices.Contains(ids, s.ID) {
			return false
		}
		ended = append(ended, s)
		return true
	})
	if len(ended) == 0 {
		return nil, nil
	}
	if err := q.setSuspensions(keep, append(over, ended...), nil); err != nil {
		return nil, err
	}
	q.unshelve(ended)
	return ended, nil
}

// Suspensions returns those that are not over, the oldest first.
func (q *Queue) Suspensions() []Suspension {
	keep, _ := q.current(q.clock.Now())
	return keep
}

// Suspended returns the suspension that keeps such mail back now, the one that
// ends last when there are several; nil when there is none.
func (q *Queue) Suspended(tenant, campaign, domain, route string, now time.Time) *Suspension {
	all := q.suspensions.Load()
	if all == nil {
		return nil
	}
	var found *Suspension
	for i := range *all {
		s := &(*all)[i]
		if now.Before(s.Until) && s.Matches(tenant, campaign, domain, route) && (found == nil || found.Until.Before(s.Until)) {
			found = s
		}
	}
	return found
}

// current returns copies of the suspensions that hold at now, and of those that
// are over and still have a record.
func (q *Queue) current(now time.Time) (keep, over []Suspension) {
	all := q.suspensions.Load()
	if all == nil {
		return nil, nil
	}
	for _, s := range *all {
		if s.Until.After(now) {
			keep = append(keep, s)
		} else {
			over = append(over, s)
		}
	}
	return keep, over
}

// setSuspensions writes down that one has begun and others are over, and
// publishes what is left. Queue.change is held.
func (q *Queue) setSuspensions(keep, over []Suspension, begun *Suspension) error {
	if _, err := q.live(""); errors.Is(err, ErrClosed) {
		return err
	}
	b := q.store.NewBatch()
	defer b.Close()
	if err := writeSuspensions(b, over, begun); err != nil {
		return err
	}
	if err := q.store.Commit(b, true); err != nil {
		return fmt.Errorf("queue: suspensions: %w", err)
	}
	q.publishSuspensions(keep)
	return nil
}

func writeSuspensions(b *pebble.Batch, over []Suspension, begun *Suspension) error {
	for i := range over {
		if err := b.Delete(key(kindSuspension, over[i].ID), nil); err != nil {
			return err
		}
	}
	if begun == nil {
		return nil
	}
	return b.Set(key(kindSuspension, begun.ID), appendSuspension(nil, begun), nil)
}

// readSuspensions reads those that were made before Open. What cannot be read is
// left alone.
func (q *Queue) readSuspensions() error {
	var all []Suspension
	from, to := bounds(kindSuspension)
	err := q.store.Scan(from, to, func(key, v []byte) bool {
		id, _, err := splitKey(key)
		if err == nil {
			var s Suspension
			if s, err = readSuspension(id, v); err == nil {
				all = append(all, s)
				return true
			}
		}
		q.log.Error("suspension cannot be read and is left alone", "key", fmt.Sprintf("%q", key), "error", err)
		return true
	})
	q.publishSuspensions(all)
	return err
}

func (q *Queue) publishSuspensions(all []Suspension) {
	if len(all) == 0 {
		q.suspensions.Store(nil)
		return
	}
	q.suspensions.Store(&all)
}

// unshelve makes the recipients due that were shelved and match one of the
// suspensions, a page at a time. If another one matches too, delivery finds out.
func (q *Queue) unshelve(ended []Suspension) {
	now := nanos(q.clock.Now())
	for last, more := "", true; more; {
		q.mu.Lock()
		last, more = q.index.order.page(last, pageSize, func(e *entry) bool {
			if e.isShelved() {
				q.index.update(e, func() { e.unshelve(ended, now) })
			}
			return true
		})
		q.mu.Unlock()
	}
	q.signal()
}

func (e *entry) isShelved() bool {
	return slices.ContainsFunc(e.slots, func(s slot) bool { return s.is(shelved) })
}

func (e *entry) unshelve(ended []Suspension, now int64) {
	for i := range e.slots {
		s := &e.slots[i]
		if !s.is(shelved) || !s.waiting() {
			continue
		}
		if e.isAmong(ended, s) {
			s.next = min(s.next, now)
			s.flags &^= shelved
		}
	}
}

// isAmong reports whether a recipient matches one of the suspensions. Which route
// the rules give it, the queue does not know: any may be meant.
func (e *entry) isAmong(ss []Suspension, s *slot) bool {
	return slices.ContainsFunc(ss, func(d Suspension) bool {
		return d.Matches(e.tenant.Value(), e.campaign.Value(), s.domain.Value(), d.Route)
	})
}

// maySuspend reports whether there is a suspension that a recipient matches.
func (q *Queue) maySuspend(e *entry, s *slot) bool {
	all := q.suspensions.Load()
	return all != nil && e.isAmong(*all, s)
}

func appendSuspension(b []byte, s *Suspension) []byte {
	b = append(b, suspensionVersion)
	for _, v := range [...]string{s.Tenant, s.Campaign, s.Domain, s.Route, s.Reason, s.By} {
		b = appendString(b, v)
	}
	return appendTime(appendTime(b, s.Since), s.Until)
}

func readSuspension(id string, b []byte) (Suspension, error) {
	d := newDecoder(b, suspensionVersion)
	s := Suspension{ID: id}
	for _, v := range [...]*string{&s.Tenant, &s.Campaign, &s.Domain, &s.Route, &s.Reason, &s.By} {
		*v = d.string()
	}
	s.Since, s.Until = d.time(), d.time()
	return s, d.end("suspension")
}
