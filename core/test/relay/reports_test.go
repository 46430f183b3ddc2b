// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/control"
	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
	"github.com/postroad-mail/postroad/sdk/abi"
)

// askFor hands one message in: mailParams stand behind MAIL, and each of to is a
// path with its parameters.
func (c *client) askFor(mailParams string, to ...string) {
	c.t.Helper()
	c.cmd(250, "MAIL FROM:<a@here.test> %s", mailParams)
	for _, r := range to {
		path, params, _ := strings.Cut(r, " ")
		c.cmd(250, "RCPT TO:<%s> %s", path, params)
	}
	c.cmd(354, "DATA")
	w := c.c.DotWriter()
	fmt.Fprint(w, hello)
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.expect(250)
}

// reports returns what senders were told, in the fields for programs: a line for
// each recipient, "action final-recipient".
func (g *rig) reports() []string {
	g.t.Helper()
	g.idle()
	var out []string
	for _, m := range g.sink.Messages() {
		if m.From != "<>" {
			continue
		}
		if m.To[0] != "<a@here.test>" {
			g.t.Errorf("a report went to %v", m.To)
		}
		out = append(out, told(string(m.Content))...)
	}
	return out
}

func told(content string) []string {
	var out []string
	for _, group := range strings.Split(content, "\r\n\r\n") {
		if to, action := value(group, "Final-Recipient: rfc822; "), value(group, "Action: "); action != "" {
			out = append(out, action+" "+to)
		}
	}
	return out
}

func value(text, name string) string {
	_, rest, found := strings.Cut("\r\n"+text, "\r\n"+name)
	if !found {
		return ""
	}
	line, _, _ := strings.Cut(rest, "\r\n")
	return line
}

// has compares reports with what was expected, in any order.
func (g *rig) has(want ...string) {
	g.t.Helper()
	got := g.reports()
	count := map[string]int{}
	for i, line := range append(got, want...) {
		if i < len(got) {
			count[line]++
		} else {
			count[line]--
		}
	}
	for _, n := range count {
		if n != 0 {
			g.t.Fatalf("reports %q, want %q", got, want)
		}
	}
}

// boxes delivers ours.test to mailboxes of this machine.
func boxes(hcl string) string {
	return strings.Replace(hcl, "routing {", `route "boxes" {
  maildir { create = true }
}
routing {
  rule {
    domains = ["ours.test"]
    route   = route.boxes
  }`, 1)
}

// Who asks hears of a delivery to a mailbox, and of a next hop that tells nobody.
func TestASuccessIsReportedToWhoAsks(t *testing.T) {
	g := newRig(t, boxes(base("", "")), nil)
	g.dial().askFor("ENVID=QQ+20314 RET=FULL", "b@ours.test NOTIFY=SUCCESS ORCPT=rfc822;B+2Bx@ours.test", "c@ours.test",
		"d@ours.test NOTIFY=NEVER", "e@far.test NOTIFY=SUCCESS,FAILURE", "f@far.test NOTIFY=FAILURE")
	g.has("delivered b@ours.test", "relayed e@far.test")
	for _, m := range g.sink.Messages() {
		if m.From != "<>" {
			continue
		}
		content := string(m.Content)
		if value(content, "Original-Envelope-Id: ") != "QQ 314" || strings.Contains(content, "It works.") {
			t.Errorf("report: %s", content)
		}
		if strings.Contains(content, "b@ours.test") && value(content, "Original-Recipient: ") != "rfc822; B+x@ours.test" {
			t.Errorf("report: %s", content)
		}
	}
	if q := g.queue(); len(q) != 0 {
		t.Errorf("queue %+v", q)
	}
}

// A program asks as a client of SMTP does, and its stages see the parameters.
func TestASubmissionAsksForReports(t *testing.T) {
	var seen []string
	g := newRig(t, boxes(base(testStage, testPlugin)), native(func(m relay.Message) (mail.Verdict, error) {
		seen = append(seen, m.Envelope().Params, m.Envelope().Recipients[0].Params)
		return mail.Continue, nil
	}))
	_, err := g.r.Submit(t.Context(), relay.Submission{
		Sender: "a@here.test", Recipients: []string{"b@ours.test", "c@ours.test"}, Content: strings.NewReader(hello),
		Return: mail.ReturnHeaders, EnvelopeID: "QQ 314",
		DSN: map[string]relay.RecipientDSN{"b@ours.test": {Notify: mail.NotifySuccess | mail.NotifyFailure, ORCPT: "rfc822;B+x@ours.test"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g.has("delivered b@ours.test")
	content := string(g.sink.Messages()[0].Content)
	if value(content, "Original-Envelope-Id: ") != "QQ 314" || value(content, "Original-Recipient: ") != "rfc822; B+x@ours.test" {
		t.Errorf("report: %s", content)
	}
	if want := []string{"BODY=8BITMIME RET=HDRS ENVID=QQ+20314", "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@ours.test"}; !slices.Equal(seen, want) {
		t.Errorf("stages saw %q, want %q", seen, want)
	}
}

// What SMTP would refuse is refused before anything else.
func TestASubmissionThatAsksWrongly(t *testing.T) {
	g := newRig(t, base("", ""), nil)
	of := func(w relay.RecipientDSN) relay.Submission {
		return relay.Submission{DSN: map[string]relay.RecipientDSN{"b@far.test": w}}
	}
	for name, s := range map[string]relay.Submission{
		"RET":                  {Return: 9},
		"ENVID with a line":    {EnvelopeID: "a\r\nb"},
		"ENVID too long":       {EnvelopeID: strings.Repeat("a", 101)},
		"ENVID in UTF-8":       {EnvelopeID: "ü"},
		"somebody else":        {DSN: map[string]relay.RecipientDSN{"x@far.test": {}}},
		"NEVER and SUCCESS":    of(relay.RecipientDSN{Notify: mail.NotifyNever | mail.NotifySuccess}),
		"NOTIFY unknown":       of(relay.RecipientDSN{Notify: 64}),
		"ORCPT without a type": of(relay.RecipientDSN{ORCPT: "bob@far.test"}),
	} {
		s.Sender, s.Recipients, s.Content = "a@here.test", []string{"b@far.test"}, strings.NewReader(hello)
		if _, err := g.r.Submit(t.Context(), s); err == nil || !strings.HasPrefix(err.Error(), "submit: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// That a sender was told of a delay, and when, is shown, and goes along to another
// machine: there it is not told again.
func TestAnExportSaysWhoWasToldOfADelay(t *testing.T) {
	from, op := onDisk(t, base("", ""))
	from.sink.SetScript(testkit.RefuseRcpt("far.test", "451 4.2.0 not now"))
	from.dial().askFor("", "b@far.test NOTIFY=DELAY", "c@far.test")
	from.idle()
	var told []time.Time
	for range 5 {
		from.clock.Advance(time.Hour)
		told = append(told, from.clock.Now())
		from.idle()
	}
	to, other := onDisk(t, strings.Replace(base("", ""), `hosts = [env("SINK", "")]`, `hosts = ["127.0.0.1:1"]`, 1))
	var file bytes.Buffer
	if err := op.Export(t.Context(), control.ExportAction{Select: &mail.QueueSelector{Recipient: "b@far.test"}}, &file); err != nil {
		t.Fatal(err)
	}
	if i, err := other.Import(t.Context(), control.ImportAction{Yes: true}, &file); err != nil || i.Messages != 1 {
		t.Fatalf("%+v, %v", i, err)
	}
	for _, g := range []*rig{from, to} {
		q := g.queue()
		if len(q) != 1 {
			t.Fatalf("%+v", q)
		}
		b, c := q[0].Recipients[0], q[0].Recipients[1]
		if !b.Warned || !slices.ContainsFunc(told, b.WarnedAt.Equal) || c.Warned || !c.WarnedAt.IsZero() {
			t.Errorf("%+v", q[0].Recipients)
		}
	}
}

// A next hop with DSN is asked in our place, and we say nothing but of failures.
func TestAHostWithDSNReportsItself(t *testing.T) {
	sink := testkit.NewSink(t, testkit.SinkOptions{Extensions: append(testkit.DefaultExtensions(), "DSN")})
	g := &rig{t: t, sink: sink, clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	r, err := relay.Open(context.Background(), g.options(base("", ""), nil))
	if err != nil {
		t.Fatal(err)
	}
	g.run(r)
	g.sink.SetScript(testkit.RefuseRcpt("bad", "550 5.1.1 no"))
	g.dial().askFor("ENVID=1 RET=HDRS", "b@far.test NOTIFY=SUCCESS ORCPT=rfc822;x@far.test", "bad@far.test NOTIFY=FAILURE", "badder@far.test NOTIFY=NEVER")
	g.has("failed bad@far.test")
	commands := strings.Join(g.sink.Commands()[0], "\n")
	for _, want := range []string{" RET=HDRS ENVID=1", "RCPT TO:<b@far.test> NOTIFY=SUCCESS ORCPT=rfc822;x@far.test", "RCPT TO:<badder@far.test> NOTIFY=NEVER",
		"RCPT TO:<a@here.test> NOTIFY=NEVER"} {
		if !strings.Contains(commands, want) {
			t.Errorf("%q is missing in\n%s", want, commands)
		}
	}
}

// A stranger cannot have reports sent to whom he likes, unless a stage lets him.
func TestStrangersAreNotOfferedReports(t *testing.T) {
	hcl := boxes(strings.Replace(base(testStage, testPlugin), `relay_from = ["127.0.0.0/8"]`, "", 1))
	g := newRig(t, hcl, inPhases(func(p mail.Phase, _ int, m relay.Message) (mail.Verdict, error) {
		if p == mail.PhaseHelo && m.Envelope().Client.Helo == "friend.test" {
			return mail.Continue, m.SetEHLO(abi.EHLOAdd, "DSN")
		}
		return mail.Continue, nil
	}, mail.PhaseHelo))
	c := g.dial()
	if list := c.cmd(250, "EHLO stranger.test"); strings.Contains(list, "DSN") {
		t.Errorf("offered %q", list)
	}
	c.cmd(555, "MAIL FROM:<a@here.test> RET=FULL")
	c.cmd(250, "MAIL FROM:<a@here.test>")
	c.cmd(555, "RCPT TO:<b@ours.test> NOTIFY=SUCCESS")
	if list := c.cmd(250, "EHLO friend.test"); !strings.Contains(list, "\nDSN") {
		t.Errorf("offered %q", list)
	}
	c.askFor("", "b@ours.test NOTIFY=SUCCESS")
	g.has("delivered b@ours.test")
}

// A delay is reported once, whatever restarts come between.
func TestADelayIsReportedOnce(t *testing.T) {
	g := &rig{t: t, sink: newSink(t), clock: relay.NewFakeClock(time.Now()), ended: make(chan error, 1)}
	g.sink.SetScript(testkit.RefuseRcpt("far.test", "451 4.2.0 not now"))
	o := g.options(base("", ""), nil)
	o.InMemory = false
	restart := func() {
		g.end()
		r, err := relay.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		g.run(r)
		g.idle()
	}
	restart()
	g.dial().askFor("", "b@far.test NOTIFY=DELAY,SUCCESS", "c@far.test", "d@far.test NOTIFY=FAILURE")
	g.idle()
	for range 5 {
		g.clock.Advance(time.Hour)
		g.idle()
	}
	g.has("delayed b@far.test")
	restart()
	for range 3 {
		g.clock.Advance(time.Hour)
		g.idle()
	}
	g.has("delayed b@far.test")
	g.sink.SetScript(nil)
	g.clock.Advance(time.Hour)
	g.has("delayed b@far.test", "relayed b@far.test")
}

// The whole message comes back where the route says so, to who asks, if it is
// small.
func TestTheMessageComesBackByPolicy(t *testing.T) {
	for _, c := range []struct {
		policy, params string
		whole          bool
		reports        int
	}{{"full", "RET=FULL", true, 1}, {"full", "RET=HDRS", false, 1}, {"full", "", false, 1}, {"headers", "RET=FULL", false, 1}, {"off", "RET=FULL", false, 0}} {
		g := newRig(t, strings.Replace(base("", ""), `expire = "1d"`, `expire = "1d"`+"\n  dsn = \""+c.policy+`"`, 1), nil)
		g.sink.SetScript(testkit.RefuseRcpt("far.test", "550 5.1.1 no"))
		g.dial().askFor(c.params, "b@far.test")
		g.idle()
		ms := g.sink.Messages()
		if len(ms) != c.reports {
			t.Fatalf("%s %s: %d reports", c.policy, c.params, len(ms))
		}
		if len(ms) > 0 && strings.Contains(string(ms[0].Content), "message/rfc822") != c.whole {
			t.Errorf("%s %s: %s", c.policy, c.params, ms[0].Content)
		}
		g.end()
	}
}

// Mail to a changed address keeps what was asked of it; an address that a stage
// adds brings nobody a report on success.
func TestChangedAndAddedRecipients(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), native(func(m relay.Message) (mail.Verdict, error) {
		_, err := m.AddRecipient("added@far.test")
		if err != nil {
			return mail.Continue, err
		}
		return mail.Continue, m.SetRecipient(0, "new@far.test")
	}))
	g.dial().askFor("", "old@far.test NOTIFY=SUCCESS ORCPT=rfc822;old@far.test")
	g.has("relayed new@far.test")
	if c := string(g.sink.Messages()[1].Content); value(c, "Original-Recipient: ") != "rfc822; old@far.test" {
		t.Errorf("report: %s", c)
	}
}

// Who wants to hear of success hears that others stand in the place of a
// recipient, and not who they are.
func TestAnExpandedRecipientIsReported(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin), native(func(m relay.Message) (mail.Verdict, error) {
		_, err := m.AddRecipient("one@far.test")
		_, err2 := m.AddRecipient("two@far.test")
		return mail.Continue, errors.Join(err, err2, m.RemoveRecipient(0), m.RemoveRecipient(1))
	}))
	g.dial().askFor("", "list@far.test NOTIFY=SUCCESS,FAILURE", "quiet@far.test", "b@far.test NOTIFY=NEVER")
	g.has("expanded list@far.test")
	for _, m := range g.sink.Messages() {
		if m.From == "<>" && strings.Contains(string(m.Content), "one@far.test") {
			t.Errorf("the report names the others: %s", m.Content)
		}
	}
}

// Nor is a refusal behind the 250 reported to who does not want to hear.
func TestARefusedRecipientIsReportedAsAsked(t *testing.T) {
	g := newRig(t, base(testStage, testPlugin+"\nlistener: on_mixed = \"accept_and_bounce\""), native(func(m relay.Message) (mail.Verdict, error) {
		for i := range 3 {
			if err := m.SetRecipientVerdict(i, mail.Reject, mail.NewReply(550, mail.Enhanced{5, 1, 1}, "no")); err != nil {
				return mail.Continue, err
			}
		}
		return mail.Continue, nil
	}))
	g.dial().askFor("ENVID=7", "never@far.test NOTIFY=NEVER", "success@far.test NOTIFY=SUCCESS", "b@far.test ORCPT=rfc822;x@far.test", "c@far.test")
	g.has("failed b@far.test")
}
