// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"errors"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

// pageSize is how many messages are looked at under one hold of the lock:
// accepts wait for that long and no longer. BenchmarkSelect says how long.
const pageSize = 1024

// Tally is how much mail is meant or was changed.
type Tally struct {
	Messages   int
	Recipients int   // waiting ones that match
	Octets     int64 // header and body of the messages
}

func (t *Tally) add(recipients int, octets int64) {
	t.Messages++
	t.Recipients += recipients
	t.Octets += octets
}

// Select returns the ids of the messages that match, sorted, with how much they
// are; Limit does not count. It waits until the queue was read. It looks at every message in memory, a page at a
// time, so that mail goes on meanwhile: what comes, goes or changes during the
// call may be seen before or after that. A filter by Recipient, Reply or Hop
// reads the records of those that match otherwise, which BenchmarkSelect shows
// too.
func (q *Queue) Select(ctx context.Context, f Filter) ([]string, Tally, error) {
	var ids []string
	var t Tally
	err := q.walk(ctx, f, func(c *candidate) bool {
		ids = append(ids, c.sum.ID)
		t.add(len(c.rcpts), c.sum.Size)
		return true
	})
	return ids, t, err
}

// candidate is a message that matches, and which of its waiting recipients do.
type candidate struct {
	sum   Summary
	rcpts []int
}

// walk calls found with the messages that match, by id, until it wants no more.
// No lock is held during that.
func (q *Queue) walk(ctx context.Context, f Filter, found func(*candidate) bool) error {
	if err := q.Whole(ctx); err != nil {
		return err
	}
	m := f.matcher()
	for more := true; more; {
		var page []candidate
		page, f.After, more = q.page(m, f.After)
		for i := range page {
			c := &page[i]
			if m.deep() {
				if c.rcpts = q.recorded(m, c); len(c.rcpts) == 0 {
					continue
				}
			}
			if !found(c) {
				return nil
			}
		}
	}
	return nil
}

// page matches one page of messages behind an id, by what memory knows.
func (q *Queue) page(m *matcher, after string) (page []candidate, last string, more bool) {
	q.mu.RLock()
	defer q.mu.RUnlock()
	last, more = q.index.order.page(after, pageSize, func(e *entry) bool {
		if rcpts := m.match(e); len(rcpts) > 0 {
			page = append(page, candidate{e.summary(), rcpts})
		}
		return true
	})
	return page, last, more
}

// recorded narrows the recipients of a candidate to those whose records match.
// A message that is gone, or cannot be read, has none.
func (q *Queue) recorded(m *matcher, c *candidate) []int {
	msg, err := q.show(c.sum.ID)
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			q.log.Warn("message cannot be read and is not selected", "id", c.sum.ID, "error", err)
		}
		return nil
	}
	return m.recorded(msg, c.rcpts)
}

// matcher is a Filter made ready.
type matcher struct {
	Filter
	domain string
	addr   uint32
}

func (f Filter) matcher() *matcher {
	m := &matcher{Filter: f, domain: strings.ToLower(f.RecipientDomain)}
	if f.Recipient != "" {
		m.addr = addressHash(f.Recipient)
	}
	return m
}

// deep reports whether records have to be read as well.
func (m *matcher) deep() bool { return m.Recipient != "" || m.Reply != "" || m.Hop != nil }

// match returns the waiting recipients of a message that match, by what memory
// knows. Queue.mu is held.
func (m *matcher) match(e *entry) []int {
	if !m.message(e) {
		return nil
	}
	var rcpts []int
	for i := range e.slots {
		if m.recipient(&e.slots[i]) {
			rcpts = append(rcpts, i)
		}
	}
	return rcpts
}

func (m *matcher) message(e *entry) bool {
	switch {
	case e.id <= m.After:
	case m.State != "" && e.class() != m.State:
	case !m.OlderThan.IsZero() && e.received >= nanos(m.OlderThan):
	case !m.NewerThan.IsZero() && e.received <= nanos(m.NewerThan):
	case m.Tenant != "" && e.tenant.Value() != m.Tenant:
	case m.Campaign != "" && e.campaign.Value() != m.Campaign:
	case m.Sender != "" && !sentBy(e.sender, m.Sender):
	default:
		return true
	}
	return false
}

func (m *matcher) recipient(s *slot) bool {
	return s.waiting() &&
		(m.domain == "" || s.domain.Value() == m.domain) &&
		(m.Recipient == "" || s.addr == m.addr) &&
		(m.Route == "" || s.route.Value() == m.Route) &&
		(m.Goes == nil || m.Goes(s.route.Value(), s.domain.Value()))
}

// recorded returns those of rcpts whose records match.
func (m *matcher) recorded(msg *Queued, rcpts []int) []int {
	var out []int
	for _, i := range rcpts {
		r, last := &msg.Envelope.Recipients[i], &msg.States[i].Last
		switch {
		case m.Recipient != "" && !strings.EqualFold(string(r.Address), string(m.Recipient)):
		case m.Hop != nil && !m.Hop(r):
		case m.Reply != "" && !contains(last.Reply.Line(), m.Reply):
		default:
			out = append(out, i)
		}
	}
	return out
}

func contains(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}

// addressHash tells most addresses apart in four octets, in any case (FNV-1a);
// the record tells the rest.
func addressHash(a mail.Address) uint32 {
	h := uint32(2166136261)
	for i := range len(a) {
		c := a[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}
