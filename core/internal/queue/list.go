// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Filter selects messages; its zero fields select all. What is set must match
// together, and of what is said of recipients, one waiting recipient must match
// all.
type Filter struct {
	State           Class
	RecipientDomain string       // in any case
	Recipient       mail.Address // whole, in any case
	Sender          mail.Address // whole, or a domain written "@example.org"; in any case. NullSender for "<>"
	Tenant          string
	Campaign        string
	Route           string                          // that a stage or an operator chose
	Goes            func(route, domain string) bool // asked of the chosen route and the domain; quick, calls nothing of the queue. nil: any
	Hop             func(r *mail.Recipient) bool    // asked of the recipient as the envelope has it; nil: any
	Reply           string                          // part of the last reply, in any case
	OlderThan       time.Time                       // received before
	NewerThan       time.Time                       // received after
	After           string                          // only ids greater than this one: the last of the page before
	Limit           int                             // 0: DefaultLimit
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
	Tenant     string
	Campaign   string
}

// List returns the messages that match, oldest id first. It waits until the queue
// was read, goes by pages as Select does, and stops when it has enough.
func (q *Queue) List(ctx context.Context, f Filter) ([]Summary, error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	sums := []Summary{}
	err := q.walk(ctx, f, func(c *candidate) bool {
		sums = append(sums, c.sum)
		return len(sums) < f.Limit
	})
	return sums, err
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

func (e *entry) summary() Summary {
	s := Summary{
		ID: e.id, State: e.class(), Sender: e.sender, Size: e.size,
		Received: stamp(e.received), Next: stamp(e.dueAt), Recipients: len(e.slots),
		Tenant: e.tenant.Value(), Campaign: e.campaign.Value(),
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
