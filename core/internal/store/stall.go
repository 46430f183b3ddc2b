// SPDX-License-Identifier: Apache-2.0

package store

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/postroad-mail/postroad/core/mail"
)

// DefaultStall is the default of Options.Stall.
const DefaultStall = 10 * time.Second

// stalls knows the writes and syncs that are under way, and finds those that do
// not come back. A disk that hangs is no fault yet: it may go on, as network
// disks do, and what is under way may still become durable.
type stalls struct {
	log   hclog.Logger
	limit time.Duration
	told  func(stalled bool) // called by watch alone

	mu      sync.Mutex
	last    uint64
	running map[uint64]operation
	stalled bool
}

type operation struct {
	name, path string
	since      time.Time
}

func newStalls(limit time.Duration, told func(bool), log hclog.Logger) *stalls {
	return &stalls{log: log, limit: limit, told: told, running: map[uint64]operation{}}
}

// begin notes an operation, until end.
func (s *stalls) begin(name, path string) uint64 {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.running[s.last] = operation{name, path, now}
	return s.last
}

func (s *stalls) end(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, id)
}

// now reports whether the disk was stalled when watch last looked.
func (s *stalls) now() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stalled
}

// watch looks at what is under way until stop is closed.
func (s *stalls) watch(stop <-chan struct{}) {
	t := time.NewTicker(max(s.limit/4, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			s.look(now)
		case <-stop:
			return
		}
	}
}

// look tells when the state has changed.
func (s *stalls) look(now time.Time) {
	s.mu.Lock()
	op, found := s.oldest()
	stalled := found && now.Sub(op.since) >= s.limit
	changed := stalled != s.stalled
	s.stalled = stalled
	s.mu.Unlock()
	switch {
	case !changed:
		return
	case stalled:
		s.log.Error("the disk does not answer: mail is refused with 452 and delivery waits until it does", "op", op.name, "path", op.path, "since", op.since)
	default:
		s.log.Warn("the disk answers again")
	}
	s.told(stalled)
}

// oldest returns the operation that is under way for the longest.
func (s *stalls) oldest() (first operation, found bool) {
	for _, op := range s.running {
		if !found || op.since.Before(first.since) {
			first, found = op, true
		}
	}
	return first, found
}

// errStalled refuses what would only wait for the disk.
func errStalled() error {
	return mail.NewReply(452, mail.Enhanced{4, 3, 1}, "mail storage does not answer in time, try again later")
}
