// SPDX-License-Identifier: Apache-2.0

package postroad

import (
	"errors"
	"io"

	"github.com/postroad-mail/postroad/sdk/abi"
)

// Hook is one call of a plugin: facts to read, edits to make. Edits take effect
// when the hook returns a verdict, and none does when it returns an error. A
// Hook is valid until On returns.
type Hook struct {
	Env
	phase Phase
	arg   int
	buf   []byte
}

// NewHook returns a hook on a host. Guests get theirs from the SDK, tests make
// one with a fake host.
func NewHook(host Host, phase Phase, arg int) *Hook {
	return &Hook{Env: Env{host}, phase: phase, arg: arg}
}

// Phase returns the phase of the call.
func (h *Hook) Phase() Phase { return h.phase }

// Arg returns what the phase is about: the recipient's index in the phases Rcpt,
// Route and Bounce, the length of the chunk in phase Body, the number of the
// attempt in the phases Predeliver and Result, else 0.
func (h *Hook) Arg() int { return h.arg }

// text reads a value into the hook's buffer; an absent one is empty.
func (h *Hook) text(f func([]byte) int) (string, error) {
	b, err := read(h.buf, f)
	if errors.Is(err, abi.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	h.buf = b[:0]
	return string(b), nil
}

// Get returns a text or bytes field of package abi, empty when it is absent:
// h.Get(abi.FieldClientIP).
func (h *Hook) Get(field int) (string, error) { return h.GetAt(field, 0) }

// GetAt is Get for fields of recipients.
func (h *Hook) GetAt(field, idx int) (string, error) {
	return h.text(func(b []byte) int { return h.host.Get(field, idx, b) })
}

// GetInt returns an integer field of package abi; ok is false when it is absent.
func (h *Hook) GetInt(field int) (n int64, ok bool) { return h.GetIntAt(field, 0) }

// GetIntAt is GetInt for fields of recipients.
func (h *Hook) GetIntAt(field, idx int) (n int64, ok bool) {
	n = h.host.GetInt(field, idx)
	return n, n != abi.Absent
}

// Sender returns the envelope sender, empty for the null sender.
func (h *Hook) Sender() (string, error) { return h.Get(abi.FieldSender) }

// RecipientCount returns how many recipient indexes there are, removed ones
// included.
func (h *Hook) RecipientCount() int {
	n, _ := h.GetInt(abi.FieldRcptCount)
	return max(int(n), 0)
}

// Recipient returns the address of a recipient, empty when it was removed or is
// not for this stage.
func (h *Hook) Recipient(idx int) (string, error) { return h.GetAt(abi.FieldRcpt, idx) }

// OriginalRecipient returns the address that RCPT gave, empty for a recipient
// that a stage added.
func (h *Hook) OriginalRecipient(idx int) (string, error) {
	return h.GetAt(abi.FieldOriginalRcpt, idx)
}

// Enhanced is an enhanced status code (RFC 3463); zeros mean "class.7.1".
type Enhanced [3]int

func (e Enhanced) pack() int { return e[0]<<20 | e[1]<<10 | e[2] }

// Reply sets the reply that goes with the verdict of this hook: 5xx for Reject,
// 4xx for Tempfail.
func (h *Hook) Reply(code int, enhanced Enhanced, text string) error {
	return check(h.host.Reply(code, enhanced.pack(), text))
}

// Reject refuses for good with 550 5.7.1 and text: return h.Reject("…").
func (h *Hook) Reject(text string) (Verdict, error) {
	return Reject, h.Reply(550, Enhanced{5, 7, 1}, text)
}

// Tempfail refuses for now with 451 4.7.1 and text.
func (h *Hook) Tempfail(text string) (Verdict, error) {
	return Tempfail, h.Reply(451, Enhanced{4, 7, 1}, text)
}

// RecipientVerdict gives one recipient a verdict of its own in phase Message.
// Code 0 is the usual reply.
func (h *Hook) RecipientVerdict(idx int, v Verdict, code int, enhanced Enhanced, text string) error {
	return check(h.host.RcptVerdict(idx, int(v), code, enhanced.pack(), text))
}

// HeaderID is a header field of the message, the same during the whole hook.
type HeaderID int

// None is the HeaderID in front of the first field: where FindHeader begins.
const None HeaderID = -1

// Place is where a new header field goes.
type Place int

// Places that need no other field.
const (
	Top Place = abi.PosTop
	End Place = abi.PosEnd
)

// Before and After are the places around a field.
func Before(id HeaderID) Place { return Place(1 + 2*id) }

// After is the place behind a field.
func After(id HeaderID) Place { return Place(2 + 2*id) }

// FindHeader returns the first field of that name behind after, in any case;
// every field when the name is empty. ok is false when there is none.
func (h *Hook) FindHeader(name string, after HeaderID) (id HeaderID, ok bool, err error) {
	n := h.host.HdrFind(name, int(after))
	if n == int(abi.ErrNotFound) {
		return None, false, nil
	}
	return HeaderID(n), n >= 0, check(n)
}

// Header returns the value of the first field of that name, decoded (RFC 2047);
// empty when there is none.
func (h *Hook) Header(name string) (string, error) {
	id, ok, err := h.FindHeader(name, None)
	if !ok || err != nil {
		return "", err
	}
	return h.HeaderPart(id, abi.HdrDecoded)
}

// HeaderPart returns a part of a field: abi.HdrName, HdrRaw, HdrUnfolded or
// HdrDecoded.
func (h *Hook) HeaderPart(id HeaderID, part int) (string, error) {
	b, err := read(h.buf, func(b []byte) int { return h.host.HdrGet(int(id), part, b) })
	if err != nil {
		return "", err
	}
	h.buf = b[:0]
	return string(b), nil
}

// AddHeader adds a field. Text outside ASCII is encoded (RFC 2047) unless the
// transaction has SMTPUTF8.
func (h *Hook) AddHeader(at Place, name, value string) (HeaderID, error) {
	n := h.host.HdrAdd(int(at), name, h.encode(value))
	return HeaderID(n), check(n)
}

// SetHeader replaces the value of a field; name and place stay.
func (h *Hook) SetHeader(id HeaderID, value string) error {
	return check(h.host.HdrSet(int(id), h.encode(value)))
}

// DeleteHeader takes a field out.
func (h *Hook) DeleteHeader(id HeaderID) error { return check(h.host.HdrDel(int(id))) }

func (h *Hook) encode(value string) string {
	if isASCII(value) {
		return value
	}
	if flags, ok := h.GetInt(abi.FieldFlags); ok && flags&abi.FlagSMTPUTF8 != 0 {
		return value
	}
	return encodeWords(value)
}

// AddEHLO adds a line "KEYWORD params" to the list that EHLO answers with, in
// phase Helo.
func (h *Hook) AddEHLO(line string) error { return check(h.host.EHLOSet(abi.EHLOAdd, line)) }

// RemoveEHLO takes a keyword out of that list; abi.ErrNotFound when it is not in
// it.
func (h *Hook) RemoveEHLO(keyword string) error {
	return check(h.host.EHLOSet(abi.EHLORemove, keyword))
}

// AddRecipient adds a recipient in phase Message and returns its index.
func (h *Hook) AddRecipient(address string) (int, error) {
	n := h.host.RcptAdd(address)
	return n, check(n)
}

// SetRecipient gives a recipient another address: in phase Rcpt the hook's own,
// in phase Message any.
func (h *Hook) SetRecipient(idx int, address string) error {
	return check(h.host.RcptSet(idx, address))
}

// DeleteRecipient takes a recipient out of the envelope in phase Message.
func (h *Hook) DeleteRecipient(idx int) error { return check(h.host.RcptDel(idx)) }

// SetSender sets the envelope sender, empty for the null sender.
func (h *Hook) SetSender(address string) error { return check(h.host.SenderSet(address)) }

// View is a view of the committed message, or of what has arrived of it.
type View int

// The views.
const (
	WholeMessage View = abi.ViewMessage // header section, empty line and body
	BodyOnly     View = abi.ViewBody    // the body alone
	Chunk        View = abi.ViewChunk   // what arrived, in phase Body
)

// Size returns the octets of a view.
func (h *Hook) Size(v View) (int64, error) {
	n := h.host.MsgSize(int(v))
	if n < 0 {
		return 0, abi.Errno(n)
	}
	return n, nil
}

// ReadAt reads octets of a view from off on into p. Like io.ReaderAt it returns
// io.EOF when there are fewer than len(p).
func (h *Hook) ReadAt(v View, p []byte, off int64) (int, error) {
	return readFull(p, func(b []byte, at int64) int { return h.host.MsgRead(int(v), off+at, b) })
}

// Reader returns a view as a reader that is valid until the hook ends.
func (h *Hook) Reader(v View) io.Reader {
	return &reader{read: func(p []byte, off int64) int { return h.host.MsgRead(int(v), off, p) }}
}

// WriteBody appends to the new body; start throws away what was written before.
func (h *Hook) WriteBody(p []byte, start bool) error {
	flags := 0
	if start {
		flags = abi.WriteStart
	}
	return check(h.host.BodyWrite(p, flags))
}

// Scope is how long a note lives.
type Scope int

// The scopes.
const (
	WithMessage Scope = abi.ScopeMessage // in the queue too
	WithSession Scope = abi.ScopeSession // until the connection ends
)

// Meta returns a note by its full name "stage.key", or an own one by its key;
// empty when there is none.
func (h *Hook) Meta(s Scope, key string) (string, error) {
	return h.text(func(b []byte) int { return h.host.MetaGet(int(s), key, b) })
}

// SetMeta notes a value under "<own stage>.key"; an empty one deletes the note.
func (h *Hook) SetMeta(s Scope, key, value string) error {
	return check(h.host.MetaSet(int(s), key, value))
}
