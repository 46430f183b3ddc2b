// SPDX-License-Identifier: Apache-2.0

package mail

import "time"

// QueueEntry is a queued message as people see it.
type QueueEntry struct {
	ID         string
	State      string // ready, deferred, held or quarantined
	Sender     Address
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
	NextHop  string `json:",omitempty"` // raw next hop that a stage chose
	Attempts int
	Next     time.Time `json:",omitzero"`  // next attempt
	Last     string    `json:",omitempty"` // next hop and reply of the last attempt
	Why      string    `json:",omitempty"` // may it be tried now, and if not, why and until when
}
