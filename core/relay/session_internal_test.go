// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// A client that stays connected keeps an old generation only until its next
// MAIL, and no generation is closed under a session or a transaction.
func TestASessionLeavesItsGenerationAtTheNextMail(t *testing.T) {
	r := openInMemory(t, listens("in"))
	ctx := context.Background()
	s, reply := (&door{r: r, listener: "in"}).Open(ctx, &mail.Client{})
	if reply != nil {
		t.Fatal(reply)
	}
	first := r.gen.Load()
	tx, reply := s.Mail(ctx, "a@x.test", smtpin.MailParams{})
	if reply != nil {
		t.Fatal(reply)
	}
	reload(t, r)
	stillOpen(t, first)
	tx.Close()
	stillOpen(t, first)
	second := r.gen.Load()
	if tx, reply = s.Mail(ctx, "a@x.test", smtpin.MailParams{}); reply != nil {
		t.Fatal(reply)
	}
	ended(t, first)
	tx.Close()
	reload(t, r)
	stillOpen(t, second)
	s.Close()
	ended(t, second)
	if err := r.shutdown(); err != nil {
		t.Error(err)
	}
}

func reload(t *testing.T, r *Relay) {
	t.Helper()
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func stillOpen(t *testing.T, g *generation) {
	t.Helper()
	select {
	case <-g.closed:
		t.Error("a generation was closed while it was in use")
	default:
	}
}

func ended(t *testing.T, g *generation) {
	t.Helper()
	select {
	case <-g.closed:
	case <-time.After(20 * time.Second):
		t.Error("a generation that nobody uses is still open")
	}
}
