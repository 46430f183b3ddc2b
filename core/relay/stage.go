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

// PhaseStage is a Stage that also wants to be called in other phases: those of
// the session, the transaction and the delivery attempt. Phase is called in the
// phases that Phases names, which does not change, save those of Message, Mail
// and Rcpt where the stage has them. arg is the recipient's index (rcpt, route,
// bounce), the length of the chunk (body) or the number of the attempt
// (predeliver, result). Which verdicts a phase allows is said by
// mail.Phase.Allowed, what can be done in it by sdk/abi/reference.md.
type PhaseStage interface {
	Phases() []mail.Phase
	Phase(ctx context.Context, p mail.Phase, arg int, m Message) (mail.Verdict, error)
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
	// Dry reports that nothing but edits may happen: the message is of the past,
	// or the stage is on trial beside another.
	Dry() bool
	// Envelope returns the envelope, to be read only. Recipients keep their
	// index; those that are removed, or that `when` did not select, are not
	// Visible. In the phases of the session it holds the client alone.
	Envelope() *mail.Envelope
	Visible(recipient int) bool
	// Header returns the header section, to be read only; it is empty before
	// phase headers.
	Header() *mail.Header
	// Size returns the octets of the message (view 0) or its body (view 1),
	// ReadMessage copies some of them from off on and returns 0 at the end.
	// ReadPart does so for MIME part i: raw (view 0), transfer-decoded (1) or as
	// text in UTF-8 (2).
	Size(view int) (int64, error)
	ReadMessage(view int, p []byte, off int64) (int, error)
	ReadPart(i, view int, p []byte, off int64) (int, error)
	// MIME returns the tree of parts in the order of the message, which is part
	// 0, parents first.
	MIME() ([]Part, error)
	// Chunk returns the chunk of phase body, to be read only, and ChunkOffset
	// where it starts in the body.
	Chunk() []byte
	ChunkOffset() int64
	// Password returns the password of the AUTH at hand, where the mechanism
	// shows one, in phase auth. It must not be kept.
	Password() ([]byte, bool)
	// EHLO returns the list that EHLO answers with, to be read only, in phase
	// helo.
	EHLO() []string
	// Delivery tells of the attempt, nil outside the phases of delivery.
	Delivery() *Delivery
	// Slot returns where the stage keeps a value between its calls of one
	// message or attempt (scope 0) or of one connection (scope 1); nil where
	// there is no such thing. The value's End is called when that is over.
	Slot(scope int) *Slot
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
	// AddScore adds a named symbol with its score, in thousandths.
	AddScore(symbol string, milli int32) error
	// Split moves recipients to an envelope of their own and returns its handle;
	// Use makes that the one to see and edit, 0 is the parent's.
	Split(recipients []int) (handle int, err error)
	Use(handle int) error
	// SetQueue sets an option of the queued message, a key of sdk/abi's Queue*.
	SetQueue(key int, value int64) error
	// SetLabel sets tenant or campaign, abi.LabelTenant or abi.LabelCampaign: 1
	// to 64 printable ASCII characters without a space, or empty for none.
	SetLabel(key int, value string) error
	// SetEHLO takes a line off the list that EHLO answers with, or puts one on:
	// op is abi.EHLORemove or abi.EHLOAdd, in phase helo.
	SetEHLO(op int, line string) error
	// Emit injects a new message when the stage returns, whatever becomes of the
	// message at hand. It is routed like any other and passes no pipeline.
	Emit(e Emission) error
	// OnCommit puts f off until the edits are applied; its error makes the
	// stage fail.
	OnCommit(f func() error)
}

// Emission is a new message that a stage injects.
type Emission struct {
	Sender     mail.Address // empty: the null reverse-path
	Recipients []mail.Address
	Header     []byte // header section, lines that end in CRLF
	Body       []byte // line ends are made CRLF
	OfMessage  bool   // the body of the message at hand, in place of Body
}

// Delivery is what is known of a delivery attempt. It is to be read only.
type Delivery struct {
	Route    string               // name of the route
	NextHop  string               // host name or "host:port"; empty before it is chosen
	Attempt  int                  // its number, from 1
	Outcomes map[int]mail.Outcome // by recipient index, in the phases result and bounce
	Last     map[int]mail.Outcome // of the attempt before, by recipient index
}

// Slot is where a stage keeps a value between its calls. One goroutine at a time
// uses it.
type Slot = pipeline.Slot

// Part is one node of a MIME tree (RFC 2045).
type Part struct {
	Type      string // media type in lower case, "text/plain" where it cannot be read
	Parent    int    // index of the parent, -1 for the message
	Depth     int    // 0 for the message
	Filename  string // decoded, without folders; empty if none
	ContentID string // without angle brackets
	Charset   string // in lower case, empty if none is given
	Encoding  string // Content-Transfer-Encoding in lower case, "7bit" by default
	Size      int64  // octets of the content, transfer encoding undone; 0 for a part that has parts
}

// message is a hook as a Message.
type message struct{ *pipeline.Hook }

// Emit implements Message.
func (m message) Emit(e Emission) error {
	return m.Hook.Emit(pipeline.Emission{Sender: e.Sender, Recipients: e.Recipients, Header: e.Header, Body: e.Body, OfMessage: e.OfMessage})
}

// MIME implements Message.
func (m message) MIME() ([]Part, error) {
	tree, err := m.Parts()
	if err != nil {
		return nil, err
	}
	parts := make([]Part, tree.Len())
	for i := range parts {
		p, _ := tree.Part(i)
		size, err := tree.Size(i)
		if err != nil {
			return nil, err
		}
		parts[i] = Part{p.Type, p.Parent, p.Depth, p.Filename, p.ContentID, p.Charset, p.Encoding, size}
	}
	return parts, nil
}

// Delivery implements Message.
func (m message) Delivery() *Delivery { return (*Delivery)(m.Hook.Delivery()) }

// nativeStage makes a pipeline.Stage of a Stage.
type nativeStage struct {
	s     Stage
	m     MailStage
	r     RcptStage
	other PhaseStage
	set   mail.PhaseSet
}

func newNativeStage(s Stage) *nativeStage {
	n := &nativeStage{s: s}
	n.m, _ = s.(MailStage)
	n.r, _ = s.(RcptStage)
	n.other, _ = s.(PhaseStage)
	n.set = n.phases()
	return n
}

// Phases implements pipeline.Stage.
func (n *nativeStage) Phases() mail.PhaseSet { return n.set }

func (n *nativeStage) phases() mail.PhaseSet {
	ps := mail.Phases(mail.PhaseMessage)
	if n.m != nil {
		ps |= mail.Phases(mail.PhaseMail)
	}
	if n.r != nil {
		ps |= mail.Phases(mail.PhaseRcpt)
	}
	if n.other != nil {
		ps |= mail.Phases(n.other.Phases()...)
	}
	return ps
}

// Run implements pipeline.Stage.
func (n *nativeStage) Run(ctx context.Context, h *pipeline.Hook) (mail.Verdict, error) {
	m := message{h}
	switch p := h.Phase(); {
	case p == mail.PhaseMessage:
		return n.s.Message(ctx, m)
	case p == mail.PhaseMail && n.m != nil:
		return n.m.Mail(ctx, m)
	case p == mail.PhaseRcpt && n.r != nil:
		return n.r.Rcpt(ctx, m, h.Arg())
	default:
		return n.other.Phase(ctx, p, h.Arg(), m)
	}
}
