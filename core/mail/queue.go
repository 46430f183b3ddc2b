// SPDX-License-Identifier: Apache-2.0

package mail

import (
	"strconv"
	"time"
)

// QueueEntry is a queued message as people see it.
type QueueEntry struct {
	ID         string
	State      string // ready, deferred, held or quarantined
	Sender     Address
	Tenant     string `json:",omitempty"`
	Campaign   string `json:",omitempty"`
	Priority   int    `json:",omitempty"` // -100 to 100
	Asked      string `json:",omitempty"` // what its client asked for by extensions of SMTP, in words
	Received   time.Time
	Size       int64       // octets of header and body
	Reason     string      `json:",omitempty"` // by whom and why it is held
	Until      time.Time   `json:",omitzero"`  // when the hold ends
	Stages     []StageMark `json:",omitempty"` // that were called while it came in, with their code
	Scores     []Score     `json:",omitempty"` // what they scored
	Recipients []QueueRecipient
	Header     string `json:",omitempty"` // the header section; not in lists
}

// QueueRecipient is one recipient of a QueueEntry, and why it is still there.
type QueueRecipient struct {
	Address  Address
	Status   string // queued, delivered, failed or dropped
	Route    string
	Class    string `json:",omitempty"` // the route's class that the message's priority is in
	NextHop  string `json:",omitempty"` // raw next hop that a stage chose
	Attempts int
	Asked    string    `json:",omitempty"` // what was asked for it alone
	Next     time.Time `json:",omitzero"`  // next attempt
	Last     string    `json:",omitempty"` // next hop and reply of the last attempt
	Why      string    `json:",omitempty"` // why it is still here and until when; it begins with Now
	Now      string    `json:",omitempty"` // the same in a word: due, waiting, expired, suspended, held, no route, in line, unresolved, throttled, limited, no source, stalled, attempt or leased
	Hop      string    `json:",omitempty"` // next hop, as far as it is decided
	Until    time.Time `json:",omitzero"`  // when what Now says ends; zero: nobody knows
	Expires  time.Time `json:",omitzero"`  // when it is given up, after one attempt at least
	Warned   bool      `json:",omitempty"` // the sender was told of the delay, and is not told again
	WarnedAt time.Time `json:",omitzero"`  // when, as far as it was noted
}

// QueueSelector selects queued mail; its empty fields select all. What is set
// must match together, and of what is said of recipients, one that is waiting
// must match all.
type QueueSelector struct {
	State     string        `json:",omitempty"` // ready, deferred, held or quarantined
	Domain    string        `json:",omitempty"` // of the recipient
	Recipient string        `json:",omitempty"` // address
	Sender    string        `json:",omitempty"` // address, "@" and a domain, or "<>"
	Tenant    string        `json:",omitempty"`
	Campaign  string        `json:",omitempty"`
	Route     string        `json:",omitempty"` // by which the recipient goes
	Hop       string        `json:",omitempty"` // next hop, as explain spells it: "mx example.org", "smarthost NAME", "host:port"
	Reply     string        `json:",omitempty"` // part of the last reply
	OlderThan time.Duration `json:",omitempty"` // received so long ago, or longer
	NewerThan time.Duration `json:",omitempty"`
}

// Suspension keeps mail back that matches all of tenant, campaign, domain and
// route that are set, until it ends or somebody ends it.
type Suspension struct {
	ID       string
	Tenant   string `json:",omitempty"`
	Campaign string `json:",omitempty"`
	Domain   string `json:",omitempty"` // of the recipient
	Route    string `json:",omitempty"`
	Reason   string
	By       string
	Since    time.Time
	Until    time.Time
}

// maxLabel is the length of the longest name of a tenant or campaign.
const maxLabel = 64

// ValidLabel reports whether s can be the name of a tenant or a campaign: 1 to 64
// printable ASCII characters without a space.
func ValidLabel(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxLabel
}

// MaxPriority is the highest priority of a message, and its negative the lowest.
const MaxPriority = 100

// ParsePriority reads a priority: a whole number from -MaxPriority to MaxPriority
// with a sign or without; false for anything else.
func ParsePriority(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < -MaxPriority || n > MaxPriority {
		return 0, false
	}
	return n, true
}
