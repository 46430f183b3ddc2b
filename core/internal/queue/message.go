// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/internal/store"
	"github.com/postroad-mail/postroad/core/mail"
)

// Message is what Enqueue takes. Envelope.ID must be set: 26 capital letters
// and digits, new for each message.
type Message struct {
	Envelope *mail.Envelope
	Header   []byte    // as it will be sent, with the empty line when there is one
	Body     mail.Body // nil: empty. One that has a Release method is released on success
	Hold     *Hold     // nil: deliver at once
}

// The kinds of Hold.
const (
	Quarantine = "quarantine" // dropped when it ends
	OnHold     = "hold"       // delivered when it ends
)

// Hold says that a message is not delivered for now, and why.
type Hold struct {
	Kind   string    // Quarantine or OnHold
	Reason string    // for people; at most 1,000 octets
	By     string    // stage or operator
	Until  time.Time // when it ends; zero: only by Release or Drop
	Since  time.Time // set by the queue
}

// State is what is known of one recipient of a queued message. The zero State
// is a recipient that was never tried.
type State struct {
	Status   mail.Status  // Deferred as long as it is waiting
	Attempts int          // attempts made
	Next     time.Time    // due since or at; meaningless once it is settled
	FirstTry time.Time    // zero before the first attempt; whole seconds
	Last     mail.Outcome // of the last attempt; Reply.Cause is not kept
	Leased   bool         // an attempt is under way
}

// Queued is a message as delivery and operators see it. It does not change.
type Queued struct {
	Envelope *mail.Envelope // shared: not to be changed
	States   []State        // by recipient index; removed recipients count as delivered
	Header   []byte         // shared: not to be changed
	Hold     *Hold          // nil: not held
	size     int64
	body     []byte
	spool    *store.Spool // when the body is a file
}

// ID returns the envelope's id.
func (m *Queued) ID() string { return m.Envelope.ID }

// Size returns the octets of header and body.
func (m *Queued) Size() int64 { return m.size }

// Body is an open body; the caller closes it.
type Body interface {
	mail.Body
	Close() error
}

// Open opens the body for any number of readers at once. A body in memory
// costs nothing to open or close; others are files.
func (m *Queued) Open() (Body, error) {
	if m.spool == nil {
		return memory{mail.BytesBody(m.body)}, nil
	}
	b, err := m.spool.Open(m.Envelope.ID)
	if err != nil {
		return nil, err
	}
	if want := m.size - int64(len(m.Header)); b.Size() != want {
		b.Release()
		return nil, fmt.Errorf("%w: body file of %s has %d octets, not %d", ErrDamaged, m.Envelope.ID, b.Size(), want)
	}
	return b, nil
}

type memory struct{ mail.BytesBody }

func (memory) Close() error { return nil }

// Lease is the right to try some recipients of one message, until it is given
// back with Settle, Return or Postpone. It does not time out: it ends with the
// process.
type Lease struct {
	Message    *Queued
	Recipients []int // due indexes in Envelope.Recipients, ascending
}

// Result is what attempts for one message came to. Recipients that it does not
// name stay leased.
type Result struct {
	Message  string // id
	Outcomes []Settled
	DSN      []*Message // joins the same batch; without Envelope.ID it gets DSNID
}

// Settled is the outcome for one recipient.
type Settled struct {
	Recipient int // index in Envelope.Recipients
	Outcome   mail.Outcome
	Next      time.Time // when to try again; zero: never, it is settled for good
}
