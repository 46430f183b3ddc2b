// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

func wait(t *testing.T, g *rig, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ms, err := g.sink.Wait(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range ms {
		out = append(out, string(m.Content))
	}
	return out
}

func TestAMessageArrivesAsItWas(t *testing.T) {
	g := newRig(t, base("", ""), nil)
	c := g.dial()
	for i, content := range []string{
		hello,
		"Subject: only a header\r\n",
		"Subject: empty body\r\n\r\n",
		"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n.a\r\n",
		"no header at all\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat("x", 1<<20) + "\r\n",
		"Subject: 8 bit\r\n\r\ngr\xc3\xbc\xdfe\r\n",
		"Subject: big\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 20000),
	} {
		if reply := c.send(250, "a@here.test", content, "b@far.test"); !strings.Contains(reply, "queued as") {
			t.Errorf("reply %q", reply)
		}
		got := withoutTrace(t, []byte(wait(t, g, i+1)[i]))
		if content == "no header at all\r\n" {
			content = "\r\n" + content // the empty line that ends our header section
		}
		if got != content {
			t.Errorf("message %d: %.80q arrived as %.80q (%d, %d octets)", i, content, got, len(content), len(got))
		}
	}
}

func TestABodyByBDATLeavesByDATA(t *testing.T) {
	g := newRig(t, base("", ""), nil)
	c := g.dial()
	chunk := "Subject: x\r\n\r\n.\r\nends without a line end"
	c.cmd(250, "MAIL FROM:<a@here.test>")
	c.cmd(250, "RCPT TO:<b@far.test>")
	c.cmd(250, "BDAT %d LAST\r\n%s", len(chunk)+2, chunk) // PrintfLine adds CRLF
	if got := withoutTrace(t, []byte(wait(t, g, 1)[0])); got != chunk+"\r\n" {
		t.Errorf("got %q", got)
	}
	c.cmd(250, "MAIL FROM:<a@here.test>")
	c.cmd(250, "RCPT TO:<b@far.test>")
	c.c.W.WriteString(fmt.Sprintf("BDAT %d LAST\r\n%s", len(chunk), chunk))
	c.c.W.Flush()
	c.expect(250)
	if got := withoutTrace(t, []byte(wait(t, g, 2)[1])); got != chunk+"\r\n" {
		t.Errorf("without a last CRLF: got %q", got)
	}
	if n := g.sink.Bare(); n != 0 {
		t.Errorf("%d bare CR or LF left the relay", n)
	}
}

func TestOnlyTrustedClientsAndOwnDomainsMayRelay(t *testing.T) {
	hcl := strings.Replace(base("", ""), `relay_from = ["127.0.0.0/8"]`, "", 1)
	hcl = strings.Replace(hcl, "routing {", `routing {
  rule {
    domains = ["ours.test", ".sub.test"]
    accept  = true
    route   = route.next
  }`, 1)
	g := newRig(t, hcl, nil)
	c := g.dial()
	c.cmd(250, "MAIL FROM:<a@here.test>")
	for rcpt, code := range map[string]int{
		"b@ours.test": 250, "b@OURS.test": 250, `"odd @name"@ours.test`: 250, "b@x.sub.test": 250, "far%x.test@ours.test": 250,
		"b@far.test": 554, "b@sub.test": 554, "ours.test@far.test": 554, `"b@ours.test"@far.test`: 554, "b@[127.0.0.1]": 554, "b@ours.test.far.test": 554,
	} {
		c.cmd(code, "RCPT TO:<%s>", rcpt)
	}
	c.cmd(554, "RCPT TO:<@ours.test:b@far.test>") // a source route is taken off (RFC 5321 §4.1.1.3)
}

func TestALoopEnds(t *testing.T) {
	g := newRig(t, base("", "listener: limits { hops = 5 }"), nil)
	c := g.dial()
	text := c.send(554, "a@here.test", strings.Repeat("Received: from x by y\r\n", 5)+hello, "b@far.test")
	if !strings.HasPrefix(text, "5.4.6") {
		t.Errorf("got %q", text)
	}
	c.send(250, "a@here.test", strings.Repeat("Received: from x by y\r\n", 4)+hello, "b@far.test")
}

func TestAHeaderOverTheLimitIsRefusedAndTheSessionGoesOn(t *testing.T) {
	g := newRig(t, base("", `listener: limits { header_size = "4KiB" }`), nil)
	c := g.dial()
	c.send(552, "a@here.test", "X: "+strings.Repeat("y", 8000)+"\r\n\r\nbody\r\n", "b@far.test")
	c.send(250, "a@here.test", hello, "b@far.test")
}

func TestAStageThatPanicsCostsOneMessage(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), native(func(m relay.Message) (mail.Verdict, error) {
		if s, _ := m.Header().Get("Subject"); s == "bomb" {
			panic("boom")
		}
		return mail.Continue, nil
	}))
	c := g.dial()
	if text := c.send(451, "a@here.test", "Subject: bomb\r\n\r\n", "b@far.test"); strings.Contains(text, "boom") {
		t.Errorf("the client was told %q", text)
	}
	c.send(250, "a@here.test", hello, "b@far.test")
	wait(t, g, 1)
}

func TestQuarantineAndRelease(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), native(func(m relay.Message) (mail.Verdict, error) {
		return mail.Quarantine, m.SetReply(250, mail.Enhanced{2, 0, 0}, "looks odd")
	}))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	g.idle()
	q := g.queue()
	if len(q) != 1 || q[0].State != "quarantined" || !strings.Contains(q[0].Reason, "looks odd") || g.sink.Count() != 0 {
		t.Fatalf("queue %+v, %d delivered", q, g.sink.Count())
	}
	g.clock.Advance(31 * 24 * time.Hour)
	g.idle()
	if q := g.queue(); len(q) != 0 || g.sink.Count() != 0 {
		t.Errorf("after its time the quarantined message is %+v, %d delivered", q, g.sink.Count())
	}
}

func TestMixedRecipients(t *testing.T) {
	refuseFirst := native(func(m relay.Message) (mail.Verdict, error) {
		return mail.Continue, m.SetRecipientVerdict(0, mail.Reject, mail.NewReply(550, mail.Enhanced{5, 1, 1}, "no such user"))
	})
	for _, c := range []struct {
		mixed      string
		code, sent int
	}{{"accept_and_drop", 250, 1}, {"accept_and_bounce", 250, 2}, {"tempfail", 451, 0}} {
		t.Run(c.mixed, func(t *testing.T) {
			g := newRig(t, base(testStage, testPlugin+"\nlistener: on_mixed = \""+c.mixed+"\""), refuseFirst)
			g.dial().send(c.code, "a@here.test", hello, "no@far.test", "yes@far.test")
			g.idle()
			if n := g.sink.Count(); n != c.sent {
				t.Fatalf("%d messages left, want %d", n, c.sent)
			}
			for _, m := range g.sink.Messages() {
				if m.From == "<>" && (m.To[0] != "<a@here.test>" || !strings.Contains(string(m.Content), "no@far.test")) {
					t.Errorf("bounce to %v:\n%s", m.To, m.Content)
				}
				if m.From != "<>" && (len(m.To) != 1 || m.To[0] != "<yes@far.test>") {
					t.Errorf("message to %v", m.To)
				}
			}
		})
	}
}

func TestWhenSplitsAMessage(t *testing.T) {
	stage := `stage "test" {
  plugin = plugin.test
  when   = recipient.domain == "far.test"
}`
	g := newRig(t, base(stage, testPlugin), native(func(m relay.Message) (mail.Verdict, error) {
		_, err := m.AddHeader(0, "X-Far", "yes")
		return mail.Continue, err
	}))
	big := hello + strings.Repeat("0123456789abcdef\r\n", 10000) // a body in a file, needed twice
	g.dial().send(250, "a@here.test", big, "b@far.test", "c@near.test")
	g.idle()
	for _, m := range g.sink.Messages() {
		marked := strings.Contains(string(m.Content), "X-Far: yes")
		if marked != (m.To[0] == "<b@far.test>") || len(m.To) != 1 || !strings.HasSuffix(string(m.Content), big[len(big)-100:]) {
			t.Errorf("to %v, marked %v", m.To, marked)
		}
	}
	if n := g.sink.Count(); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestRetriesAndBounce(t *testing.T) {
	g := newRig(t, base("", ""), nil)
	g.sink.SetScript(func(e testEvent) testAction {
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "later") {
			return testAction{Reply: "450 4.2.1 not now"}
		}
		if e.Verb == "RCPT" && strings.Contains(e.Arg, "never") {
			return testAction{Reply: "550 5.1.1 no such user"}
		}
		return testAction{}
	})
	g.dial().send(250, "a@here.test", hello, "ok@far.test", "later@far.test", "never@far.test")
	g.idle()
	if got := arrived(g); got != "<a@here.test>-><ok@far.test> <>-><a@here.test>" {
		t.Fatalf("at once: %s", got)
	}
	q := g.queue()
	if len(q) != 1 || !strings.Contains(q[0].Recipients[1].Last, "450 4.2.1 not now") || q[0].Recipients[1].Attempts != 1 {
		t.Fatalf("queue %+v", q)
	}
	g.sink.SetScript(nil)
	g.clock.Advance(10 * time.Minute)
	g.idle()
	if got := arrived(g); got != "<a@here.test>-><ok@far.test> <>-><a@here.test> <a@here.test>-><later@far.test>" {
		t.Errorf("after the retry: %s", got)
	}
	if q := g.queue(); len(q) != 0 {
		t.Errorf("queue %+v", q)
	}
}

func arrived(g *rig) string {
	var out []string
	for _, m := range g.sink.Messages() {
		out = append(out, m.From+"->"+strings.Join(m.To, ","))
	}
	return strings.Join(out, " ")
}

func TestANullSenderGetsNoBounce(t *testing.T) {
	g := newRig(t, base("", ""), nil)
	g.sink.SetScript(func(e testEvent) testAction {
		if e.Verb == "RCPT" {
			return testAction{Reply: "550 5.1.1 no such user"}
		}
		return testAction{}
	})
	g.dial().send(250, "", hello, "never@far.test")
	g.idle()
	if q := g.queue(); len(q) != 0 || g.sink.Count() != 0 {
		t.Errorf("queue %+v, %d messages", q, g.sink.Count())
	}
}

func TestSubmit(t *testing.T) {
	g := newRig(t, base("", `listener: limits { message_size = "10KiB" }`), nil)
	ctx := context.Background()
	id, err := g.r.Submit(ctx, relay.Submission{Sender: "a@here.test", Recipients: []string{"b@far.test"}, Content: strings.NewReader("Subject: x\n\nline\n")})
	if err != nil {
		t.Fatal(err)
	}
	got := wait(t, g, 1)[0]
	if !strings.Contains(got, id) || withoutTrace(t, []byte(got)) != "Subject: x\r\n\r\nline\r\n" {
		t.Errorf("got %q", got)
	}
	var reply *mail.Reply
	_, err = g.r.Submit(ctx, relay.Submission{Recipients: []string{"b@far.test"}, Content: strings.NewReader(strings.Repeat("x\n", 10000))})
	if !errors.As(err, &reply) || reply.Code != 552 {
		t.Errorf("a message over the limit gave %v", err)
	}
	for _, s := range []relay.Submission{{}, {Recipients: []string{"no address"}}, {Listener: "none", Recipients: []string{"b@far.test"}}} {
		if _, err := g.r.Submit(ctx, s); err == nil {
			t.Errorf("%+v was taken", s)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pipeline.hcl")
	write := func(hcl string) {
		if err := os.WriteFile(file, []byte(hcl), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tag := native(func(m relay.Message) (mail.Verdict, error) {
		_, err := m.AddHeader(0, "X-Tag", "1")
		return mail.Continue, err
	})
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options("", tag)
	o.Config, o.ConfigFile = nil, file
	write(base("", ""))
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	addr := r.Addr("in").String()

	old := g.dial()
	old.cmd(250, "MAIL FROM:<a@here.test>") // begun with the old configuration
	write(base(testStage, testPlugin))
	if err := r.Reload(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := r.Addr("in").String(); got != addr {
		t.Errorf("the listener moved from %s to %s", addr, got)
	}
	g.dial().send(250, "new@here.test", hello, "b@far.test")
	old.cmd(250, "RCPT TO:<b@far.test>")
	old.cmd(354, "DATA")
	old.cmd(250, "Subject: x\r\n\r\nold\r\n.")
	for _, content := range wait(t, g, 2) {
		if strings.Contains(content, "X-Tag") == strings.Contains(content, "\r\nold\r\n") {
			t.Errorf("the wrong configuration was used for\n%s", content)
		}
	}

	write(strings.Replace(base("", ""), "route.next", "route.nxt", 1))
	if err := r.Reload(context.Background()); !errors.Is(err, relay.ErrConfig) || !strings.Contains(err.Error(), "next") {
		t.Errorf("a wrong configuration gave %v", err)
	}
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	if got := wait(t, g, 3)[2]; !strings.Contains(got, "X-Tag") {
		t.Error("a refused reload changed the pipeline")
	}
}

func TestBadStartsEndInOneSentence(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("component.wasm", []byte("\x00asm\x0d\x00\x01\x00"))
	put("text.wasm", []byte("hello"))
	put("empty.wasm", []byte("\x00asm\x01\x00\x00\x00"))
	plugin := func(file string) string {
		return base(`stage "x" { plugin = plugin.x }`, `plugin "x" { source = "./`+file+`" }`)
	}
	taken := newRig(t, base("", ""), nil)
	for _, c := range []struct {
		name, hcl string
		kind      error
		want      []string
	}{
		{"missing file", plugin("gone.wasm"), relay.ErrConfig, []string{"gone.wasm", "does not exist", "test.hcl:"}},
		{"component", plugin("component.wasm"), relay.ErrConfig, []string{"component", "test.hcl:"}},
		{"not wasm", plugin("text.wasm"), relay.ErrConfig, []string{"test.hcl:"}},
		{"no exports", plugin("empty.wasm"), relay.ErrConfig, []string{"pr_init", "test.hcl:"}},
		{"unregistered Go stage", base(testStage, testPlugin), relay.ErrConfig, []string{"native:test", "Options.Stages"}},
		{"port in use", strings.Replace(base("", ""), "127.0.0.1:0", taken.r.Addr("in").String(), 1), relay.ErrUnavailable, []string{"in use", `listener "in"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := taken.options(c.hcl, nil)
			o.ConfigFile = filepath.Join(dir, "test.hcl")
			r, err := relay.Open(context.Background(), o)
			if err == nil {
				r.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, c.kind) {
				t.Errorf("%v is not %v", err, c.kind)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in %v", w, err)
				}
			}
		})
	}
}

func TestADataDirectoryIsOpenedOnce(t *testing.T) {
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options(base("", ""), nil)
	o.InMemory = false
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	second, err := relay.Open(context.Background(), o)
	if err == nil {
		second.Close()
		t.Fatal("two relays share a data directory")
	}
	if !errors.Is(err, relay.ErrUnavailable) || !strings.Contains(err.Error(), o.DataDir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestQueuedMailSurvivesARestart(t *testing.T) {
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	g.sink.SetScript(func(e testEvent) testAction {
		if e.Verb == "MAIL" {
			return testAction{Reply: "451 4.3.0 not now"}
		}
		return testAction{}
	})
	o := g.options(base("", ""), nil)
	o.InMemory = false
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	g.dial().send(250, "a@here.test", hello+strings.Repeat("0123456789abcdef\r\n", 10000), "b@far.test")
	g.idle()
	g.end()

	g.sink.SetScript(nil)
	r, err = relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	g.idle()
	if q := g.queue(); len(q) != 1 || q[0].Recipients[0].Attempts != 1 {
		t.Fatalf("queue after the restart: %+v", q)
	}
	g.clock.Advance(time.Hour)
	if got := withoutTrace(t, []byte(wait(t, g, 1)[0])); !strings.HasPrefix(got, hello) {
		t.Errorf("got %.200q", got)
	}
}
