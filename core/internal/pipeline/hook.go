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
	ViewRaw  = 0 // header section and body
	ViewBody = 1 // body alone
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
	p     *Pipeline
	step  *Step
	phase mail.Phase
	arg   int
	b     *branch

	env      *mail.Envelope // the branch's until the first edit
	header   *mail.Header
	body     *bodyEdit
	newBody  mail.Body
	notes    map[string]string // session meta to be committed
	reply    *mail.Reply
	rcpts    map[int]fate
	onCommit []func() error
	shared   bool // something changed that all recipients share
	rawHead  []byte
	parts    *Parts
	edits    []Edit
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
	return &Hook{p: p, step: s, phase: phase, arg: arg, b: b, env: b.env, header: &b.header}
}

// Phase returns the phase of the call, Arg its argument (the recipient's index
// in phase rcpt, else 0) and StageName the stage's name in pipeline.hcl.
func (h *Hook) Phase() mail.Phase { return h.phase }

// Arg returns the recipient's index in phase rcpt, else 0.
func (h *Hook) Arg() int { return h.arg }

// StageName returns the stage's name in pipeline.hcl.
func (h *Hook) StageName() string { return h.step.Name }

// Envelope returns the envelope with this hook's edits, to be read only.
func (h *Hook) Envelope() *mail.Envelope { return h.env }

// Header returns the header with this hook's edits, to be read only. It is
// empty before phase message.
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
	if h.phase != mail.PhaseMessage {
		return 0, abi.ErrWrongPhase
	}
	switch view {
	case ViewRaw:
		return h.b.header.Size() + h.bodySize(), nil
	case ViewBody:
		return h.bodySize(), nil
	}
	return 0, abi.ErrBadArgument
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
	if h.phase != mail.PhaseMessage {
		return 0, abi.ErrWrongPhase
	}
	if off < 0 || view != ViewRaw && view != ViewBody {
		return 0, abi.ErrBadArgument
	}
	n := 0
	if view == ViewRaw {
		head := h.rawHeader()
		if off < int64(len(head)) {
			n = copy(p, head[off:])
			off += int64(n)
		}
		off -= int64(len(head))
	}
	m, err := h.readBody(p[n:], off)
	return n + m, err
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
			return v, true
		}
		if v, ok := m[key]; ok {
			return v, true
		}
	}
	return "", false
}

// check tells whether v may end the hook: permitted in the phase, and its class
// that of the reply.
func (h *Hook) check(v mail.Verdict) error {
	if !h.phase.Allowed(v) {
		return fmt.Errorf("stage %s: %w: %v in phase %v", h.step.Name, errVerdict, v, h.phase)
	}
	if h.reply == nil {
		return nil
	}
	if v == mail.Reject && !h.reply.Permanent() || v == mail.Tempfail && !h.reply.Temporary() {
		return fmt.Errorf("stage %s: %w: %v with reply %d", h.step.Name, errVerdict, v, h.reply.Code)
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
func (h *Hook) Commit() error { return h.commit(h.b) }

// Drop forgets the edits of a hook made by NewHook.
func (h *Hook) Drop() { h.drop() }

// commit makes the hook's copies the branch's state, or fails and changes
// nothing.
func (h *Hook) commit(b *branch) error {
	if h.body != nil {
		nb, err := h.body.finish()
		if err != nil {
			return fmt.Errorf("stage %s: write body: %w", h.step.Name, err)
		}
		h.newBody, h.body = nb, nil
	}
	for _, f := range h.onCommit {
		if err := f(); err != nil {
			return fmt.Errorf("stage %s: commit: %w", h.step.Name, err)
		}
	}
	if h.newBody != nil {
		b.body = h.newBody
		h.header.End()
	}
	for k, v := range h.notes {
		h.env.Client.Notes[k] = v
	}
	b.env, b.header = h.env, *h.header
	return nil
}

// drop forgets all edits.
func (h *Hook) drop() {
	if h.body != nil {
		h.body.w.Abort()
	}
	if r, ok := h.newBody.(releaser); ok {
		r.Release()
	}
	h.newBody, h.rcpts, h.edits = nil, nil, nil
}
