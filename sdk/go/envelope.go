// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"time"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// AddScore adds a named symbol with its score, in thousandths, to the message.
// The sum of all stages' scores is the field abi.FieldScore.
func (h *Hook) AddScore(symbol string, milli int) error {
	return check(h.host.Score(symbol, milli))
}

// Branch is an envelope of its own that Split made, or the Parent.
type Branch int

// Parent is the envelope that a hook begins with.
const Parent Branch = 0

// Split moves recipients, by their indexes, to an envelope of their own in phase
// Message, which gets header, sender, body and route edits of its own with Use.
func (h *Hook) Split(rcpts ...int) (Branch, error) {
	b := make([]byte, 0, 4*len(rcpts))
	for _, i := range rcpts {
		b = appendU32(b, uint32(i))
	}
	n := h.host.Split(b)
	return Branch(n), check(n)
}

// Use makes b the envelope that the following calls see and edit.
func (h *Hook) Use(b Branch) error { return check(h.host.Use(int(b))) }

// All stands for all recipients in SetRoute and SetNextHop.
const All = -1

// SetRoute chooses a route by its name in pipeline.hcl.
func (h *Hook) SetRoute(idx int, route string) error {
	return check(h.host.RouteSet(idx, tlv(abi.RouteName, route)))
}

// SetNextHop chooses a next hop "host:port".
func (h *Hook) SetNextHop(idx int, nextHop string) error {
	return check(h.host.RouteSet(idx, tlv(abi.RouteNextHop, nextHop)))
}

// SetNotBefore says when the message is tried first, in phase Result when it is
// tried again. The zero time takes it back.
func (h *Hook) SetNotBefore(t time.Time) error { return h.setQueue(abi.QueueNotBefore, millis(t)) }

// SetExpires says when the message is given up. The zero time takes it back.
func (h *Hook) SetExpires(t time.Time) error { return h.setQueue(abi.QueueExpires, millis(t)) }

// SetPriority says how the message stands among those that are due: -100 to 100,
// higher goes first.
func (h *Hook) SetPriority(n int) error { return h.setQueue(abi.QueuePriority, int64(n)) }

// SetReport says whether the sender gets reports about the message: of failure,
// and of delay and success where it is due those.
func (h *Hook) SetReport(on bool) error {
	if on {
		return h.setQueue(abi.QueueDSN, 1)
	}
	return h.setQueue(abi.QueueDSN, 0)
}

// SetTenant says whose mail this is, in the phases Headers and Message: 1 to 64
// printable ASCII characters without a space, or empty for nobody's. What the
// listener or a header field said gives way; Get(abi.FieldTenant) reads it.
func (h *Hook) SetTenant(name string) error { return check(h.host.LabelSet(abi.LabelTenant, name)) }

// SetCampaign says which campaign the message belongs to, as SetTenant does.
func (h *Hook) SetCampaign(name string) error { return check(h.host.LabelSet(abi.LabelCampaign, name)) }

func (h *Hook) setQueue(key int, val int64) error { return check(h.host.QueueSet(key, val)) }

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Emission is a new message.
type Emission struct {
	Sender        string   // empty: the null sender
	Recipients    []string // one at least
	Header        string   // header section, lines ending in CRLF
	Body          string
	BodyOfMessage bool // the body of the message at hand, in place of Body
}

// Emit injects a new message when the hook commits.
func (h *Hook) Emit(e Emission) error {
	var b []byte
	if e.Sender != "" {
		b = appendTLV(b, abi.EmitSender, e.Sender)
	}
	for _, r := range e.Recipients {
		b = appendTLV(b, abi.EmitRecipient, r)
	}
	b = appendTLV(b, abi.EmitHeader, e.Header)
	switch {
	case e.BodyOfMessage:
		b = appendTLV(b, abi.EmitBodyOfMessage, "")
	default:
		b = appendTLV(b, abi.EmitBody, e.Body)
	}
	return check(h.host.Emit(b))
}
