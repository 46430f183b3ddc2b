// SPDX-License-Identifier: Apache-2.0

package pipeline

import "github.com/postroad-mail/postroad/core/mail"

// branch is one line of a message's way: the committed state. A stage that is
// for some recipients only, and changes what all share, splits a branch in two,
// and a stage may split one by itself.
type branch struct {
	env      *mail.Envelope
	header   mail.Header
	body     mail.Body
	fates    map[int]fate     // by recipient index; absent: no verdict yet
	ended    bool             // accepted: only stages marked always still run
	own      int              // id of our Received field, protected; 0-based id + 1
	marks    []mail.StageMark // the stages that were called
	delivery *Delivery        // of an attempt
	changed  bool             // what is sent is not what it was at first
	added    []byte           // header fields for a report
}

// mark notes that s is called, once.
func (b *branch) mark(s *Step) {
	for i := range b.marks {
		if b.marks[i].Stage == s.Name {
			return
		}
	}
	if b.marks == nil {
		b.marks = make([]mail.StageMark, 0, s.of)
	}
	b.marks = append(b.marks, mail.StageMark{Stage: s.Name, Code: s.Code})
}

// settle records a recipient's fate. A refused or discarded one leaves the
// envelope; a held one stays.
func (b *branch) settle(idx int, f fate) {
	if f.verdict == mail.Continue || f.verdict == mail.Accept {
		return
	}
	if b.fates == nil {
		b.fates = map[int]fate{}
	}
	b.fates[idx] = f
	if f.refused() || f.verdict == mail.Discard {
		b.env.Recipients[idx].Removed = true
	}
}

// settleAll gives f to every live recipient but those that the same stage gave
// a verdict of their own.
func (b *branch) settleAll(f fate, except map[int]fate) {
	if f.verdict == mail.Accept {
		b.ended = true
	}
	for i := range b.env.Recipients {
		if _, own := except[i]; !own && !b.env.Recipients[i].Removed {
			b.settle(i, f)
		}
	}
}

// split returns a branch for the selected recipients and leaves the others in b.
func (b *branch) split(selected []bool) *branch {
	c := b.child(b.env.Clone())
	c.header = b.header.Clone()
	for i := range b.env.Recipients {
		if i < len(selected) && selected[i] {
			b.env.Recipients[i].Removed = true
			b.move(c, i)
		} else {
			c.env.Recipients[i].Removed = true
		}
	}
	return c
}

// child returns a branch with an envelope of its own and all else as b has it.
func (b *branch) child(env *mail.Envelope) *branch {
	return &branch{
		env: env, header: b.header, body: b.body, ended: b.ended, own: b.own,
		marks: b.marks[:len(b.marks):len(b.marks)], delivery: b.delivery, fates: map[int]fate{},
	}
}

// move gives the fate of recipient idx to c.
func (b *branch) move(c *branch, idx int) {
	if f, ok := b.fates[idx]; ok {
		c.fates[idx] = f
		delete(b.fates, idx)
	}
}

// merge gives the recipients of c, which changed nothing that all share, back
// to b.
func (b *branch) merge(c *branch, selected []bool) {
	for i := range c.env.Recipients {
		switch {
		case i >= len(b.env.Recipients):
			b.env.Recipients = append(b.env.Recipients, c.env.Recipients[i])
		case i < len(selected) && selected[i]:
			b.env.Recipients[i] = c.env.Recipients[i]
		}
	}
	for i, f := range c.fates {
		b.settle(i, f)
	}
	b.marks = c.marks
}

// keeps returns what holds all recipients of b, nothing when one is not held.
func (b *branch) keeps() (f fate) {
	if len(b.fates) == 0 {
		return fate{}
	}
	for i := range b.env.Recipients {
		if b.env.Recipients[i].Removed {
			continue
		}
		if f = b.fates[i]; f.verdict != mail.Quarantine && f.verdict != mail.Defer {
			return fate{}
		}
	}
	return f
}

// hold settles the recipients from number n on, which a hook added to those that
// f keeps: what is held goes to nobody under another name.
func (b *branch) hold(n int, f fate) {
	for i := n; i < len(b.env.Recipients); i++ {
		if !b.env.Recipients[i].Removed {
			b.settle(i, f)
		}
	}
}

// take makes what a hook edited the state.
func (b *branch) take(d *draft) {
	if d.newBody != nil {
		b.body = d.newBody
		d.header.End()
	}
	b.env, b.header = d.env, *d.header
	b.changed = b.changed || d.shared
}
