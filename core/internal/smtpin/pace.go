// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"errors"
	"os"
	"time"
)

// errSlow ends a message whose client sends it more slowly than it may.
var errSlow = errors.New("smtpin: message comes too slowly")

// Small chunks are those that cost more than they carry.
const (
	smallChunk     = 1 << 10 // octets; fewer are few
	maxSmallChunks = 1000    // of one message
)

// pace is how long a client may let us wait for content: at most, at the start and
// after it has sent enough. Waiting takes from that, octets add to it, so that
// what it sends may come in bursts, but not below the rate for long. Only the time
// that we wait counts, not that which stages and disk take.
type pace struct {
	rate int           // octets a second; 0: any
	most time.Duration // above 0
	left time.Duration
}

func newPace(l *Limits) pace { return pace{l.DataRate, l.DataTimeout, l.DataTimeout} }

// waited tells of a wait of d for n octets.
func (p *pace) waited(d time.Duration, n int) {
	if p.rate == 0 {
		return
	}
	gain := time.Duration(n) * time.Second / time.Duration(p.rate)
	p.left = min(p.left-max(d, 0)+gain, p.most)
}

// fillContent waits for more octets of a message.
func (s *session) fillContent() error {
	s.grow()
	before, began, left := len(s.unread()), time.Now(), s.pace.left
	err := s.fill(s.deadline(left), inTransaction)
	s.pace.waited(time.Since(began), len(s.unread())-before)
	if left < s.pace.most && s.pace.left <= 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return errSlow
	}
	return err
}

// tooSlow says why such a message ends the session.
func (s *session) tooSlow() *refusal {
	return refuse(ReasonSlow, 421, 4, 2, "message comes too slowly, closing")
}

// small counts the chunks that carry next to nothing, and reports whether the
// message had too many of them. Each costs a reply and a pass through all that
// reads the message.
func (c *chunks) small() bool {
	if c.chunk.last || c.chunk.size >= smallChunk {
		return false
	}
	c.smalls++
	return c.smalls > maxSmallChunks
}
