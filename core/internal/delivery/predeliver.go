// SPDX-License-Identifier: Apache-2.0

package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// outfit makes a job of a task: it asks once more whether the recipients may be
// tried, opens the message, and has stages edit it where the route has any. nil:
// nothing is left of t.
func (s *Scheduler) outfit(ctx context.Context, t *task) *Job {
	if t = s.again(t); t == nil {
		return nil
	}
	content, err := open(t.msg)
	if err != nil {
		s.settleTask(t, mail.Outcome{Reply: *mail.OurFault(fmt.Errorf("open message: %w", err))})
		return nil
	}
	j := &Job{Envelope: t.msg.Envelope(), Recipients: t.rcpts, Header: content.Header, Body: content.Body,
		task: t, close: content.Close}
	if s.asks(t.hop.key.route, mail.PhasePredeliver) {
		return s.edited(ctx, j)
	}
	return j
}

// open opens a message; a bug in that is an error.
func open(m Message) (c Content, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return m.Open()
}

// edited asks the stages of phase predeliver. What they decided against going on
// is done, and the job is over.
func (s *Scheduler) edited(ctx context.Context, j *Job) *Job {
	var e Edited
	t := j.task
	ok := s.safely(func() {
		if s.attempt(j); j.attempt != nil {
			e = j.attempt.Predeliver(ctx, facts(t.hop.key, t.msg, t.rcpts), t.rcpts)
		}
	})
	if ok && ctx.Err() == nil && e.goesOn() {
		return j.with(&e)
	}
	s.shut(j)
	switch {
	case !ok:
		s.settleTask(t, mail.Outcome{Reply: *mail.OurFault(errPanic)})
	case ctx.Err() != nil: // the stages were cut off, and what they said is nothing
		s.giveUp(t.msg, t.rcpts, time.Time{})
	default:
		var done []Settled
		for _, r := range t.rcpts {
			d, _ := s.ruled(t.msg, t.hop.key.route, r, &e.Ruling)
			done = append(done, d)
		}
		s.record(t.msg, t.hop.key.route, done)
	}
	return nil
}

// attempt starts an attempt at what is queued.
func (s *Scheduler) attempt(j *Job) {
	t := j.task
	j.attempt = s.o.Hooks.Begin(t.hop.key.route.Name, t.msg.Envelope(), Content{Header: j.Header, Body: j.Body})
}

func (r *Ruling) goesOn() bool {
	switch r.Verdict {
	case mail.Reject, mail.Tempfail, mail.Discard, mail.Defer:
		return false
	}
	return true
}

// with puts what stages edited in place of what is queued.
func (j *Job) with(e *Edited) *Job {
	if e.Changed {
		j.Envelope, j.Header, j.Body = e.Envelope, e.Header, e.Body
	}
	return j
}

// shut ends what a job holds.
func (s *Scheduler) shut(j *Job) {
	if j.attempt != nil {
		s.safely(j.attempt.End)
		j.attempt = nil
	}
	if j.close != nil {
		j.close()
	}
}

// fetch has the next task outfitted beside the connection, when stages are to be
// asked: the mail before it is not kept waiting. It reports whether there is
// something to collect.
func (w *worker) fetch(t *task) {
	ahead := make(chan *Job, 1)
	w.ahead = ahead
	w.fetching(t.msg.Envelope().ID)
	w.s.errands.all.Go(func() {
		var j *Job
		defer func() { ahead <- j }()
		w.s.safely(func() { j = w.s.outfit(w.ctx, t) })
	})
}

func (w *worker) fetching(id string) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.aheadID = id
}

// collect takes what fetch prepared; false when that is still under way and we
// do not wait.
func (w *worker) collect(wait bool) (*Job, bool) {
	if !wait {
		select {
		case j := <-w.ahead:
			w.ahead = nil
			w.fetching("")
			return j, true
		default:
			return nil, false
		}
	}
	j := <-w.ahead
	w.ahead = nil
	w.fetching("")
	return j, true
}

// leaveAhead puts what nobody collects back in line.
func (w *worker) leaveAhead() {
	if w.ahead == nil {
		return
	}
	if j, _ := w.collect(true); j != nil {
		w.s.shut(j)
		if !w.s.requeue(j.task) {
			w.s.giveUp(j.task.msg, j.task.rcpts, time.Time{})
		}
	}
}
