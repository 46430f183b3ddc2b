// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"sort"

	"github.com/postroad-mail/postroad/core/mail"
)

// fold makes one result of all branches.
//
// SMTP has one reply after the data. A tempfail of any recipient refuses the
// message for now, so that nothing is taken twice when the client comes again.
// All refused: that reply. Accepted and refused mixed: the listener's on_mixed.
// LMTP has a reply for each recipient, so a refusal of either kind is its own alone.
func fold(branches []*branch, mixed OnMixed) Result {
	var r Result
	var temp *mail.Reply
	for _, b := range branches {
		for _, idx := range sortedKeys(b.fates) {
			f := b.fates[idx]
			switch {
			case f.verdict == mail.Tempfail && mixed != MixedEach:
				temp = f.reply
			case f.verdict == mail.Tempfail, f.verdict == mail.Reject:
				r.Refused = append(r.Refused, Refusal{Recipient: b.env.Recipients[idx], Index: idx, Reply: f.reply, Stage: f.stage})
			case f.verdict == mail.Discard:
				r.Discarded++
			}
		}
		r.Messages = append(r.Messages, b.messages()...)
	}
	accepted := len(r.Messages) > 0 || r.Discarded > 0
	switch {
	case temp != nil:
		return Result{Reply: temp}
	case len(r.Refused) > 0 && !accepted && mixed == MixedEach:
		r.Reply = r.Refused[0].Reply
	case len(r.Refused) > 0 && !accepted:
		return Result{Reply: r.Refused[0].Reply}
	case len(r.Refused) > 0 && mixed == MixedTempfail:
		return Result{Reply: mail.NewReply(451, mail.Enhanced{4, 3, 0}, "recipients differ, send to each alone")}
	}
	return r
}

// messages groups the live recipients of b by what holds them.
func (b *branch) messages() []*Message {
	var ms []*Message
	byHold := map[Hold]*Message{}
	for i := range b.env.Recipients {
		if b.env.Recipients[i].Removed {
			continue
		}
		var hold Hold
		if f := b.fates[i]; f.verdict == mail.Quarantine || f.verdict == mail.Defer {
			hold = Hold{Verdict: f.verdict, Stage: f.stage}
			if f.reply != nil {
				hold.Reason = f.reply.Text
			}
		}
		m := byHold[hold]
		if m == nil {
			m = b.message(hold)
			byHold[hold] = m
			ms = append(ms, m)
		}
		m.Envelope.Recipients[i].Removed = false
	}
	return ms
}

// message returns a message of b with all recipients removed.
func (b *branch) message(hold Hold) *Message {
	m := &Message{Envelope: b.env.Clone(), Header: b.header, Body: b.body}
	m.Envelope.Stages = b.marks[:len(b.marks):len(b.marks)]
	for i := range m.Envelope.Recipients {
		m.Envelope.Recipients[i].Removed = true
	}
	if hold != (Hold{}) {
		h := hold
		m.Hold = &h
	}
	return m
}

func sortedKeys[V any](m map[int]V) []int {
	ks := make([]int, 0, len(m))
	for k := range m {
		ks = append(ks, k)
	}
	sort.Ints(ks)
	return ks
}
