// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// reloading is a rig whose configuration is a file.
func reloading(t *testing.T, hcl string, stages map[string]relay.NewStage) (g *rig, reload func(hcl string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pipeline.hcl")
	write := func(hcl string) {
		if err := os.WriteFile(file, []byte(hcl), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(hcl)
	g = &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options("", stages)
	o.Config, o.ConfigFile = nil, file
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	return g, func(hcl string) {
		t.Helper()
		write(hcl)
		if err := r.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// A reload in the middle of a session changes the chain at the next command outside
// a transaction, and not before. No session is dropped, and what stages noted about it stays.
func TestAReloadTakesEffectBetweenTransactions(t *testing.T) {
	j := newJournal()
	ofGeneration := func(conf []byte) (relay.Stage, error) {
		return allPhases{incoming(), func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
			if p == mail.PhaseConnect {
				return mail.Continue, m.SetMeta(1, "first", string(conf))
			}
			note, _ := m.Meta(1, "first")
			j.add("%s %s noted %s", p, conf, note)
			return mail.Continue, nil
		}}, nil
	}
	with := func(n int) string {
		return base(fmt.Sprintf("stage \"test\" {\n plugin = plugin.test\n config {\n g = %d\n }\n}", n), testPlugin)
	}
	g, reload := reloading(t, with(1), map[string]relay.NewStage{"test": ofGeneration})
	c := g.dial()
	c.cmd(250, "MAIL FROM:<a@here.test>")
	reload(with(2))
	c.cmd(250, "RCPT TO:<b@far.test>")
	c.cmd(354, "DATA")
	c.cmd(250, "Subject: x\r\n\r\nx\r\n.")
	reload(with(3))
	c.cmd(250, "EHLO again.test")
	reload(with(4))
	c.cmd(250, "MAIL FROM:<a@here.test>")
	c.cmd(250, "EHLO again.test")
	var want []string
	for _, s := range []string{"helo 1", "mail 1", "rcpt 1", "data 1", "headers 1", "body 1", "message 1", "queued 1", "reset 1",
		"helo 3", "mail 4", "helo 4", "reset 4"} {
		p, n, _ := strings.Cut(s, " ")
		want = append(want, fmt.Sprintf(`%s {"g":%s} noted {"g":1}`, p, n))
	}
	j.expect(t, want...)
}

// An emitted message goes out with a trace field of ours, through no stage,
// whether the message at hand is taken or refused.
func TestEmittedMessages(t *testing.T) {
	j := newJournal()
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		subject := m.Header().Values("Subject")[0]
		j.add("%s %s", p, subject)
		e := relay.Emission{Sender: "robot@here.test", Recipients: []mail.Address{"c@far.test"}, Header: []byte("Subject: about " + subject + "\r\n"), Body: []byte("said in " + p.String() + "\n")}
		switch {
		case p == mail.PhaseQueued:
			e.Body, e.OfMessage = nil, true
			return mail.Continue, m.Emit(e)
		case subject == "drop":
			return mail.Discard, m.Emit(e)
		case subject == "bad":
			return mail.Reject, m.Emit(e)
		}
		return mail.Continue, m.Emit(e)
	}, mail.PhaseQueued))
	c := g.dial()
	c.send(250, "a@here.test", bigMessage, "b@far.test")
	c.send(250, "a@here.test", "Subject: drop\r\n\r\nx\r\n", "b@far.test")
	c.send(550, "a@here.test", "Subject: bad\r\n\r\nx\r\n", "b@far.test")
	g.idle()
	_, body, _ := strings.Cut(bigMessage, "\r\n\r\n")
	want := []string{
		bigMessage,
		"Subject: about big\r\n\r\nsaid in message\r\n",
		"Subject: about big\r\n\r\n" + body,
		"Subject: about drop\r\n\r\nsaid in message\r\n",
		"Subject: about bad\r\n\r\nsaid in message\r\n",
	}
	ids := map[string]bool{}
	var got []string
	for _, content := range wait(t, g, len(want)) {
		h := mail.ParseHeader([]byte(content))
		trace := h.Values("Received")[0]
		_, id, _ := strings.Cut(trace, " id ")
		ids[id[:26]] = true
		got = append(got, withoutTrace(t, []byte(content)))
		if strings.Contains(content, "about") && !strings.HasPrefix(trace, "by relay.test (stage test) with local id ") {
			t.Errorf("trace %q", trace)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("arrived %.300q, want %.300q", got, want)
	}
	if len(ids) != len(want) {
		t.Errorf("ids %v", ids)
	}
	j.expect(t, "message big", "queued big", "message drop", "message bad")
	if n := len(g.sink.Messages()); n != len(want) {
		t.Errorf("%d messages", n)
	}
}

// Stages of phase queued read the message as it is in the queue, however big,
// and whatever delivery has done by then.
func TestPhaseQueuedReadsTheMessage(t *testing.T) {
	j := newJournal()
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		if p == mail.PhaseConnect {
			return mail.Continue, m.SetMeta(1, "note", "yes")
		}
		if p != mail.PhaseQueued {
			return mail.Continue, nil
		}
		size, err := m.Size(1)
		p64 := make([]byte, 64)
		n, err2 := m.ReadMessage(1, p64, size-10)
		note, _ := m.Meta(1, "note")
		j.add("%d %q %s", size, p64[:n], note)
		return mail.Continue, errors.Join(err, err2)
	}, mail.PhaseConnect, mail.PhaseQueued))
	c := g.dial()
	for range 20 {
		c.send(250, "a@here.test", bigMessage, "b@far.test")
	}
	for i, line := range j.wait(t, 20) {
		if line != `204000 "89abcdef\r\n" yes` {
			t.Errorf("message %d: %s", i, line)
		}
	}
}

// What a stage wants of the queue reaches it with the message.
func TestAStageMayHoldAMessageBack(t *testing.T) {
	var g *rig
	g = newRig(t, base(testStage, testPlugin), inPhases(func(_ mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		return mail.Continue, m.SetQueue(abi.QueueNotBefore, g.clock.Now().Add(time.Hour).UnixMilli())
	}))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	g.idle()
	if n := g.sink.Count(); n != 0 {
		t.Fatalf("%d messages arrived at once", n)
	}
	g.clock.Advance(time.Hour)
	g.idle()
	if n := g.sink.Count(); n != 1 {
		t.Errorf("%d messages arrived in time", n)
	}
}

// Submit has no session, but all phases of a transaction.
func TestSubmitHasNoSession(t *testing.T) {
	j := newJournal()
	g := newRig(t, base(testStage, testPlugin), inPhases(func(p mail.Phase, _ int, _ relay.Message) (mail.Verdict, error) {
		j.add("%s", p)
		return mail.Continue, nil
	}, incoming()...))
	s := relay.Submission{Sender: "a@here.test", Recipients: []string{"b@far.test"}, Content: strings.NewReader(hello)}
	if _, err := g.r.Submit(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	j.expect(t, "mail", "rcpt", "data", "headers", "body", "message", "queued", "reset")
	refuses := newRig(t, base(testStage, testPlugin), refusalIn(mail.PhaseData, mail.Reject))
	s.Content = strings.NewReader(hello)
	var reply *mail.Reply
	if _, err := refuses.r.Submit(context.Background(), s); !errors.As(err, &reply) || reply.Code != 550 {
		t.Errorf("got %v", err)
	}
}
