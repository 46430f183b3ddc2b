// SPDX-License-Identifier: Apache-2.0

package pipeline

import (
	"context"
	"testing"

	"github.com/postroad-mail/postroad/core/mail"
)

// passes is a stage of the usual phases that has no opinion.
type passes struct{}

func (passes) Phases() mail.PhaseSet {
	return mail.Phases(mail.PhaseMail, mail.PhaseRcpt, mail.PhaseMessage)
}
func (passes) Run(context.Context, *Hook) (mail.Verdict, error) { return mail.Continue, nil }

// BenchmarkMessage is one message with one recipient through two stages of the
// phases mail, rcpt and message.
func BenchmarkMessage(b *testing.B) {
	p := New(Options{Name: "p", Steps: []Step{{Name: "a", Stage: passes{}}, {Name: "b", Stage: passes{}}}})
	h := mail.ParseHeader([]byte("Received: by us\r\nSubject: hello\r\n\r\n"))
	ctx, body := context.Background(), mail.BytesBody("body\r\n")
	b.ReportAllocs()
	for b.Loop() {
		tx := p.Begin(&mail.Envelope{ID: "01", Sender: "s@a.test"})
		tx.Mail(ctx)
		tx.Rcpt(ctx, mail.Recipient{Address: "x@b.test"})
		if r := tx.Message(ctx, h, body, 0, MixedDrop); r.Reply != nil {
			b.Fatal(r.Reply)
		}
		tx.Close()
	}
}
