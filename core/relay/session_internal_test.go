// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"net/textproto"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/smtpin"
	"github.com/postroad-mail/postroad/core/mail"
)

// MAIL takes a session to the live generation, and no generation is closed under a session or a transaction.
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

// TestAClientThatSaysNoopForEverLeavesItsGeneration, and one that says nothing:
// each pinned every generation that it began with.
func TestAClientThatSaysNoopForEverLeavesItsGeneration(t *testing.T) {
	r := openInMemory(t, listens("in"))
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- r.Run(ctx) }()
	first := r.gen.Load()
	var clients []*textproto.Conn
	for range 3 {
		c, err := textproto.Dial("tcp", r.Addr("in").String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		said(t, c, 220, "")
		clients = append(clients, c)
	}
	noop, silent, busy := clients[0], clients[1], clients[2]
	said(t, busy, 250, "EHLO busy.test")
	said(t, busy, 250, "MAIL FROM:<a@x.test>")
	reload(t, r)
	stillOpen(t, first)
	said(t, noop, 250, "NOOP")
	said(t, busy, 250, "NOOP")
	stillOpen(t, first)
	second := r.gen.Load()
	said(t, busy, 250, "RSET")
	closes(t, first)
	reload(t, r)
	closes(t, second)
	said(t, silent, 250, "EHLO silent.test")
	said(t, silent, 250, "MAIL FROM:<a@x.test>")
	stop()
	said(t, silent, 250, "RSET")
	for _, c := range clients {
		said(t, c, 421, "")
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// said sends a command, if any, and wants a reply.
func said(t *testing.T, c *textproto.Conn, code int, command string) {
	t.Helper()
	if command != "" {
		if err := c.PrintfLine("%s", command); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.ReadResponse(code); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
}

// closes waits until nothing uses the generation any more.
func closes(t *testing.T, g *generation) {
	t.Helper()
	select {
	case <-g.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the old generation is never closed")
	}
}
