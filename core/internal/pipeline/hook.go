// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"errors"
	"fmt"
	"io"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Views of a message for Size and ReadMessage.
const (
	ViewRaw   = 0 // header section and body
	ViewBody  = 1 // body alone
	ViewChunk = 2 // the chunk of phase body
)

// Scopes of Meta and SetMeta.
const (
	ScopeMessage = 0 // kept with the queued message
	ScopeSession = 1 // kept while the client's connection lasts
)

// Hook is one call of one stage: what it may see, and the copies that take its
// edits. A stage sees its own edits of envelope, header and meta at once; the
// message that ReadMessage and Parts show is the committed one. Methods fail
// with an abi.Errno. A Hook is used by one goroutine, while Run lasts.
type Hook struct {
	p      *Pipeline
	step   *Step
	phase  mail.Phase
	arg    int
	dry    bool
	room   int // branches that the transaction may still be split into, -1: any number
	lives  lives
	out    *[]Emission
	extras *extras

	draft          // the one in use
	drafts []draft // all of them, when Split has made children; that in use is not current
	using  int     // index of the one in use

	ehlo     []string          // edited; nil: not
	notes    map[string]string // session meta to be committed
	reply    *mail.Reply
	rcpts    map[int]fate
	onCommit []func() error
	emitted  []Emission
	added    []byte // header fields for a report
	rawHead  []byte
	parts    *Parts
	edits    []Edit
	children []*branch // that a committed hook split off
}

// Edit is one entry of a hook's journal, for traces and tests.
type Edit struct {
	Op     string // as the ABI spells it: hdr_add, rcpt_set, sender_set, …
	Target string // header name, recipient index, meta key
	Value  string
}

// NewHook returns a hook outside any pipeline, on a transaction of one message,
// for tests of stages and for core/plugintest.
func NewHook(p *Pipeline, stage string, phase mail.Phase, arg int, env *mail.Envelope, header mail.Header, body mail.Body) *Hook {
	b := &branch{env: env, header: header, body: body}
	return newHook(p, b, &Step{Name: stage}, phase, arg)
}

func newHook(p *Pipeline, b *branch, s *Step, phase mail.Phase, arg int) *Hook {
	return &Hook{p: p, step: s, phase: phase, arg: arg, dry: p.o.Dry, room: -1, draft: draft{b: b, env: b.env, header: &b.header}}
}

// Phase returns the phase of the call.
func (h *Hook) Phase() mail.Phase { return h.phase }

// Arg returns the argument of the phase: the recipient's index in the phases
// rcpt, route and bounce, the length of the chunk in phase body, the number of
// the attempt in the phases predeliver and result, else 0.
func (h *Hook) Arg() int { return h.arg }

// StageName returns the stage's name in pipeline.hcl.
func (h *Hook) StageName() string { return h.step.Name }

// Dry reports whether nothing outside of the journal may happen: the hook runs
// beside the live one, or on a message of the past.
func (h *Hook) Dry() bool { return h.dry }

// Envelope returns the envelope with this hook's edits, to be read only. In the
// session's phases it has the client alone, in phase tick nothing.
func (h *Hook) Envelope() *mail.Envelope { return h.env }

// Header returns the header with this hook's edits, to be read only. It is
// empty before phase headers.
func (h *Hook) Header() *mail.Header { return h.header }

// Edits returns the journal so far.
func (h *Hook) Edits() []Edit { return h.edits }

// Reply returns the reply set so far, nil if none.
func (h *Hook) Reply() *mail.Reply { return h.reply }

// NewBody returns the body that a committed hook wrote, nil if none.
func (h *Hook) NewBody() mail.Body { return h.newBody }

// Visible reports whether the stage sees the recipient with that index: it
// exists, no verdict or edit removed it, and `when` selected it.
func (h *Hook) Visible(idx int) bool {
	return idx >= 0 && idx < len(h.env.Recipients) && !h.env.Recipients[idx].Removed
}

// Size returns the octets of a view of the committed message.
func (h *Hook) Size(view int) (int64, error) {
	if err := h.mayRead(view); err != nil {
		return 0, err
	}
	switch view {
	case ViewChunk:
		return int64(len(h.Chunk())), nil
	case ViewRaw:
		return h.b.header.Size() + h.bodySize(), nil
	}
	return h.bodySize(), nil
}

// mayRead tells whether a view can be read in the phase: the chunk in phase
// body, the message where it is whole.
func (h *Hook) mayRead(view int) error {
	switch {
	case h.phase != mail.PhaseBody && !readsMessage(h.phase):
		return abi.ErrWrongPhase
	case view < ViewRaw || view > ViewChunk:
		return abi.ErrBadArgument
	case (view == ViewChunk) != (h.phase == mail.PhaseBody):
		return abi.ErrWrongPhase
	}
	return nil
}

func (h *Hook) bodySize() int64 {
	if h.b.body == nil {
		return 0
	}
	return h.b.body.Size()
}

// ReadMessage copies octets of a view of the committed message from off on into
// p and returns their number, 0 at the end.
func (h *Hook) ReadMessage(view int, p []byte, off int64) (int, error) {
	if err := h.mayRead(view); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, abi.ErrBadArgument
	}
	if view == ViewChunk {
		return copyFrom(p, h.Chunk(), off), nil
	}
	n := 0
	if view == ViewRaw {
		head := h.rawHeader()
		n = copyFrom(p, head, off)
		off += int64(n) - int64(len(head))
	}
	m, err := h.readBody(p[n:], off)
	return n + m, err
}

func copyFrom(p, from []byte, off int64) int {
	if off >= int64(len(from)) {
		return 0
	}
	return copy(p, from[off:])
}

func (h *Hook) rawHeader() []byte {
	if h.rawHead == nil {
		h.rawHead = h.b.header.AppendTo(make([]byte, 0, h.b.header.Size()))
	}
	return h.rawHead
}

func (h *Hook) readBody(p []byte, off int64) (int, error) {
	if h.b.body == nil || len(p) == 0 || off >= h.b.body.Size() {
		return 0, nil
	}
	n, err := h.b.body.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("read body: %w: %w", abi.ErrIO, err)
	}
	return n, nil
}

// Meta returns what was noted under key: the stage's own note of that name, or
// with a full name "stage.key" any stage's.
func (h *Hook) Meta(scope int, key string) (string, bool) {
	if h.phase == mail.PhaseTick {
		return "", false
	}
	own := h.step.Name + "." + key
	if scope == ScopeMessage {
		if v, ok := h.env.Meta[own]; ok {
			return v, true
		}
		v, ok := h.env.Meta[key]
		return v, ok
	}
	if scope != ScopeSession {
		return "", false
	}
	for _, m := range []map[string]string{h.notes, h.env.Client.Notes} {
		if v, ok := m[own]; ok {
			return v, v != ""
		}
		if v, ok := m[key]; ok {
			return v, v != ""
		}
	}
	return "", false
}

// check tells whether v may end the hook: permitted in the phase, and its class
// that of the reply.
func (h *Hook) check(v mail.Verdict) error {
	if !h.phase.Allowed(v) {
		return fmt.Errorf("%w: %v in phase %v", errVerdict, v, h.phase)
	}
	if h.reply == nil {
		return nil
	}
	if v == mail.Reject && !h.reply.Permanent() || v == mail.Tempfail && !h.reply.Temporary() {
		return fmt.Errorf("%w: %v with reply %d", errVerdict, v, h.reply.Code)
	}
	return nil
}

// replyFor returns the reply that goes with v: the stage's, or the usual one.
func (h *Hook) replyFor(v mail.Verdict) *mail.Reply { return replyOr(h.reply, v) }

func replyOr(r *mail.Reply, v mail.Verdict) *mail.Reply {
	switch {
	case r != nil:
		return r
	case v == mail.Reject:
		return mail.NewReply(550, mail.Enhanced{5, 7, 1}, "refused by policy")
	case v == mail.Tempfail:
		return mail.NewReply(451, mail.Enhanced{4, 7, 1}, "not now, try again later")
	}
	return nil
}

// Commit applies the edits of a hook made by NewHook and runs what was put off
// until then.
func (h *Hook) Commit() error { return h.commit() }

// Drop forgets the edits of a hook made by NewHook.
func (h *Hook) Drop() { h.drop() }

// commit makes the hook's copies the branch's state, or fails and changes
// nothing.
func (h *Hook) commit() error {
	if err := h.each((*draft).finish); err != nil {
		return fmt.Errorf("write body: %w", err)
	}
	if err := h.effects(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	known, held := len(h.b.env.Recipients), h.b.keeps()
	if len(h.drafts) > 0 {
		h.children = h.split()
	}
	h.b.take(&h.draft)
	h.b.hold(known, held)
	for _, c := range h.children {
		c.hold(known, held)
	}
	h.b.added = append(h.b.added, h.added...)
	for k, v := range h.notes {
		setOrDelete(h.env.Client.Notes, k, v)
	}
	if h.ehlo != nil {
		h.extras.ehlo = h.ehlo
	}
	h.release()
	h.parts.close()
	return nil
}

// effects runs what was put off until the commit.
func (h *Hook) effects() error {
	if h.dry {
		return nil
	}
	for _, f := range h.onCommit {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets all edits.
func (h *Hook) drop() {
	_ = h.each((*draft).drop)
	h.rcpts, h.edits, h.emitted, h.children = nil, nil, nil, nil
	h.parts.close()
}
