// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"slices"

	"github.com/postroad-mail/postroad/core/internal/config"
	"github.com/postroad-mail/postroad/core/internal/pipeline"
	"github.com/postroad-mail/postroad/core/mail"
)

// lmtp is what a transaction over LMTP keeps for its replies, one for each
// recipient (RFC 2033 §4.2).
type lmtp struct {
	on      bool
	given   []int // the recipient in the envelope, for each RCPT that was accepted
	replies []*mail.Reply
}

// onMixed is what the recipients of a message on this listener have to do with
// each other: over LMTP, nothing.
func onMixed(l *config.Listener, lmtp bool) pipeline.OnMixed {
	if lmtp {
		return pipeline.MixedEach
	}
	return pipeline.OnMixed(l.OnMixed)
}

// Replies implements smtpin.Each.
func (t *transaction) Replies() []*mail.Reply { return t.lmtp.replies }

// answerEach notes the reply for each recipient: that of the message, but for those
// that stages refused.
func (t *transaction) answerEach(res *pipeline.Result, all *mail.Reply) {
	if !t.lmtp.on || len(res.Refused) == 0 {
		return
	}
	t.lmtp.replies = slices.Repeat([]*mail.Reply{all}, len(t.lmtp.given))
	for _, f := range res.Refused {
		for i, recipient := range t.lmtp.given {
			if recipient == f.Index {
				t.lmtp.replies[i] = f.Reply
			}
		}
		if res.Reply == nil { // else it was counted for the message
			t.refused(refusedMessage, f.Reply)
		}
	}
}
