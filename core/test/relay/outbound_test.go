// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// outgoing is a configuration whose route "next" passes a pipeline of the stage
// "test", with options of that stage, and that has a route "other" to nowhere.
func outgoing(stage, extra string) string {
	return strings.Replace(base("", extra), `route "next" {`, `route "next" {
  pipeline = pipeline.out`, 1) + `
plugin "test" {
  source = "native:test"
  grant { tick = "1m" }
}
pipeline "out" {
  stage "test" {
    plugin = plugin.test
    ` + stage + `
  }
}
route "other" {
  smarthost { hosts = [env("OTHER", "127.0.0.1:1")] }
  retry = ["10m"]
}
`
}

type phaseFunc func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error)

// sent leaves out the reports, which pass the pipeline as well.
func (f phaseFunc) sent() phaseFunc {
	return func(p mail.Phase, arg int, m relay.Message) (mail.Verdict, error) {
		if m.Envelope().Sender.IsNull() {
			return mail.Continue, nil
		}
		return f(p, arg, m)
	}
}

func says(v mail.Verdict, code int, text string) phaseFunc {
	return func(_ mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		if code == 0 {
			return v, nil
		}
		return v, m.SetReply(code, mail.Enhanced{}, text)
	}
}

// picture is what can be seen: what came to the sink, and what is queued.
func (g *rig) picture() string {
	g.t.Helper()
	var lines []string
	for _, m := range g.sink.Messages() {
		h := mail.ParseHeader(m.Content)
		subject, _ := h.Get("Subject")
		lines = append(lines, fmt.Sprintf("sink: %s to %s: %s", m.From, strings.Join(m.To, " "), subject))
	}
	for _, m := range g.queue() {
		for _, r := range m.Recipients {
			lines = append(lines, fmt.Sprintf("queue: %s, %s %s after %d: %s", m.State, r.Address, r.Status, r.Attempts, r.Last))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Every verdict of every phase of delivery is seen at the next hop or in the
// queue.
func TestVerdictsOfDelivery(t *testing.T) {
	const report = "sink: <> to <a@here.test>: Undelivered mail returned to sender"
	const arrived = "sink: <a@here.test> to <b@far.test>: hello"
	refuse := testkit.RefuseRcpt("far.test", "550 5.1.1 no such user")
	later := testkit.RefuseRcpt("far.test", "451 4.2.0 not now")
	for _, c := range []struct {
		name   string
		phase  mail.Phase
		script testkit.Script
		do     phaseFunc
		want   string
	}{
		{"route continue", mail.PhaseRoute, nil, says(mail.Continue, 0, ""), arrived},
		{"route reject", mail.PhaseRoute, nil, says(mail.Reject, 550, "no way"), report},
		{"route tempfail", mail.PhaseRoute, nil, says(mail.Tempfail, 451, "later"), "queue: deferred, b@far.test queued after 1: 451 4.7.1 later"},
		{"route discard", mail.PhaseRoute, nil, says(mail.Discard, 0, ""), ""},
		{"route defer", mail.PhaseRoute, nil, says(mail.Defer, 450, "look at it"), "queue: held, b@far.test queued after 0: 451 4.7.1 held by stage test: look at it"},
		{"predeliver continue", mail.PhasePredeliver, nil, says(mail.Continue, 0, ""), arrived},
		{"predeliver reject", mail.PhasePredeliver, nil, says(mail.Reject, 0, ""), report},
		{"predeliver tempfail", mail.PhasePredeliver, nil, says(mail.Tempfail, 0, ""), "queue: deferred, b@far.test queued after 1: 451 4.7.1 not now, try again later"},
		{"predeliver discard", mail.PhasePredeliver, nil, says(mail.Discard, 0, ""), ""},
		{"predeliver defer", mail.PhasePredeliver, nil, says(mail.Defer, 0, ""), "queue: held, b@far.test queued after 0: 451 4.7.1 held by stage test"},
		{"result continue", mail.PhaseResult, refuse, says(mail.Continue, 0, ""), report},
		{"result reject", mail.PhaseResult, later, says(mail.Reject, 554, "enough"), report},
		{"result reject of a delivery", mail.PhaseResult, nil, says(mail.Reject, 554, "enough"), arrived},
		{"result defer", mail.PhaseResult, refuse, says(mail.Defer, 450, "look at it"),
			"queue: held, b@far.test queued after 1: SINK: 451 4.7.1 held by stage test: look at it; last reply: 550 5.1.1 no such user"},
		{"bounce continue", mail.PhaseBounce, refuse, says(mail.Continue, 0, ""), report},
		{"bounce discard", mail.PhaseBounce, refuse, says(mail.Discard, 0, ""), ""},
		{"not permitted", mail.PhaseRoute, nil, says(mail.Quarantine, 0, ""), "queue: deferred, b@far.test queued after 1: stage test failed in route: verdict is not permitted in this phase: quarantine in phase route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, outgoing("", ""), inPhases(c.do.sent(), c.phase))
			g.sink.SetScript(c.script)
			g.dial().send(250, "a@here.test", hello, "b@far.test")
			g.idle()
			host, _, _ := strings.Cut(g.sink.Addr().String(), ":")
			if got := strings.ReplaceAll(g.picture(), host, "SINK"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// A stage that fails loses nothing: it is another try, or a hold, or nothing at
// all where the decision has been made.
func TestFaultsOfDeliveryLoseNothing(t *testing.T) {
	const arrived = "sink: <a@here.test> to <b@far.test>: hello"
	const retried = "queue: deferred, b@far.test queued after 1: stage test failed in "
	const held = "queue: held, b@far.test queued after 0: 451 4.7.1 held by stage test: stage test failed"
	fails := func(mail.Phase, int, relay.Message) (mail.Verdict, error) { return mail.Continue, errors.New("broken") }
	panics := func(mail.Phase, int, relay.Message) (mail.Verdict, error) { panic("a bug") }
	for _, c := range []struct {
		name, stage string
		phase       mail.Phase
		do          phaseFunc
		want        string
	}{
		{"route", "", mail.PhaseRoute, fails, retried + "route: broken"},
		{"route panics", "", mail.PhaseRoute, panics, retried + "route: panic: a bug"},
		{"route quarantine", `on_error = "quarantine"`, mail.PhaseRoute, fails, held},
		{"route skip", `on_error = "skip"`, mail.PhaseRoute, fails, arrived},
		{"predeliver", "", mail.PhasePredeliver, fails, retried + "predeliver: broken"},
		{"predeliver panics", "", mail.PhasePredeliver, panics, retried + "predeliver: panic: a bug"},
		{"predeliver quarantine", `on_error = "quarantine"`, mail.PhasePredeliver, fails, held},
		{"result", "", mail.PhaseResult, fails, arrived},
		{"bounce", "", mail.PhaseBounce, panics, arrived},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, outgoing(c.stage, ""), inPhases(c.do.sent(), c.phase))
			g.dial().send(250, "a@here.test", hello, "b@far.test")
			g.idle()
			if got := g.picture(); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// What predeliver edits is sent, and the queue has the message as it was: the
// next attempt begins from there.
func TestEditsBeforeAnAttempt(t *testing.T) {
	edit := phaseFunc(func(_ mail.Phase, attempt int, m relay.Message) (mail.Verdict, error) {
		_, err := m.AddHeader(0, "X-Attempt", fmt.Sprint(attempt, m.Header().Count("X-Attempt")))
		size, _ := m.Size(1)
		return mail.Continue, errors.Join(err, m.SetSender("bounces@here.test"), m.WriteBody(fmt.Appendf(nil, "%d octets were here\n", size), true))
	})
	g := newRig(t, outgoing("", ""), inPhases(edit.sent(), mail.PhasePredeliver))
	g.sink.SetScript(testkit.RefuseRcpt("", "451 4.2.0 not now"))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	g.idle()
	q := g.queue()
	if len(q) != 1 || q[0].Sender != "a@here.test" {
		t.Fatalf("queue %+v", q)
	}
	g.sink.SetScript(nil)
	g.clock.Advance(10 * time.Minute)
	g.idle()
	got := g.sink.Messages()
	if len(got) != 1 || got[0].From != "<bounces@here.test>" {
		t.Fatalf("sink %+v", got)
	}
	if content := string(got[0].Content); !strings.HasPrefix(content, "X-Attempt: 2 0\r\nReceived:") || !strings.HasSuffix(content, "\r\n\r\n22 octets were here\r\n") {
		t.Errorf("content %q", content)
	}
}

// Messages of one connection are pipelined also when a stage looks at each.
func TestManyMessagesWithStagesShareConnections(t *testing.T) {
	var calls atomic.Int32
	count := func(mail.Phase, int, relay.Message) (mail.Verdict, error) {
		calls.Add(1)
		return mail.Continue, nil
	}
	g := newRig(t, outgoing("", ""), inPhases(count, mail.PhaseRoute, mail.PhasePredeliver, mail.PhaseResult))
	c := g.dial()
	for range 100 {
		c.send(250, "a@here.test", hello, "b@far.test")
	}
	g.idle()
	if n, conns := g.sink.Count(), g.sink.Connections(); n != 100 || conns > 4 || calls.Load() != 300 {
		t.Errorf("%d messages over %d connections, %d calls", n, conns, calls.Load())
	}
}

// A stage chooses among the routes for each recipient, at each attempt; a route
// that is not there keeps the mail.
func TestRouteIsChosenAtEachAttempt(t *testing.T) {
	choose := phaseFunc(func(_ mail.Phase, rcpt int, m relay.Message) (mail.Verdict, error) {
		d := m.Delivery()
		switch {
		case d.Attempt == 1 && m.Envelope().Recipients[rcpt].Address == "gone@far.test":
			return mail.Continue, m.SetRoute(-1, "gone", "")
		case d.Attempt == 1 && d.Route == "next":
			return mail.Continue, m.SetRoute(rcpt, "other", "")
		}
		return mail.Continue, nil
	})
	g := newRig(t, outgoing("", ""), inPhases(choose.sent(), mail.PhaseRoute))
	g.dial().send(250, "a@here.test", hello, "gone@far.test", "b@far.test")
	g.idle()
	q := g.queue()
	if len(q) != 1 || !strings.Contains(q[0].Recipients[0].Last, `451 4.3.5 the configuration has no route "gone"`) ||
		!strings.HasPrefix(q[0].Recipients[1].Last, "127.0.0.1: 451 4.4.1") {
		t.Fatalf("%+v", q)
	}
	g.clock.Advance(10 * time.Minute)
	g.idle()
	if got := g.picture(); got != "sink: <a@here.test> to <gone@far.test> <b@far.test>: hello" && got != "sink: <a@here.test> to <b@far.test>: hello\nsink: <a@here.test> to <gone@far.test>: hello" {
		t.Error(got)
	}
}

// A held recipient waits alone; release lets it go.
func TestAHeldRecipientWaitsAlone(t *testing.T) {
	var calls atomic.Int32
	hold := phaseFunc(func(_ mail.Phase, rcpt int, m relay.Message) (mail.Verdict, error) {
		if m.Envelope().Recipients[rcpt].Address == "b@far.test" && calls.Add(1) == 1 {
			return mail.Defer, m.SetReply(450, mail.Enhanced{}, "who is b?")
		}
		return mail.Continue, nil
	})
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	o := g.options(outgoing("", ""), inPhases(hold.sent(), mail.PhaseRoute))
	o.InMemory = false // for the control socket
	r, err := relay.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	g.dial().send(250, "a@here.test", hello, "b@far.test", "c@far.test")
	g.idle()
	g.clock.Advance(100 * 24 * time.Hour)
	g.idle()
	const held = "queue: held, b@far.test queued after 0: 451 4.7.1 held by stage test: who is b?\nqueue: held, c@far.test delivered after 1: "
	if got := g.picture(); !strings.HasPrefix(got, held) {
		t.Fatalf("%s", got)
	}
	q := g.queue()
	if why := q[0].Recipients[0].Why; why != "held: by stage test: who is b?" {
		t.Errorf("why: %q", why)
	}
	operator := control.Dial(control.SocketPath(g.r.DataDir()))
	if _, err := operator.Act(context.Background(), control.Action{Verb: "release", IDs: []string{q[0].ID}}); err != nil {
		t.Fatal(err)
	}
	g.idle()
	if n := g.sink.Count(); n != 2 || len(g.queue()) != 0 {
		t.Errorf("%d messages arrived", n)
	}
}

// Stages see what became of each recipient, and say when to try again.
func TestResultOverridesTheRetryTime(t *testing.T) {
	j := newJournal()
	look := phaseFunc(func(_ mail.Phase, attempt int, m relay.Message) (mail.Verdict, error) {
		d := m.Delivery()
		for i := range 3 {
			o, last := d.Outcomes[i], d.Last[i]
			j.add("%d/%d %s %d was %d", attempt, i, o.Status, o.Reply.Code, last.Reply.Code)
		}
		return mail.Continue, m.SetQueue(abi.QueueNotBefore, time.Date(2030, 1, 1, 9, 0, 42, 0, time.UTC).UnixMilli())
	})
	g := newRig(t, outgoing("", ""), inPhases(look.sent(), mail.PhaseResult))
	g.sink.SetScript(testkit.Scripts(testkit.RefuseRcpt("bad", "550 5.1.1 no"), testkit.RefuseRcpt("full", "452 4.2.2 full")))
	g.dial().send(250, "a@here.test", hello, "ok@far.test", "bad@far.test", "full@far.test")
	g.idle()
	j.expect(t, "1/0 delivered 250 was 0", "1/1 failed 550 was 0", "1/2 deferred 452 was 0")
	q := g.queue()
	if next := q[0].Recipients[2].Next; !next.Equal(time.Date(2030, 1, 1, 9, 0, 42, 0, time.UTC)) {
		t.Errorf("next attempt %v", next)
	}
	g.sink.SetScript(nil)
	g.clock.Advance(42 * time.Second)
	g.idle()
	if n := g.sink.Count(); n != 3 || len(g.queue()) != 0 {
		t.Errorf("%d arrived: %s", n, g.picture())
	}
}

// Stages write the report's words and add fields to it, suppress it for one of
// several recipients, and may emit a message of their own.
func TestBounceIsEdited(t *testing.T) {
	edit := phaseFunc(func(_ mail.Phase, rcpt int, m relay.Message) (mail.Verdict, error) {
		if m.Envelope().Recipients[rcpt].Address == "secret@far.test" {
			return mail.Discard, m.Emit(relay.Emission{Recipients: []mail.Address{"postmaster@here.test"}, Header: []byte("Subject: one is kept quiet\r\n"), OfMessage: true})
		}
		_, err := m.AddHeader(0, "X-Ticket", "42")
		_, err2 := m.AddHeader(0, "Subject", "mine")
		return mail.Continue, errors.Join(err, err2, m.SetReply(550, mail.Enhanced{5, 1, 1}, "call us"))
	})
	g := newRig(t, outgoing("", ""), inPhases(edit.sent(), mail.PhaseBounce))
	g.sink.SetScript(testkit.RefuseRcpt("far.test", "550 5.1.1 no such user"))
	g.dial().send(250, "a@here.test", hello, "b@far.test", "secret@far.test", "c@far.test")
	g.idle()
	got := g.picture()
	if got != "sink: <> to <a@here.test>: Undelivered mail returned to sender\nsink: <> to <postmaster@here.test>: one is kept quiet" {
		t.Fatal(got)
	}
	for _, m := range g.sink.Messages() {
		if m.To[0] == "<postmaster@here.test>" {
			if !bytes.HasSuffix(m.Content, []byte("It works.\r\n.dot line\r\n")) {
				t.Errorf("emitted: %q", m.Content)
			}
			continue
		}
		if n := bytes.Count(m.Content, []byte("X-Ticket: 42\r\n")); n != 1 || bytes.Contains(m.Content, []byte("secret@")) || !bytes.Contains(m.Content, []byte("x-postroad; 550 5.1.1 call us")) {
			t.Errorf("report: %s", m.Content)
		}
	}
}

// A reload between two attempts changes the stages at the next, and closes
// nothing under an attempt.
func TestReloadBetweenAttempts(t *testing.T) {
	gate, reached := make(chan struct{}), make(chan struct{})
	stages := map[string]relay.NewStage{"test": func(config []byte) (relay.Stage, error) {
		tag := string(config)
		return allPhases{[]mail.Phase{mail.PhasePredeliver, mail.PhaseResult}, func(p mail.Phase, attempt int, m relay.Message) (mail.Verdict, error) {
			if p == mail.PhaseResult && attempt == 1 {
				close(reached)
				<-gate
			}
			_, err := m.AddHeader(0, "X-Stage", tag)
			if p == mail.PhaseResult {
				err = nil
			}
			return mail.Continue, err
		}}, nil
	}}
	g, reload := reloading(t, outgoing(`config { v = "one" }`, ""), stages)
	g.sink.SetScript(testkit.RefuseRcpt("", "451 4.2.0 not now"))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	<-reached
	reload(outgoing(`config { v = "two" }`, ""))
	close(gate)
	g.idle()
	g.sink.SetScript(nil)
	g.clock.Advance(10 * time.Minute)
	g.idle()
	if got := g.sink.Messages(); len(got) != 1 || !bytes.HasPrefix(got[0].Content, []byte("X-Stage: {\"v\":\"two\"}\r\nReceived")) {
		t.Errorf("%+v", got)
	}
}

// A stage with the grant tick is called at its interval, one call at a time, and
// what it emits arrives. A reload does not put its turn off.
func TestTick(t *testing.T) {
	var calls atomic.Int32
	tick := func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		n := calls.Add(1)
		return mail.Continue, m.Emit(relay.Emission{Sender: "cron@here.test", Recipients: []mail.Address{"b@far.test"},
			Header: fmt.Appendf(nil, "Subject: tick %d\r\n", n), Body: []byte("tock\n")})
	}
	g, reload := reloading(t, outgoing("", ""), inPhases(tick, mail.PhaseTick))
	g.dial() // it runs
	step := func(d time.Duration, want int) {
		t.Helper()
		g.clock.Advance(d)
		g.idle()
		if n := g.sink.Count(); n != want {
			t.Fatalf("%d messages after %v, want %d", n, d, want)
		}
	}
	step(59*time.Second, 0)
	step(time.Second, 1)
	step(90*time.Second, 2)
	reload(outgoing("", ""))
	step(30*time.Second, 3)
	g.end()
	g.clock.Advance(time.Hour)
	if n := calls.Load(); n != 3 {
		t.Errorf("%d calls, some after the end", n)
	}
}

// A candidate does not tick before it is promoted.
func TestACandidateDoesNotTick(t *testing.T) {
	j := newJournal()
	stages := map[string]relay.NewStage{}
	for _, name := range []string{"test", "next"} {
		stages[name] = func([]byte) (relay.Stage, error) {
			return allPhases{[]mail.Phase{mail.PhaseTick}, func(mail.Phase, int, relay.Message) (mail.Verdict, error) {
				j.add("%s", name)
				return mail.Continue, nil
			}}, nil
		}
	}
	hcl := outgoing(`candidate {
      plugin = plugin.next
      mode   = "shadow"
    }`, "plugin \"next\" {\n  source = \"native:next\"\n  grant { tick = \"1h\" }\n}")
	g := newRig(t, hcl, stages)
	g.dial() // it runs
	g.clock.Advance(time.Minute)
	g.idle()
	if _, err := g.r.PromoteStage("test"); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(time.Minute)
	g.idle()
	g.clock.Advance(time.Hour)
	g.idle()
	j.expect(t, "test", "next")
}

// A guest does in all phases of delivery what a stage in Go can do.
func TestAGuestInThePhasesOfDelivery(t *testing.T) {
	module, err := filepath.Abs("testdata/outbound.wasm")
	if err != nil {
		t.Fatal(err)
	}
	hcl := strings.Replace(outgoing("", ""), `source = "native:test"
  grant { tick = "1m" }`, fmt.Sprintf(`source = %q
  grant {
    read   = ["envelope"]
    write  = ["headers", "queue"]
    routes = [route.other]
    emit   = true
    tick   = "1m"
  }`, module), 1)
	hcl = strings.Replace(hcl, `hosts = [env("OTHER", "127.0.0.1:1")] }
`, `hosts = [env("SINK", "")] }
  pipeline = pipeline.out
`, 1)
	g := newRig(t, hcl, nil)
	g.sink.SetScript(testkit.Scripts(testkit.RefuseRcpt("later", "451 4.2.0 not now"), testkit.RefuseRcpt("never", "550 5.1.1 no")))
	g.dial().send(250, "a@here.test", hello, "later@far.test", "never@far.test")
	g.idle()
	q := g.queue()
	if len(q) != 1 || !q[0].Recipients[0].Next.Equal(g.clock.Now().Add(5*time.Second)) || q[0].Recipients[1].Status != "failed" {
		t.Fatalf("queue %+v", q)
	}
	g.sink.SetScript(nil)
	g.clock.Advance(5 * time.Second)
	g.idle()
	got := g.sink.Messages()
	if len(got) != 1 || !bytes.HasPrefix(got[0].Content, []byte("X-Guest: was here\r\nReceived: ")) {
		t.Fatalf("sink %+v", got)
	}
	g.clock.Advance(55 * time.Second)
	g.idle()
	if got := g.picture(); got != "sink: <> to <b@far.test>: tick\nsink: <a@here.test> to <later@far.test>: hello" {
		t.Error(got)
	}
}

// The queue shows which code each stage ran for a message, and what they scored.
func TestTheQueueShowsTheStagesOfAMessage(t *testing.T) {
	score := func(m relay.Message) (mail.Verdict, error) {
		return mail.Defer, m.AddScore("ODD", 1500)
	}
	g := newRig(t, base(testStage, testPlugin), native(score))
	g.dial().send(250, "a@here.test", hello, "b@far.test")
	q := g.queue()
	if len(q) != 1 || !slices.Equal(q[0].Stages, []mail.StageMark{{Stage: "test", Code: "native:test"}}) ||
		!slices.Equal(q[0].Scores, []mail.Score{{Stage: "test", Symbol: "ODD", Milli: 1500}}) {
		t.Errorf("%+v", q)
	}
}
