// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"bytes"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of what one hook may emit.
const (
	maxEmissions   = 10
	maxEmittedRcpt = 100
)

// Emission is a new message that a stage injects.
type Emission struct {
	Sender     mail.Address // empty: the null reverse-path
	Recipients []mail.Address
	Header     []byte // header section, lines ending in CRLF, with or without the empty line
	Body       []byte // line ends are made CRLF
	OfMessage  bool   // the body of the message at hand, in place of Body

	// Set by the pipeline.
	Stage   string    // that emitted it
	Content mail.Body // the body; with OfMessage the message's own, readable as long as that is
}

// Emit injects a new message when the hook commits; up to 10 a hook, in the
// phases message, queued, result, bounce and tick. It goes out whatever becomes
// of the message at hand. A dry hook emits nothing. The hook keeps e's octets.
func (h *Hook) Emit(e Emission) error {
	if !emits(h.phase) {
		return abi.ErrWrongPhase
	}
	if len(h.emitted) >= maxEmissions {
		return abi.ErrLimit
	}
	if err := h.checkEmission(&e); err != nil {
		return err
	}
	content, err := h.emittedBody(&e)
	if err != nil {
		return err
	}
	e.Stage, e.Content = h.step.Name, content
	h.emitted = append(h.emitted, e)
	return h.note("emit", string(e.Sender), joined(e.Recipients))
}

func (h *Hook) checkEmission(e *Emission) error {
	if len(e.Recipients) == 0 || len(e.Body) > 0 && e.OfMessage {
		return abi.ErrBadArgument
	}
	if len(e.Recipients) > maxEmittedRcpt {
		return abi.ErrLimit
	}
	if _, err := mail.ParseAddress(string(e.Sender), true); err != nil && !e.Sender.IsNull() {
		return abi.ErrBadArgument
	}
	for _, a := range e.Recipients {
		if _, err := mail.ParseAddress(string(a), true); err != nil {
			return abi.ErrBadArgument
		}
	}
	return h.checkEmittedHeader(e.Header)
}

// checkEmittedHeader takes a header section only as it may stand in a message:
// named fields, lines that end in CRLF and are not too long (RFC 5322 §2.2).
func (h *Hook) checkEmittedHeader(raw []byte) error {
	if int64(len(raw)) > h.p.o.MaxHeader {
		return abi.ErrLimit
	}
	hd := mail.ParseHeader(raw)
	if hd.Len() == 0 || hd.Size() != int64(len(raw)) {
		return abi.ErrBadArgument
	}
	if hd.Len() > maxFields {
		return abi.ErrLimit
	}
	for _, f := range hd.Fields() {
		if f.Name() == "" {
			return abi.ErrBadArgument
		}
	}
	return checkLines(raw)
}

// checkLines refuses NUL, a CR or LF that is not part of CRLF, an overlong line,
// and a last line without its end.
func checkLines(raw []byte) error {
	for len(raw) > 0 {
		line, rest, ok := bytes.Cut(raw, crlf)
		if !ok || len(line) > mail.MaxLine || bytes.ContainsAny(line, "\r\n\x00") {
			return abi.ErrBadArgument
		}
		raw = rest
	}
	return nil
}

// emittedBody returns the content of a new message.
func (h *Hook) emittedBody(e *Emission) (mail.Body, error) {
	if e.OfMessage && h.b.body == nil {
		return nil, abi.ErrNotFound
	}
	if e.OfMessage {
		return h.b.body, nil
	}
	var w bytesWriter
	edit := bodyEdit{w: &w, room: h.p.o.MaxBody}
	if err := edit.write(e.Body); err != nil {
		return nil, err
	}
	return edit.finish()
}

// bytesWriter is a BodyWriter in memory.
type bytesWriter struct{ bytes.Buffer }

// Finish implements BodyWriter.
func (w *bytesWriter) Finish() (mail.Body, error) { return mail.BytesBody(w.Bytes()), nil }

// Abort implements BodyWriter.
func (w *bytesWriter) Abort() {}

// release hands over what a committed hook emitted.
func (h *Hook) release() {
	if h.out != nil && !h.dry {
		*h.out = append(*h.out, h.emitted...)
	}
}
