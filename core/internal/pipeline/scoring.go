// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"
	"strings"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of scores and of options of the queue.
const (
	maxScores = 1000            // symbols of one message
	maxSymbol = 128             // octets of a symbol
	maxMillis = 253402300799999 // 9999-12-31T23:59:59.999Z
)

// AddScore adds a named symbol with its score, in thousandths, in the phases
// from mail to message. The sum is Envelope().Score(), and the fact
// message.score.
func (h *Hook) AddScore(symbol string, milli int32) error {
	if !scores(h.phase) {
		return abi.ErrWrongPhase
	}
	if symbol == "" || len(symbol) > maxSymbol || !printable(symbol) || strings.Contains(symbol, " ") {
		return abi.ErrBadArgument
	}
	if len(h.env.Scores) >= maxScores {
		return abi.ErrLimit
	}
	e := h.editEnvelope()
	e.Scores = append(e.Scores, mail.Score{Stage: h.step.Name, Symbol: symbol, Milli: milli})
	h.shared = true
	return h.note("score", symbol, strconv.Itoa(int(milli)))
}

// SetQueue sets an option of the queued message, a key of abi.Queue*, in phase
// message; in phase result only not_before, which is when to try again. Times
// are milliseconds since 1970, and 0 takes one back.
func (h *Hook) SetQueue(key int, val int64) error {
	if h.phase != mail.PhaseMessage && (h.phase != mail.PhaseResult || key != abi.QueueNotBefore) {
		return abi.ErrWrongPhase
	}
	if err := checkQueue(key, val); err != nil {
		return err
	}
	e := h.editEnvelope()
	switch key {
	case abi.QueueNotBefore:
		e.NotBefore = millis(val)
	case abi.QueueExpires:
		e.Expires = millis(val)
	case abi.QueuePriority:
		e.Priority = int(val)
	case abi.QueueDSN:
		e.NoDSN = val == 0
	}
	h.shared = true
	return h.note("queue_set", strconv.Itoa(key), strconv.FormatInt(val, 10))
}

func checkQueue(key int, val int64) error {
	low, high := int64(0), int64(0)
	switch key {
	case abi.QueueNotBefore, abi.QueueExpires:
		high = maxMillis
	case abi.QueuePriority:
		low, high = -mail.MaxPriority, mail.MaxPriority
	case abi.QueueDSN:
		high = 1
	default:
		return abi.ErrUnsupported
	}
	if val < low || val > high {
		return abi.ErrBadArgument
	}
	return nil
}

func millis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
