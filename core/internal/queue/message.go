// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
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
	States   []State   // what is known of each recipient, of a message from another machine; nil: nothing
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
	Last     mail.Outcome // of the last attempt; Reply.Cause is kept as far as delivery has put it into the text
	Leased   bool         // an attempt is under way
	Held     bool         // it waits for Release or Retry, for the reason in Last
	Warned   bool         // its sender was told of the delay
	WarnedAt time.Time    // when; zero if not, or by a build that did not note it
}

// Queued is a message as delivery and operators see it. It does not change. Its
// content stays on disk until Open, so that many leases cost little memory.
type Queued struct {
	Envelope *mail.Envelope // shared: not to be changed
	States   []State        // by recipient index; removed recipients count as delivered
	Hold     *Hold          // nil: not held
	size     int64
	queue    *Queue
	fresh    *content     // still in memory, else nil
	record   *record      // what the envelope says of the content, unless it is fresh
	spool    *store.Spool // when the body is a file
}

// ID returns the envelope's id.
func (m *Queued) ID() string { return m.Envelope.ID }

// Size returns the octets of header and body.
func (m *Queued) Size() int64 { return m.size }

// Content is what is sent.
type Content struct {
	Header []byte    // with the empty line when there is one; shared: not to be changed
	Body   mail.Body // for any number of readers at once
	file   *store.Body
}

// Close gives back what Open took.
func (c *Content) Close() {
	if c.file != nil {
		c.file.Close()
	}
}

// Open returns the content; the caller closes it. What is not in memory is read
// from disk. A message whose content is damaged goes on hold.
func (m *Queued) Open() (*Content, error) {
	header, body, err := m.read()
	if err == nil && m.spool != nil {
		return m.openFile(header)
	}
	if err != nil {
		return nil, m.fault(err)
	}
	return &Content{Header: header, Body: mail.BytesBody(body)}, nil
}

// read returns the header and the body that is not a file.
func (m *Queued) read() (header, body []byte, err error) {
	if m.fresh != nil {
		return m.fresh.header, m.fresh.body, nil
	}
	err = m.queue.get(key(kindContent, m.Envelope.ID), func(v []byte) error {
		header, body, err = m.record.content(v)
		return err
	})
	return header, body, err
}

// content splits a content record into copies of header and body.
func (r *record) content(v []byte) (header, body []byte, err error) {
	if r.header > len(v) || !r.onFile && r.body != int64(len(v)-r.header) {
		return nil, nil, fmt.Errorf("%w: content of %d octets", ErrDamaged, len(v))
	}
	v = append([]byte(nil), v...)
	return v[:r.header:r.header], v[r.header:], nil
}

func (m *Queued) openFile(header []byte) (*Content, error) {
	b, err := m.spool.Open(m.Envelope.ID)
	if err != nil {
		return nil, m.fault(err)
	}
	if want := m.size - int64(len(header)); b.Size() != want {
		b.Release()
		return nil, m.fault(fmt.Errorf("%w: body file of %s has %d octets, not %d", ErrDamaged, m.Envelope.ID, b.Size(), want))
	}
	return &Content{Header: header, Body: b, file: b}, nil
}

// fault has a damaged message held.
func (m *Queued) fault(err error) error {
	if errors.Is(err, ErrDamaged) {
		m.queue.damaged(m.Envelope.ID, err)
	}
	return err
}

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
	DSN      []*Message // joins the same batch; without Envelope.ID it gets the DSNID of its place here and those that failed
}

// Settled is the outcome for one recipient.
type Settled struct {
	Recipient int // index in Envelope.Recipients
	Outcome   mail.Outcome
	Next      time.Time // when to try again; zero: never, it is settled for good
	Held      bool      // not settled all the same: it waits for Release or Retry; Outcome says why
	Untried   bool      // it does not count as an attempt
	Warned    bool      // a report on the delay goes along; the state remembers it
}
