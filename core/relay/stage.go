// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"

	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// Stage is a stage written in Go, for programs that embed a relay. In
// pipeline.hcl its plugin has the source "native:NAME", where NAME is a key of
// Options.Stages.
//
// Message is called at the end of data, by many goroutines at once. It returns
// one of mail.Continue, Accept, Reject, Tempfail, Discard, Quarantine, Defer.
// An error means that the stage itself failed: its edits are dropped and the
// stage's on_error is applied, by default a 451.
type Stage interface {
	Message(ctx context.Context, m Message) (mail.Verdict, error)
}

// MailStage is a Stage that also wants to be called after MAIL FROM, where it
// may continue, accept, reject or tempfail.
type MailStage interface {
	Mail(ctx context.Context, m Message) (mail.Verdict, error)
}

// RcptStage is a Stage that also wants to be called after each RCPT TO, with
// the recipient's index; it may continue, accept, reject, tempfail, discard or
// defer.
type RcptStage interface {
	Rcpt(ctx context.Context, m Message, recipient int) (mail.Verdict, error)
}

// NewStage makes a stage from the config block of its place in the pipeline,
// as a JSON object ("{}" without a block).
type NewStage func(config []byte) (Stage, error)

// Message is what a stage sees of a message, and takes its edits. It is valid
// until the call of the stage returns. Edits happen whole or not at all: when
// the stage returns without an error and with a permitted verdict. A stage sees
// its own edits at once, but for WriteBody: Size and ReadMessage show the
// message as the stages before left it.
//
// The methods that fail return an error that says why: not found, not in this
// phase, not valid, over a limit.
type Message interface {
	// StageName returns the stage's name in pipeline.hcl.
	StageName() string
	// Envelope returns the envelope, to be read only. Recipients keep their
	// index; those that are removed, or that `when` did not select, are not
	// Visible.
	Envelope() *mail.Envelope
	Visible(recipient int) bool
	// Header returns the header section, to be read only; it is empty before
	// the end of data.
	Header() *mail.Header
	// Size returns the octets of the message (view 0) or its body (view 1),
	// ReadMessage copies some of them from off on and returns 0 at the end.
	Size(view int) (int64, error)
	ReadMessage(view int, p []byte, off int64) (int, error)
	// Meta reads a note of this stage, or with "stage.key" of any; SetMeta
	// writes one of this stage. Scope 0 is the message, 1 the session.
	Meta(scope int, key string) (string, bool)
	SetMeta(scope int, key, value string) error
	// SetReply sets the reply of a reject (5xx) or tempfail (4xx).
	SetReply(code int, enhanced mail.Enhanced, text string) error
	// SetRecipientVerdict decides for one recipient at the end of data.
	SetRecipientVerdict(recipient int, v mail.Verdict, r *mail.Reply) error
	// AddHeader adds a field: position 0 is the top, -1 the end, 1+2·id in
	// front of a field, 2+2·id behind it. Values are folded; CR and LF are
	// refused.
	AddHeader(position int32, name, value string) (id int, err error)
	SetHeader(id int, value string) error
	DeleteHeader(id int) error
	AddRecipient(a mail.Address) (recipient int, err error)
	SetRecipient(recipient int, a mail.Address) error
	RemoveRecipient(recipient int) error
	SetSender(a mail.Address) error
	// SetRoute sends a recipient (-1: all visible) by a route of pipeline.hcl,
	// or to a raw next hop "host:port".
	SetRoute(recipient int, route, nextHop string) error
	// WriteBody writes a new body; restart begins it anew. Line ends become
	// CRLF.
	WriteBody(p []byte, restart bool) error
	// OnCommit puts f off until the edits are applied; its error makes the
	// stage fail.
	OnCommit(f func() error)
}

// nativeStage makes a pipeline.Stage of a Stage.
type nativeStage struct {
	s Stage
	m MailStage
	r RcptStage
}

func newNativeStage(s Stage) *nativeStage {
	n := &nativeStage{s: s}
	n.m, _ = s.(MailStage)
	n.r, _ = s.(RcptStage)
	return n
}

// Phases implements pipeline.Stage.
func (n *nativeStage) Phases() mail.PhaseSet {
	ps := mail.Phases(mail.PhaseMessage)
	if n.m != nil {
		ps |= mail.Phases(mail.PhaseMail)
	}
	if n.r != nil {
		ps |= mail.Phases(mail.PhaseRcpt)
	}
	return ps
}

// Run implements pipeline.Stage.
func (n *nativeStage) Run(ctx context.Context, h *pipeline.Hook) (mail.Verdict, error) {
	switch h.Phase() {
	case mail.PhaseMail:
		return n.m.Mail(ctx, h)
	case mail.PhaseRcpt:
		return n.r.Rcpt(ctx, h, h.Arg())
	}
	return n.s.Message(ctx, h)
}
