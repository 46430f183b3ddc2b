// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of what stages may leave behind.
const (
	maxReplyText = 450       // octets, so that the line stays under 512 (RFC 5321 §4.5.3.1.5)
	maxMetaBytes = 64 << 10  // octets of all notes of a message, and of a session
	maxFields    = 10_000    // header fields a message may grow to
	maxEdits     = 1_000_000 // entries in a journal
)

// SetReply sets the reply that goes with a reject or a tempfail: code 400-599,
// and one line of printable text, which is UTF-8. It may be called again.
func (h *Hook) SetReply(code int, enh mail.Enhanced, text string) error {
	if !replies(h.phase) {
		return abi.ErrWrongPhase
	}
	r, err := makeReply(code, enh, text)
	if err == nil {
		h.reply = r
	}
	return err
}

func makeReply(code int, enh mail.Enhanced, text string) (*mail.Reply, error) {
	class := code / 100
	if class < 2 || class > 5 || class == 3 || len(text) > maxReplyText || !printable(text) {
		return nil, abi.ErrBadArgument
	}
	if enh == (mail.Enhanced{}) {
		enh = mail.Enhanced{class, 7, 1}
	}
	if enh[0] != class || enh[1] < 0 || enh[1] > 999 || enh[2] < 0 || enh[2] > 999 {
		return nil, abi.ErrBadArgument
	}
	return mail.NewReply(code, enh, text), nil
}

func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return false
		}
	}
	return true
}

// SetRecipientVerdict decides for one recipient in phase message: any verdict
// but accept. A nil reply means the usual one.
func (h *Hook) SetRecipientVerdict(idx int, v mail.Verdict, r *mail.Reply) error {
	if h.phase != mail.PhaseMessage {
		return abi.ErrWrongPhase
	}
	if !h.somewhere(idx) {
		return abi.ErrNotFound
	}
	if v == mail.Accept || !h.phase.Allowed(v) {
		return abi.ErrBadArgument
	}
	if r != nil {
		var err error
		if r, err = makeReply(r.Code, r.Enhanced, r.Text); err != nil {
			return err
		}
		if v == mail.Reject && !r.Permanent() || v == mail.Tempfail && !r.Temporary() {
			return abi.ErrBadArgument
		}
	}
	if h.rcpts == nil {
		h.rcpts = map[int]fate{}
	}
	h.rcpts[idx] = fate{verdict: v, reply: replyOr(r, v), stage: h.step.Name}
	return h.note("rcpt_verdict", strconv.Itoa(idx), v.String())
}

// AddHeader puts a new header field at pos: abi.HdrTop, abi.HdrEnd, 1+2·id in
// front of the field with that id, 2+2·id behind it. It returns the new id. The
// value is folded here; CR, LF and NUL are refused. In phase bounce it is a field
// of the report to come.
func (h *Hook) AddHeader(pos int32, name, value string) (int, error) {
	if !editsHeader(h.phase) && h.phase != mail.PhaseBounce {
		return -1, abi.ErrWrongPhase
	}
	hd, err := h.ownHeader(len(name) + len(value))
	if err != nil {
		return -1, err
	}
	var id int
	switch {
	case pos == 0:
		id, err = hd.InsertTop(name, value)
	case pos == -1:
		id, err = hd.Append(name, value)
	case pos < -1:
		err = abi.ErrBadArgument
	case pos%2 == 1:
		id, err = hd.InsertBefore(int(pos-1)/2, name, value)
	default:
		id, err = hd.InsertAfter(int(pos-2)/2, name, value)
	}
	if err != nil {
		return -1, headerErr(err)
	}
	if h.phase == mail.PhaseBounce {
		f, _ := hd.Field(id)
		h.added = append(h.added, f.Raw...)
	}
	return id, h.note("hdr_add", name, value)
}

// SetHeader replaces the value of a header field. Our own Received field and a
// line without a name cannot be changed.
func (h *Hook) SetHeader(id int, value string) error {
	if id >= 0 && h.b.own == id+1 {
		return abi.ErrDenied
	}
	hd, err := h.editHeader(len(value))
	if err != nil {
		return err
	}
	if err := hd.Set(id, value); err != nil {
		return headerErr(err)
	}
	f, _ := hd.Field(id)
	return h.note("hdr_set", f.Name(), value)
}

// DeleteHeader takes a header field out. Our own Received field stays.
func (h *Hook) DeleteHeader(id int) error {
	if id >= 0 && h.b.own == id+1 {
		return abi.ErrDenied
	}
	hd, err := h.editHeader(0)
	if err != nil {
		return err
	}
	f, _ := hd.Field(id)
	if err := hd.Delete(id); err != nil {
		return headerErr(err)
	}
	return h.note("hdr_del", f.Name(), "")
}

// editHeader returns the hook's own copy of the header, with room for more
// octets.
func (h *Hook) editHeader(more int) (*mail.Header, error) {
	if !editsHeader(h.phase) {
		return nil, abi.ErrWrongPhase
	}
	return h.ownHeader(more)
}

func (h *Hook) ownHeader(more int) (*mail.Header, error) {
	if h.header.Len() >= maxFields || h.header.Size()+int64(more) > h.p.o.MaxHeader {
		return nil, abi.ErrLimit
	}
	if h.header == &h.b.header {
		c := h.b.header.Clone()
		h.header = &c
	}
	h.shared = true
	return h.header, nil
}

func headerErr(err error) error {
	switch {
	case errors.Is(err, mail.ErrNoField):
		return abi.ErrNotFound
	case errors.Is(err, mail.ErrFieldName), errors.Is(err, mail.ErrFieldValue):
		return abi.ErrBadArgument
	}
	return err
}

// editEnvelope returns the hook's own copy of the envelope.
func (h *Hook) editEnvelope() *mail.Envelope {
	if h.env == h.b.env {
		h.env = h.b.env.Clone()
	}
	return h.env
}

// AddRecipient adds a recipient in phase message and returns its index.
func (h *Hook) AddRecipient(a mail.Address) (int, error) {
	if h.phase != mail.PhaseMessage {
		return -1, abi.ErrWrongPhase
	}
	if len(h.env.Recipients) >= h.p.o.MaxRcpt {
		return -1, abi.ErrLimit
	}
	if err := h.checkAddress(a); err != nil {
		return -1, err
	}
	e := h.editEnvelope()
	e.Recipients = append(e.Recipients, mail.Recipient{Address: a})
	h.reserve(mail.Recipient{Address: a})
	idx := len(e.Recipients) - 1
	return idx, h.note("rcpt_add", strconv.Itoa(idx), string(a))
}

// SetRecipient changes a recipient's address in phase rcpt (its own) or message.
func (h *Hook) SetRecipient(idx int, a mail.Address) error {
	if err := h.mayEditRecipient(idx); err != nil {
		return err
	}
	if err := h.checkAddress(a); err != nil {
		return err
	}
	h.editEnvelope().Recipients[idx].Address = a
	return h.note("rcpt_set", strconv.Itoa(idx), string(a))
}

// RemoveRecipient takes a recipient out of the envelope in phase message.
func (h *Hook) RemoveRecipient(idx int) error {
	if h.phase != mail.PhaseMessage {
		return abi.ErrWrongPhase
	}
	if err := h.mayEditRecipient(idx); err != nil {
		return err
	}
	h.editEnvelope().Recipients[idx].Removed = true
	return h.note("rcpt_del", strconv.Itoa(idx), "")
}

func (h *Hook) mayEditRecipient(idx int) error {
	switch {
	case h.phase != mail.PhaseRcpt && h.phase != mail.PhaseMessage:
		return abi.ErrWrongPhase
	case !h.Visible(idx):
		return abi.ErrNotFound
	case h.phase == mail.PhaseRcpt && idx != h.arg:
		return abi.ErrWrongPhase
	}
	return nil
}

func (h *Hook) checkAddress(a mail.Address) error {
	if _, err := mail.ParseAddress(string(a), h.env.SMTPUTF8); err != nil {
		return abi.ErrBadArgument
	}
	return nil
}

// SetSender changes the envelope's sender in the phases mail, message and
// predeliver; the empty address is the null reverse-path.
func (h *Hook) SetSender(a mail.Address) error {
	if !editsSender(h.phase) {
		return abi.ErrWrongPhase
	}
	if !a.IsNull() {
		if err := h.checkAddress(a); err != nil {
			return err
		}
	}
	h.editEnvelope().Sender = a
	h.shared = true
	return h.note("sender_set", "", string(a))
}

// SetRoute chooses a route by name, or a raw next hop "host:port", for the
// recipient with index idx, or for all visible ones when idx is -1. In the phases
// rcpt and route that is the hook's own recipient alone.
func (h *Hook) SetRoute(idx int, route, nextHop string) error {
	return h.setRoute(idx, mail.Recipient{Route: route, NextHop: nextHop})
}

// SetOutsideHop is SetRoute with a raw next hop that must have a public address.
func (h *Hook) SetOutsideHop(idx int, nextHop string) error {
	return h.setRoute(idx, mail.Recipient{NextHop: nextHop, Outside: true})
}

// setRoute takes over where to goes.
func (h *Hook) setRoute(idx int, to mail.Recipient) error {
	if !routes(h.phase) {
		return abi.ErrWrongPhase
	}
	own := h.phase == mail.PhaseRcpt || h.phase == mail.PhaseRoute
	if own && idx == -1 {
		idx = h.arg
	}
	if own && idx >= 0 && idx != h.arg {
		return abi.ErrWrongPhase
	}
	if idx >= 0 && !h.Visible(idx) {
		return abi.ErrNotFound
	}
	if idx < -1 || (to.Route == "") == (to.NextHop == "") || !printable(to.Route+to.NextHop) {
		return abi.ErrBadArgument
	}
	e := h.editEnvelope()
	for i := range e.Recipients {
		if r := &e.Recipients[i]; !r.Removed && (idx == -1 || idx == i) {
			r.Route, r.NextHop, r.Outside = to.Route, to.NextHop, to.Outside
		}
	}
	return h.note("route_set", strconv.Itoa(idx), to.Route+to.NextHop)
}

// SetMeta notes value under "stage.key". An empty value takes the note away.
func (h *Hook) SetMeta(scope int, key, value string) error {
	if !notes(h.phase) || scope == ScopeMessage && ofSession(h.phase) {
		return abi.ErrWrongPhase
	}
	if key == "" || strings.ContainsAny(key, "\x00\r\n") {
		return abi.ErrBadArgument
	}
	own := h.step.Name + "." + key
	switch scope {
	case ScopeMessage:
		if metaBytes(own, value, h.env.Meta, nil) > maxMetaBytes {
			return abi.ErrLimit
		}
		e := h.editEnvelope()
		if e.Meta == nil {
			e.Meta = map[string]string{}
		}
		setOrDelete(e.Meta, own, value)
		h.shared = true
	case ScopeSession:
		if metaBytes(own, value, h.env.Client.Notes, h.notes) > maxMetaBytes {
			return abi.ErrLimit
		}
		if h.env.Client.Notes == nil {
			return abi.ErrUnsupported
		}
		if h.notes == nil {
			h.notes = map[string]string{}
		}
		h.notes[own] = value // empty: deleted at the commit
	default:
		return abi.ErrBadArgument
	}
	return h.note("meta_set", own, value)
}

// setOrDelete notes a value; an empty one deletes the note.
func setOrDelete(m map[string]string, key, value string) {
	if value == "" {
		delete(m, key)
		return
	}
	m[key] = value
}

// metaBytes returns the octets of all notes as they will be once key has that
// value. What is in edited stands before what is in notes; an empty value is
// none.
func metaBytes(key, value string, notes, edited map[string]string) int {
	n := 0
	add := func(k, v string) {
		if v != "" {
			n += len(k) + len(v)
		}
	}
	add(key, value)
	for k, v := range edited {
		if k != key {
			add(k, v)
		}
	}
	for k, v := range notes {
		if _, over := edited[k]; !over && k != key {
			add(k, v)
		}
	}
	return n
}

// WriteBody appends to the new body in the phases message and predeliver; with
// restart it begins a new one. Line ends are repaired to CRLF; NUL is refused.
func (h *Hook) WriteBody(p []byte, restart bool) error {
	if !editsBody(h.phase) {
		return abi.ErrWrongPhase
	}
	if h.p.o.NewBody == nil {
		return abi.ErrUnsupported
	}
	if h.body == nil || restart {
		if h.body != nil {
			h.body.w.Abort()
		}
		h.body = &bodyEdit{w: h.p.o.NewBody(), room: h.p.o.MaxBody}
		if err := h.note("body_write", "", ""); err != nil {
			return err
		}
	}
	h.shared = true
	return h.body.write(p)
}

// OnCommit puts f off until the hook is committed; its error makes the stage
// fail. It is for effects outside the journal, such as writes to a store.
func (h *Hook) OnCommit(f func() error) { h.onCommit = append(h.onCommit, f) }

func (h *Hook) note(op, target, value string) error {
	if len(h.edits) >= maxEdits {
		return abi.ErrLimit
	}
	h.edits = append(h.edits, Edit{op, target, value})
	return nil
}
