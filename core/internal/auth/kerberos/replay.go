// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"errors"
	"sync"
	"time"
)

// maxReplays is how many logins are remembered.
const maxReplays = 200_000

// Replays remember what clients have sent, so that nobody sends it a second time.
// They live as long as the process, and are used by many sessions at once.
type Replays struct {
	mu    sync.Mutex
	until map[[32]byte]time.Time
	prune time.Time
}

// NewReplays returns an empty memory.
func NewReplays() *Replays { return &Replays{until: map[[32]byte]time.Time{}} }

var errReplays = errors.New("kerberos: there are too many logins to remember them all")

// seen reports whether a message was seen before, and remembers it until then.
// Where there is no room it is an error: to forget one would let it in again.
func (r *Replays) seen(message [32]byte, now, until time.Time) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(now, until)
	if _, ok := r.until[message]; ok {
		return true, nil
	}
	if len(r.until) >= maxReplays {
		return false, errReplays
	}
	r.until[message] = until
	return false, nil
}

// forget drops what is past, once in the time for which things are remembered.
func (r *Replays) forget(now, until time.Time) {
	if now.Before(r.prune) {
		return
	}
	r.prune = until
	for m, t := range r.until {
		if !now.Before(t) {
			delete(r.until, m)
		}
	}
}
