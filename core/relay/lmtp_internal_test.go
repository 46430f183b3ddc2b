// SPDX-License-Identifier: Apache-2.0

package relay

import (
	"context"
	"fmt"
	"net"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// picky decides by the local part of each recipient, and notes what is queued.
type picky struct {
	mu       sync.Mutex
	queued   []string
	received string
}

func (p *picky) Message(_ context.Context, m Message) (mail.Verdict, error) {
	for i, r := range m.Envelope().Recipients {
		var err error
		switch r.Address.Local() {
		case "reject":
			err = m.SetRecipientVerdict(i, mail.Reject, mail.NewReply(550, mail.Enhanced{5, 7, 1}, "not him"))
		case "defer":
			err = m.SetRecipientVerdict(i, mail.Tempfail, mail.NewReply(452, mail.Enhanced{4, 2, 2}, "over quota"))
		case "discard":
			err = m.SetRecipientVerdict(i, mail.Discard, nil)
		}
		if err != nil {
			return 0, err
		}
	}
	return mail.Continue, nil
}

func (*picky) Phases() []mail.Phase { return []mail.Phase{mail.PhaseQueued} }

func (p *picky) Phase(_ context.Context, _ mail.Phase, _ int, m Message) (mail.Verdict, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range m.Envelope().Recipients {
		if !r.Removed {
			p.queued = append(p.queued, string(r.Address))
		}
	}
	p.received, _ = m.Header().Get("Received")
	return mail.Continue, nil
}

// talk is a client that reads whole replies.
type talk struct {
	t *testing.T
	*textproto.Conn
}

func dialTalk(t *testing.T, network, address string) talk {
	t.Helper()
	c, err := net.DialTimeout(network, address, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return talk{t, textproto.NewConn(c)}
}

// ask sends lines and wants a reply that begins so to each of want.
func (c talk) ask(lines string, want ...string) {
	c.t.Helper()
	if _, err := c.W.WriteString(lines); err != nil {
		c.t.Fatal(err)
	}
	if err := c.W.Flush(); err != nil {
		c.t.Fatal(err)
	}
	for _, w := range want {
		code, text, err := c.ReadResponse(0)
		if got := fmt.Sprint(code, " ", text); err != nil && code == 0 || !strings.HasPrefix(got, w) {
			c.t.Fatalf("%q: got %q, %v, want %q", lines, got, err, w)
		}
	}
}

// Over LMTP a recipient that a stage refuses, for good or for now, hears so, and the
// others have their mail: on_mixed has nothing to say. Who is named twice has two
// replies and one mail.
func TestEachRecipientHasItsReplyOverLMTP(t *testing.T) {
	p := &picky{}
	path := filepath.Join(t.TempDir(), "s")
	r := running(t, Options{
		Config: append(listensAt("lmtp", fmt.Sprintf("%q", "unix:"+path), "pipeline = pipeline.p\non_mixed = \"tempfail\"\nrelay_from = [\"127.0.0.1\"]"), `
plugin "picky" { source = "native:picky" }
pipeline "p" {
  stage "picky" { plugin = plugin.picky }
}
`...),
		Stages: map[string]NewStage{"picky": func([]byte) (Stage, error) { return p, nil }},
	})
	c := dialTalk(t, "unix", path)
	c.ask("", "220 localhost LMTP")
	c.ask("LHLO c.test\r\nMAIL FROM:<a@x.test>\r\n", "250", "250")
	for _, to := range []string{"one", "reject", "two", "defer", "one", "discard"} {
		c.ask("RCPT TO:<"+to+"@y.test>\r\n", "250")
	}
	c.ask("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n", "354", "250", "550 5.7.1 not him", "250", "452 4.2.2 over quota", "250", "250")
	c.ask("MAIL FROM:<a@x.test>\r\nRCPT TO:<defer@y.test>\r\nRCPT TO:<reject@y.test>\r\nDATA\r\n", "250", "250", "250", "354")
	c.ask(".\r\nNOOP\r\n", "452", "550", "250 2.0.0 ok")
	if want := []string{"one@y.test", "two@y.test"}; !slices.Equal(p.queued, want) {
		t.Errorf("queued %v, want %v", p.queued, want)
	}
	if !strings.HasPrefix(strings.TrimSpace(p.received), "from c.test ([127.0.0.1]) by localhost with LMTP id ") {
		t.Errorf("Received: %s", p.received)
	}
	_ = r
}
