// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Filter selects messages; its zero fields select all. What is set must match
// together, and one recipient must match Domain and Route both.
type Filter struct {
	State           Class
	RecipientDomain string       // of a waiting recipient, in any case
	Sender          mail.Address // whole, or a domain written "@example.org"; in any case. NullSender for "<>"
	Route           string       // that a stage chose for a waiting recipient
	OlderThan       time.Time    // received before
	After           string       // only ids greater than this one: the last of the page before
	Limit           int          // 0: DefaultLimit
}

// NullSender is the Filter.Sender of messages from the null reverse-path.
const NullSender mail.Address = "<>"

// DefaultLimit is the default of Filter.Limit.
const DefaultLimit = 100

// Summary is one line of a list. It comes from memory; Show reads the rest.
type Summary struct {
	ID         string
	State      Class
	Sender     mail.Address
	Received   time.Time
	Size       int64     // octets of header and body
	Recipients int       // in all
	Waiting    int       // not settled
	Leased     int       // being tried
	Attempts   int       // the most that were made for one waiting recipient
	Domains    []string  // of waiting recipients, each once, sorted
	Next       time.Time // when something is due; zero: nothing, while it is held or leased
	Hold       *Hold
}

// List returns the messages that match, oldest id first. It looks at every
// message in memory; BenchmarkList says how long that takes.
func (q *Queue) List(f Filter) []Summary {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	q.mu.RLock()
	defer q.mu.RUnlock()
	found := q.index.find(f.matcher())
	slices.SortFunc(found, func(a, b *entry) int { return strings.Compare(a.id, b.id) })
	sums := make([]Summary, 0, min(f.Limit, len(found)))
	for _, e := range found[:min(f.Limit, len(found))] {
		sums = append(sums, e.summary())
	}
	return sums
}

func (x *index) find(match func(*entry) bool) []*entry {
	var found []*entry
	for _, e := range x.byID {
		if match(e) {
			found = append(found, e)
		}
	}
	return found
}

// ids returns the sorted ids of the messages that match.
func (q *Queue) ids(match func(*entry) bool) []string {
	q.mu.RLock()
	defer q.mu.RUnlock()
	var ids []string
	for _, e := range q.index.find(match) {
		ids = append(ids, e.id)
	}
	slices.Sort(ids)
	return ids
}

func (f Filter) matcher() func(*entry) bool {
	domain := strings.ToLower(f.RecipientDomain)
	return func(e *entry) bool {
		switch {
		case e.id <= f.After:
		case f.State != "" && e.class() != f.State:
		case !f.OlderThan.IsZero() && e.received >= nanos(f.OlderThan):
		case f.Sender != "" && !sentBy(e.sender, f.Sender):
		case (domain != "" || f.Route != "") && !e.hasRecipient(domain, f.Route):
		default:
			return true
		}
		return false
	}
}

func sentBy(sender, want mail.Address) bool {
	switch {
	case want == NullSender:
		return sender.IsNull()
	case want[0] == '@':
		return strings.EqualFold(sender.Domain(), string(want[1:]))
	}
	return strings.EqualFold(string(sender), string(want))
}

func (e *entry) hasRecipient(domain, route string) bool {
	return slices.ContainsFunc(e.slots, func(s slot) bool {
		return s.waiting() && (domain == "" || s.domain.Value() == domain) && (route == "" || s.route.Value() == route)
	})
}

func (e *entry) summary() Summary {
	s := Summary{
		ID: e.id, State: e.class(), Sender: e.sender, Size: e.size,
		Received: stamp(e.received), Next: stamp(e.dueAt), Recipients: len(e.slots),
	}
	if e.hold != nil {
		hold := *e.hold
		s.Hold = &hold
	}
	for i := range e.slots {
		if e.slots[i].waiting() {
			s.add(&e.slots[i])
		}
	}
	slices.Sort(s.Domains)
	s.Domains = slices.Compact(s.Domains)
	return s
}

func (s *Summary) add(r *slot) {
	s.Waiting++
	s.Attempts = max(s.Attempts, int(r.attempts))
	s.Domains = append(s.Domains, r.domain.Value())
	if r.is(leased) {
		s.Leased++
	}
}
