// SPDX-License-Identifier: Apache-2.0

package wasmhost

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// Isolation says how long an instance lives.
const (
	IsolationCall    = "call"    // pooled; leased for one call at a time (the default)
	IsolationMessage = "message" // leased for a transaction, or a delivery attempt
	IsolationSession = "session" // leased for a client's connection
	IsolationRestore = "restore" // pooled; its memory is put back after each call
	IsolationFresh   = "fresh"   // a new instance for every call
)

// isolations are all levels, from the cheapest to the dearest in time.
var isolations = []string{IsolationCall, IsolationMessage, IsolationSession, IsolationRestore, IsolationFresh}

// keeps reports whether an instance may keep something of one call for the next.
func (l *Limits) keeps() bool {
	return l.Isolation == IsolationMessage || l.Isolation == IsolationSession
}

// Limits bound one stage. A zero field means the default. A call that can read
// octets of the message gets 5,000 units of fuel more for each, up to 10 G.
type Limits struct {
	Memory          int64         // octets of linear memory per instance; 32 MiB
	Deadline        time.Duration // of one call in a session phase, and per chunk in body; 250 ms
	MessageDeadline time.Duration // of one call in any other phase, and of starting an instance; 5 s
	Fuel            int64         // of one call in a session phase, and per chunk in body; 50 M
	MessageFuel     int64         // of one call in any other phase; 500 M
	Depth           int           // call depth, in frames; 4,096
	Instances       int           // instances at one time; twice the processors, at least 8
	Isolation       string        // one of the Isolation constants
}

// Defaults and bounds of Limits, and limits that are the same for all stages.
const (
	defaultMemory          = 32 << 20
	maxMemory              = 1 << 30
	defaultDeadline        = 250 * time.Millisecond
	defaultMessageDeadline = 5 * time.Second
	defaultFuel            = 50_000_000
	defaultMessageFuel     = 500_000_000
	fuelPerOctet           = 5_000
	maxMessageFuel         = 10_000_000_000
	initFuel               = 200_000_000 // start section, _initialize, pr_init: each
	closeFuel              = 10_000_000
	closeDeadline          = 100 * time.Millisecond
	defaultDepth           = 4_096
	maxDepth               = 65_536
	maxCalls               = 10_000 // calls after which an instance is replaced
)

// Limits of one call that guard the host's own resources.
const (
	maxLogLines    = 100
	maxLogBytes    = 16 << 10
	maxLogLine     = 1 << 10
	maxHeaderEdits = 1_000
	maxEdits       = 10_000  // calls that edit, all kinds together
	maxEditOctets  = 4 << 20 // octets in the journal
	maxBodies      = 8       // times that a new body may be started
	maxKVOps       = 1_000
	maxKVBytes     = 1 << 20 // keys and values waiting for the commit
	maxKey         = 1 << 10
	maxValue       = 64 << 10
	maxNameLen     = 255 // of a store, bucket or route
	maxHandles     = 64  // stores, and buckets, that an instance may hold
	maxReadChunk   = 1 << 20
	maxTTL         = 10 * 365 * 24 * time.Hour
	maxScores      = 100
	maxEmitted     = 100 // recipients of an emitted message
)

// Limits of one call that guard others: servers that it asks, and monitors.
const (
	maxLookups       = 100
	maxAnswer        = 64 << 10 // octets of an answer to dns
	maxRequests      = 20
	maxURL           = 8 << 10
	maxRequestFields = 64
	maxRequestHeader = 8 << 10 // octets of one header field
	maxRequestBody   = 1 << 20
	maxAnswerBody    = 1 << 20
	maxAnswerBodies  = 4 << 20 // octets of all answers that the call holds
	maxMetrics       = 100
	maxMetricText    = 1 << 10 // octets of a name with its labels
	maxLabel         = 64      // octets of a metric's name, a label's name, a label's value
	maxLabels        = 4
)

// withDefaults fills in what is zero and refuses what is out of range.
func (l Limits) withDefaults() (Limits, error) {
	l.Memory = orInt(l.Memory, defaultMemory)
	l.Fuel = orInt(l.Fuel, defaultFuel)
	l.MessageFuel = orInt(l.MessageFuel, defaultMessageFuel)
	l.Deadline = time.Duration(orInt(int64(l.Deadline), int64(defaultDeadline)))
	l.MessageDeadline = time.Duration(orInt(int64(l.MessageDeadline), int64(defaultMessageDeadline)))
	l.Depth = int(orInt(int64(l.Depth), defaultDepth))
	l.Instances = int(orInt(int64(l.Instances), int64(max(8, 2*runtime.GOMAXPROCS(0)))))
	if l.Isolation == "" {
		l.Isolation = IsolationCall
	}
	return l, l.check()
}

func orInt(v, def int64) int64 {
	if v == 0 {
		return def
	}
	return v
}

func (l *Limits) check() error {
	switch {
	case l.Memory < 64<<10 || l.Memory > maxMemory:
		return fmt.Errorf("limit memory = %d is out of range; give 64KiB to 1GiB", l.Memory)
	case l.Fuel < 0 || l.MessageFuel < 0:
		return fmt.Errorf("limit fuel is negative; give a positive number")
	case l.Deadline < 0 || l.MessageDeadline < 0:
		return fmt.Errorf("limit deadline is negative; give a time such as \"250ms\"")
	case l.Depth < 0 || l.Depth > maxDepth:
		return fmt.Errorf("limit depth = %d is out of range; give 1 to %d", l.Depth, maxDepth)
	case l.Instances < 0 || l.Instances > 10_000:
		return fmt.Errorf("limit instances = %d is out of range; give 1 to 10000", l.Instances)
	case !slices.Contains(isolations, l.Isolation):
		return fmt.Errorf("isolation %q is unknown; known are %s", l.Isolation, strings.Join(isolations, ", "))
	}
	return nil
}

// asMessage reports whether a call in phase p has the limits of a message: those
// that read one, those of the delivery side, and tick. The others answer a
// command of a session that waits.
func asMessage(p mail.Phase) bool {
	switch p {
	case mail.PhaseHeaders, mail.PhaseMessage, mail.PhaseQueued, mail.PhaseRoute, mail.PhasePredeliver,
		mail.PhaseResult, mail.PhaseBounce, mail.PhaseTick:
		return true
	}
	return false
}

// deadline returns how long one call in phase p may take.
func (l *Limits) deadline(p mail.Phase) time.Duration {
	if asMessage(p) {
		return l.MessageDeadline
	}
	return l.Deadline
}

// fuel returns the budget of one call in phase p that can read size octets of
// the message: all of it, its header, or a chunk of its body.
func (l *Limits) fuel(p mail.Phase, size int64) int64 {
	base := l.Fuel
	if asMessage(p) {
		base = l.MessageFuel
	}
	if base >= maxMessageFuel || size > (maxMessageFuel-base)/fuelPerOctet {
		return max(base, maxMessageFuel)
	}
	return base + size*fuelPerOctet
}
