// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"slices"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// Limits of splitting.
const (
	maxChildren = 16  // of one hook
	maxBranches = 128 // of one transaction
)

// draft takes the edits of a hook to one envelope: a copy of the committed state
// from the first edit on.
type draft struct {
	b       *branch
	env     *mail.Envelope // the branch's until the first edit
	header  *mail.Header
	body    *bodyEdit
	newBody mail.Body
	shared  bool // something changed that all recipients share
}

// finish ends the body that was written.
func (d *draft) finish() error {
	if d.body == nil {
		return nil
	}
	nb, err := d.body.finish()
	if err != nil {
		return err
	}
	d.newBody, d.body = nb, nil
	return nil
}

// drop drops the body that was written.
func (d *draft) drop() error {
	if d.body != nil {
		d.body.w.Abort()
	}
	if r, ok := d.newBody.(releaser); ok {
		r.Release()
	}
	d.body, d.newBody = nil, nil
	return nil
}

// Split moves recipients, given by their indexes, from the envelope in use to a
// child envelope in phase message and returns the child's handle, 1 or more. The
// child begins with the header, the sender and the notes that the envelope in
// use has by now, and with the committed body. Each is a message of its own from
// the commit on; the hook's verdict is for all of them.
func (h *Hook) Split(rcpts []int) (handle int, err error) {
	if h.phase != mail.PhaseMessage {
		return 0, abi.ErrWrongPhase
	}
	if err := h.checkSplit(rcpts); err != nil {
		return 0, err
	}
	if h.drafts == nil {
		h.drafts = make([]draft, 1, 2)
	}
	h.shared = true
	h.drafts = append(h.drafts, h.child(rcpts))
	handle = len(h.drafts) - 1
	return handle, h.note("split", indexes(rcpts), "")
}

func (h *Hook) checkSplit(rcpts []int) error {
	if len(rcpts) == 0 || len(rcpts) > len(h.env.Recipients) {
		return abi.ErrBadArgument
	}
	children := max(len(h.drafts)-1, 0)
	if children >= maxChildren || h.room >= 0 && children >= h.room {
		return abi.ErrLimit
	}
	seen := make([]bool, len(h.env.Recipients))
	for _, i := range rcpts {
		if !h.Visible(i) {
			return abi.ErrNotFound
		}
		if seen[i] {
			return abi.ErrBadArgument
		}
		seen[i] = true
	}
	return nil
}

// child moves recipients to a new draft.
func (h *Hook) child(rcpts []int) draft {
	from := h.editEnvelope()
	c := draft{b: h.b, env: from.Clone(), header: h.header, shared: true}
	if c.header != &h.b.header {
		hd := c.header.Clone()
		c.header = &hd
	}
	for i := range c.env.Recipients {
		if !slices.Contains(rcpts, i) {
			c.env.Recipients[i].Removed = true
		}
	}
	for _, i := range rcpts {
		from.Recipients[i].Removed = true
	}
	return c
}

// Use makes the envelope with that handle, 0 for the parent, the one that the
// hook sees and edits from now on.
func (h *Hook) Use(handle int) error {
	if h.phase != mail.PhaseMessage {
		return abi.ErrWrongPhase
	}
	if handle == h.using {
		return nil
	}
	if handle < 0 || handle >= len(h.drafts) {
		return abi.ErrNotFound
	}
	h.use(handle)
	return h.note("use", indexes([]int{handle}), "")
}

func (h *Hook) use(handle int) {
	if handle == h.using {
		return
	}
	h.drafts[h.using] = h.draft
	h.draft, h.using = h.drafts[handle], handle
}

// each calls f for every draft, the parent's first. The parent's is in use then.
func (h *Hook) each(f func(*draft) error) error {
	h.use(0)
	if err := f(&h.draft); err != nil {
		return err
	}
	for i := 1; i < len(h.drafts); i++ {
		if err := f(&h.drafts[i]); err != nil {
			return err
		}
	}
	return nil
}

// somewhere reports whether a recipient is in any of the hook's envelopes.
func (h *Hook) somewhere(idx int) bool {
	if h.Visible(idx) {
		return true
	}
	for i := range h.drafts {
		if i != h.using && idx >= 0 && idx < len(h.drafts[i].env.Recipients) && !h.drafts[i].env.Recipients[idx].Removed {
			return true
		}
	}
	return false
}

// reserve keeps the index of a recipient that was added to the envelope in use
// free in the others, so that one index means one recipient.
func (h *Hook) reserve(r mail.Recipient) {
	r.Removed = true
	for i := range h.drafts {
		if i != h.using {
			e := h.drafts[i].env
			e.Recipients = append(e.Recipients, r)
		}
	}
}

// split makes branches of the children of a hook that is committed.
func (h *Hook) split() []*branch {
	var cs []*branch
	for i := 1; i < len(h.drafts); i++ {
		d := &h.drafts[i]
		c := h.b.child(d.env)
		c.take(d)
		for idx := range d.env.Recipients {
			if !d.env.Recipients[idx].Removed {
				h.b.move(c, idx)
			}
		}
		cs = append(cs, c)
	}
	return cs
}

// holder returns the branch of a committed hook that has recipient idx.
func (h *Hook) holder(idx int) *branch {
	for _, c := range h.children {
		if idx < len(c.env.Recipients) && !c.env.Recipients[idx].Removed {
			return c
		}
	}
	return h.b
}

// bodies returns the bodies that a committed hook wrote.
func (h *Hook) bodies() []releaser {
	var rs []releaser
	_ = h.each(func(d *draft) error {
		if r, ok := d.newBody.(releaser); ok {
			rs = append(rs, r)
		}
		return nil
	})
	return rs
}
