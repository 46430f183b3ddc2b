// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// model is the queue in a few maps: what it holds after some operations. It
// knows nothing of disks.
type model map[string]*modelMessage

type modelMessage struct {
	size  int // octets of the body; -1: a report
	hold  string
	rcpts []modelRcpt
}

type modelRcpt struct {
	status   mail.Status
	attempts int
	stored   bool      // next is more than "since it came"
	next     time.Time // zero with stored: held
	until    time.Time // postponed; a restart forgets it
	leased   bool      // a restart forgets it
}

func (m model) clone() model {
	c := make(model, len(m))
	for id, msg := range m {
		one := *msg
		one.rcpts = slices.Clone(msg.rcpts)
		c[id] = &one
	}
	return c
}

// restarted is the model after the process has ended.
func (m model) restarted() model {
	c := m.clone()
	for _, msg := range c {
		for i := range msg.rcpts {
			msg.rcpts[i].leased, msg.rcpts[i].until = false, time.Time{}
		}
	}
	return c
}

func (m model) ids() []string { return slices.Sorted(maps.Keys(m)) }

func (r *modelRcpt) waiting() bool { return r.status == mail.Deferred }
func (r *modelRcpt) held() bool    { return r.stored && r.waiting() && r.next.IsZero() }

func (r *modelRcpt) due(now time.Time) bool {
	return r.waiting() && !r.leased && !r.held() && !r.until.After(now) && !r.next.After(now)
}

// now makes a recipient due.
func (r *modelRcpt) now(t time.Time) { r.stored, r.next, r.until = true, t, time.Time{} }

// due are the recipients that Due has to hand out.
func (m model) due(now time.Time) map[string][]int {
	due := map[string][]int{}
	for id, msg := range m {
		for i := range msg.rcpts {
			if msg.hold == "" && msg.rcpts[i].due(now) {
				due[id] = append(due[id], i)
			}
		}
	}
	return due
}

func (m model) lease(due map[string][]int) {
	for id, rcpts := range due {
		for _, i := range rcpts {
			m[id].rcpts[i].leased = true
		}
	}
}

// settle is what a result does.
func (m model) settle(res Result) {
	msg := m[res.Message]
	for _, o := range res.Outcomes {
		r := &msg.rcpts[o.Recipient]
		r.leased, r.stored, r.until = false, true, time.Time{}
		r.attempts++
		switch {
		case o.Held:
			r.next = time.Time{}
		case !o.Next.IsZero():
			r.next = o.Next
		default:
			r.status = o.Outcome.Status
		}
	}
	if len(res.DSN) > 0 {
		m[DSNID(res.Message, failedOf(&res), 0)] = &modelMessage{size: -1, rcpts: make([]modelRcpt, 1)}
	}
	if !slices.ContainsFunc(msg.rcpts, func(r modelRcpt) bool { return r.waiting() }) {
		delete(m, res.Message)
	}
}

func (m model) retry(id string, now time.Time) {
	msg := m[id]
	for i := range msg.rcpts {
		if r := &msg.rcpts[i]; msg.hold == "" && r.waiting() {
			r.now(now)
		}
	}
}

func (m model) release(id string, now time.Time) {
	msg := m[id]
	msg.hold = ""
	for i := range msg.rcpts {
		if r := &msg.rcpts[i]; r.held() {
			r.now(now)
		}
	}
}

// String is all that a restart has to keep.
func (m model) String() string {
	var b strings.Builder
	for _, id := range m.ids() {
		msg := m[id]
		fmt.Fprintf(&b, "%s body %d hold %q:", id, msg.size, msg.hold)
		for _, r := range msg.rcpts {
			fmt.Fprintf(&b, " %v/%d%s", r.status, r.attempts, r.when())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (r *modelRcpt) when() string {
	switch {
	case !r.stored || !r.waiting():
		return ""
	case r.next.IsZero():
		return "/held"
	}
	return "/" + r.next.Format(time.TimeOnly)
}

// observed reads the same from a queue that has just been opened.
func (r *rig) observed() (model, error) {
	m := model{}
	for _, s := range r.list(Filter{Limit: 1 << 20}) {
		q, err := r.show(s.ID)
		if err != nil {
			return nil, err
		}
		msg, err := r.observe(q)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.ID, err)
		}
		m[s.ID] = msg
	}
	return m, nil
}

func (r *rig) observe(q *Queued) (*modelMessage, error) {
	c, err := q.Open()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	msg := &modelMessage{size: int(c.Body.Size())}
	if !q.Envelope.Sender.IsNull() {
		if p := make([]byte, msg.size); readBody(p, c.Body) != nil || string(p) != string(bodyOf(q.ID(), msg.size)) {
			return nil, fmt.Errorf("the body is not what was queued")
		}
	} else {
		msg.size = -1
	}
	if q.Hold != nil {
		msg.hold = q.Hold.Kind
	}
	slots := r.queue.slots(r.queue.index.byID[q.ID()])
	for i, s := range q.States {
		msg.rcpts = append(msg.rcpts, modelRcpt{status: s.Status, attempts: s.Attempts, stored: slots[i].is(stored), next: s.Next})
	}
	return msg, nil
}
