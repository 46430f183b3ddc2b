// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"strconv"
	"strings"

	"github.com/postroad-mail/postroad/core/mail"
)

func (h *Hook) extra() extras {
	if h.extras == nil {
		return extras{}
	}
	return *h.extras
}

// Chunk returns the chunk of phase body, valid until Run returns and to be read
// only; nil in other phases.
func (h *Hook) Chunk() []byte { return h.extra().chunk }

// ChunkOffset returns where the chunk starts in the body, in octets.
func (h *Hook) ChunkOffset() int64 { return h.extra().offset }

// Password returns what the client gave as its password, in phase auth alone,
// where the mechanism shows one. It is valid until Run returns.
func (h *Hook) Password() ([]byte, bool) {
	p := h.extra().password
	return p, p != nil && h.phase == mail.PhaseAuth
}

// Delivery returns what is known of the delivery attempt, nil outside the phases
// of delivery. It is to be read only.
func (h *Hook) Delivery() *Delivery { return h.b.delivery }

// Setup is what a hook outside any pipeline can have beside a message.
type Setup struct {
	Chunk    []byte
	Offset   int64
	EHLO     []string
	Password []byte
	Delivery *Delivery
	Dry      bool
}

// With gives a hook made by NewHook what some phases need, and returns it.
func (h *Hook) With(s Setup) *Hook {
	h.extras = &extras{chunk: s.Chunk, offset: s.Offset, ehlo: s.EHLO, password: s.Password}
	h.b.delivery, h.dry = s.Delivery, s.Dry
	return h
}

// Emitted returns what the hook has emitted; it goes out when the hook commits.
func (h *Hook) Emitted() []Emission { return h.emitted }

// Children returns the envelopes that Split made, by handle from 1 on, with
// their header and the body that was written for them, if any, when the hook is
// committed.
func (h *Hook) Children() []*Message {
	var ms []*Message
	for _, c := range h.children {
		ms = append(ms, &Message{Envelope: c.env, Header: c.header, Body: c.body})
	}
	return ms
}

func indexes(is []int) string {
	var b strings.Builder
	for n, i := range is {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(i))
	}
	return b.String()
}

func joined(as []mail.Address) string {
	var b strings.Builder
	for i, a := range as {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(string(a))
	}
	return b.String()
}
