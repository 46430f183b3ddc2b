// SPDX-License-Identifier: Apache-2.0

package outhttp

import (
	"fmt"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Bounds of one stage's line.
const (
	maxQueued  = 256     // requests that wait
	maxWaiting = 8 << 20 // octets of their bodies
	maxSenders = 4       // requests under way
)

// line is what one stage has queued. Its senders end when it is empty.
type line struct {
	waiting []Request
	octets  int
	senders int
}

// Check tells what is wrong with a request that is to be queued, or
// abi.ErrLimit while the stage's line is full.
func (c *Client) Check(r Request) error {
	if _, err := r.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.room(&r)
}

func (c *Client) room(r *Request) error {
	l := c.lines[r.Stage]
	if l == nil {
		l = &line{}
	}
	if c.closed || len(l.waiting) >= maxQueued || l.octets+len(r.Body) > maxWaiting {
		return fmt.Errorf("%w: too many requests of stage %s are waiting", abi.ErrLimit, r.Stage)
	}
	return nil
}

// Queue takes a request over and sends it as soon as its stage's earlier ones
// leave a sender free. The answer is dropped. It fails like Check; what fails
// later is logged and not tried again.
func (c *Client) Queue(r Request) error {
	if _, err := r.check(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.room(&r); err != nil {
		return err
	}
	l := c.lines[r.Stage]
	if l == nil {
		l = &line{}
		c.lines[r.Stage] = l
	}
	l.waiting, l.octets = append(l.waiting, r), l.octets+len(r.Body)
	if l.senders < maxSenders {
		l.senders++
		c.work.Go(func() { c.send(r.Stage, l) })
	}
	return nil
}

// send is one sender of a line.
func (c *Client) send(stage string, l *line) {
	for {
		r, ok := c.next(stage, l)
		if !ok {
			return
		}
		if resp, err := c.Do(c.ctx, r); err != nil {
			c.o.Logger.Warn("request of a plugin failed", "stage", stage, "error", err)
		} else if resp.Status >= 300 {
			c.o.Logger.Warn("request of a plugin was refused", "stage", stage, "status", resp.Status)
		}
	}
}

// next takes the first request out, or the sender off a line that is empty.
func (c *Client) next(stage string, l *line) (Request, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.waiting) == 0 {
		if l.senders--; l.senders == 0 {
			delete(c.lines, stage)
		}
		return Request{}, false
	}
	r := l.waiting[0]
	l.waiting[0] = Request{}
	l.waiting, l.octets = l.waiting[1:], l.octets-len(r.Body)
	return r, true
}
