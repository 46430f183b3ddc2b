// SPDX-License-Identifier: Apache-2.0

package extensions

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/mail"
	"github.com/postroad-mail/postroad/core/relay"
)

// A stranger is not offered what is for those who may relay, and REQUIRETLS is
// offered above TLS alone.
func TestWhoIsOfferedWhat(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{}, nil, setting{"LISTENER", `extensions {
    withhold       = ["RRVS"]
    max_hold       = "2d"
    min_deliver_by = "1m"
  }
  limits { recipients = 150 }`})
	inside, stranger, above := g.dial("in").cmd(250, "EHLO x"), g.dial("strangers").cmd(250, "EHLO x"), g.secure().cmd(250, "EHLO x")
	for _, line := range []string{"BINARYMIME", "LIMITS RCPTMAX=150", "FUTURERELEASE 172800 2030-01-03T09:00:00Z", "DELIVERBY 60", "MT-PRIORITY"} {
		if !slices.Contains(strings.Split(inside, "\n"), line) {
			t.Errorf("%s is not offered: %q", line, inside)
		}
	}
	for _, keyword := range []string{"DSN", "FUTURERELEASE", "DELIVERBY", "MT-PRIORITY", "REQUIRETLS"} {
		if strings.Contains(stranger, keyword) {
			t.Errorf("%s is offered to a stranger: %q", keyword, stranger)
		}
	}
	for _, keyword := range []string{"BINARYMIME", "LIMITS RCPTMAX=100", "RRVS"} {
		if !strings.Contains(stranger, keyword) {
			t.Errorf("%s is not offered to a stranger: %q", keyword, stranger)
		}
	}
	if strings.Contains(inside, "RRVS") || strings.Contains(inside, "REQUIRETLS") || !strings.Contains(above, "REQUIRETLS") {
		t.Errorf("%q, above TLS %q", inside, above)
	}
	for _, params := range []string{"HOLDFOR=60", "BY=60;N", "MT-PRIORITY=1", "REQUIRETLS"} {
		g.dial("strangers").cmd(555, "MAIL FROM:<a@here.test> %s", params)
	}
	g.dial("in").cmd(501, "MAIL FROM:<a@here.test> HOLDFOR=172801")
	g.dial("in").cmd(555, "MAIL FROM:<a@here.test> BY=59;R")
}

// RFC 4865: a message is held until it is released, across a restart, and explain
// says until when.
func TestFutureRelease(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Script: testkit.Refuse("MAIL", "451 4.3.2 not now")}, nil)
	c := g.dial("in")
	c.send("HOLDFOR=36000", "b@far.test")
	g.restart()
	g.idle()
	if r := g.only().Recipients[0]; r.Now != "waiting" || !strings.Contains(r.Why, "to be released later") || !r.Next.Equal(g.clock.Now().Add(10*time.Hour)) || !r.Expires.Equal(g.clock.Now().Add(34*time.Hour)) {
		t.Errorf("%+v", r)
	}
	g.advance(10*time.Hour - time.Second)
	if g.sink.Connections() != 0 {
		t.Fatal("it was tried before its time")
	}
	g.advance(time.Second)
	if g.sink.Connections() != 1 {
		t.Fatal("it was not tried when it was released")
	}
	g.sink.SetScript(nil)
	g.advance(10 * time.Minute)
	if len(g.arrived()) != 1 {
		t.Fatal("it did not arrive")
	}
	g.dial("in").send("HOLDUNTIL="+g.clock.Now().Add(time.Hour).Format(time.RFC3339), "b@far.test")
	g.advance(59 * time.Minute)
	if len(g.arrived()) != 1 {
		t.Fatal("the second one came too early")
	}
	g.advance(time.Minute)
	if len(g.arrived()) != 2 {
		t.Fatal("the second one did not arrive")
	}
}

// A captured message that was to be released later is replayed as such.
func TestReplayOfAMessageForLater(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{}, nil, setting{"STAGES", `capture { share = "100%" }`})
	g.dial("in").send("HOLDFOR=3600 MT-PRIORITY=5", "b@far.test")
	g.end()
	n := 0
	err := relay.Replay(t.Context(), g.o, relay.ReplayOptions{}, func(r *relay.Replayed) error {
		if n++; len(r.Differences) > 0 {
			t.Errorf("%q", r.Differences)
		}
		return nil
	})
	if err != nil || n != 1 {
		t.Errorf("%d replayed, %v", n, err)
	}
}

// RFC 2852: the time that is left goes along; without DELIVERBY at the next hop a
// message that is to come back does, at once.
func TestDeliverByAtTheNextHop(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"PIPELINING", "DELIVERBY", "DSN"}, Script: testkit.OnConn(1, testkit.Refuse("MAIL", "451 4.3.2 not now"))}, nil)
	c := g.dial("in")
	c.send("BY=3600;R", "b@far.test")
	g.idle()
	if asked := g.only().Asked; asked != "deliver by 2030-01-01T10:00:00Z, or return it" {
		t.Errorf("queue show says %q", asked)
	}
	g.restart()
	g.advance(10 * time.Minute)
	if m := g.arrived(); len(m) != 1 || !slices.Contains(m[0].FromParams, "BY=3000;R") {
		t.Errorf("%+v", m)
	}
	g.dial("in").send("BY=600;NT", "b@far.test NOTIFY=NEVER", "c@far.test")
	if m := g.arrived(); len(m) != 2 || !slices.Contains(m[1].FromParams, "BY=600;NT") {
		t.Errorf("%+v", m)
	}
	if r := g.reports(); len(r) != 1 || value(r[0].Content, "Action") != "relayed" || value(r[0].Content, "Final-Recipient") != "rfc822; c@far.test" {
		t.Errorf("a trace: %+v", r)
	}
	without := newRig(t, testkit.SinkOptions{}, nil)
	without.dial("in").send("BY=3600;R", "b@far.test")
	if r := without.reports(); len(without.arrived()) != 0 || len(r) != 1 || value(r[0].Content, "Status") != "5.3.3" ||
		value(r[0].Content, "Deliver-By-Date") != "Tue, 01 Jan 2030 10:00:00 +0000" {
		t.Errorf("%+v", r)
	}
	without.dial("in").send("BY=3600;N", "b@far.test")
	if m, r := without.arrived(), without.reports(); len(m) != 1 || len(r) != 2 || value(r[1].Content, "Action") != "relayed" {
		t.Errorf("%+v, %+v", m, r)
	}
}

// At the deadline a message of mode R fails, and of mode N its sender is told.
func TestDeliverByDeadline(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"DELIVERBY"}, Script: testkit.Refuse("RCPT", "451 4.2.0 not now")}, nil)
	c := g.dial("in")
	c.send("BY=3600;R", "returned@far.test")
	c.send("BY=3600;N", "told@far.test NOTIFY=FAILURE")
	g.idle()
	g.restart()
	g.advance(50 * time.Minute)
	if n := g.sink.Count(); n != 0 {
		t.Fatalf("%d before the deadline", n)
	}
	g.sink.SetScript(testkit.RefuseRcpt("far.test", "451 4.2.0 not now"))
	g.advance(10 * time.Minute)
	want := map[string]string{"returned@far.test": "failed 5.4.7", "told@far.test": "delayed 4.4.7"}
	for _, r := range g.reports() {
		to := strings.TrimPrefix(value(r.Content, "Final-Recipient"), "rfc822; ")
		if got := value(r.Content, "Action") + " " + value(r.Content, "Status"); got != want[to] || value(r.Content, "Deliver-By-Date") == "" {
			t.Errorf("%s: %s", to, got)
		}
		delete(want, to)
	}
	if len(want) != 0 {
		t.Errorf("not reported: %v", want)
	}
	if r := g.only().Recipients[0]; r.Address != "told@far.test" || !r.Warned {
		t.Errorf("it does not go on: %+v", r)
	}
}

// RFC 6710: a priority is ours in the queue, and the client's at the next hop.
func TestMTPriority(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"MT-PRIORITY"}, Script: testkit.OnConn(1, testkit.Refuse("MAIL", "451 4.3.2 not now"))}, nil, setting{"LISTENER", "priority = 20"})
	g.dial("in").send("MT-PRIORITY=-4", "b@far.test")
	g.idle()
	if m := g.only(); m.Priority != -44 || m.Asked != "MT-PRIORITY=-4" {
		t.Errorf("%+v", m)
	}
	g.restart()
	g.advance(10 * time.Minute)
	g.dial("in").send("", "b@far.test")
	m := g.arrived()
	if len(m) != 2 || !slices.Equal(m[0].FromParams, []string{"MT-PRIORITY=-4"}) || len(m[1].FromParams) != 0 {
		t.Errorf("%+v", m)
	}
	header := mail.ParseHeader(m[0].Content)
	if received, _ := header.Get("Received"); !strings.Contains(received, " for <b@far.test> PRIORITY -4; ") {
		t.Errorf("Received: %s", received)
	}
}

// RFC 7293: RRVS goes along, or into a field of the header, or the message back.
func TestRRVS(t *testing.T) {
	const since = "RRVS=2029-01-31T12:00:00Z"
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"RRVS"}, Script: testkit.OnConn(1, testkit.Refuse("MAIL", "451 4.3.2 not now"))}, nil)
	g.dial("in").send("", "b@far.test "+since, "c@far.test")
	g.idle()
	if asked := g.only().Recipients[0].Asked; asked != since+";R" {
		t.Errorf("queue show says %q", asked)
	}
	g.restart()
	g.advance(10 * time.Minute)
	if !slices.Contains(g.sink.Commands()[1], "RCPT TO:<b@far.test> "+since+";R") || !slices.Contains(g.sink.Commands()[1], "RCPT TO:<c@far.test>") {
		t.Errorf("%q", g.sink.Commands())
	}
	without := newRig(t, testkit.SinkOptions{}, nil)
	without.dial("in").send("", "b@far.test "+since+";C")
	without.dial("in").send("", "c@far.test "+since, "d@ours.test "+since)
	if m := without.arrived(); len(m) != 1 || !strings.Contains(string(m[0].Content), "Require-Recipient-Valid-Since: b@far.test;\r\n Wed, 31 Jan 2029 12:00:00 +0000\r\n") {
		t.Errorf("%+v", m)
	}
	if r := without.reports(); len(r) != 1 || value(r[0].Content, "Status") != "5.7.19" || strings.Contains(string(r[0].Content), "d@ours.test") {
		t.Errorf("%+v", r)
	}
}

// RFC 9422: as many recipients as the host takes go in a transaction, and as many
// transactions in a connection.
func TestLimitsOfTheNextHop(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{Extensions: []string{"PIPELINING", "LIMITS RCPTMAX=3 MAILMAX=2 RCPTDOMAINMAX=2"}}, nil)
	g.dial("in").send("", "a@one.test", "b@two.test", "c@three.test", "d@three.test", "e@three.test", "f@three.test", "g@one.test", "h@four.test")
	var got []string
	for _, m := range g.arrived() {
		got = append(got, strings.Join(m.To, " "))
	}
	slices.Sort(got)
	if want := []string{"<a@one.test> <b@two.test>", "<c@three.test> <d@three.test> <e@three.test>", "<f@three.test> <g@one.test>", "<h@four.test>"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, c := range g.sink.Commands() {
		if n := len(slices.DeleteFunc(slices.Clone(c), func(s string) bool { return !strings.HasPrefix(s, "MAIL") })); n > 2 {
			t.Errorf("%d transactions in a connection", n)
		}
	}
}

// RFC 8689: only to a host with REQUIRETLS above TLS that is sure to be it, else
// back, with a report that requires TLS itself.
func TestRequireTLS(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{TLS: world.cert.ServerConfig(), Extensions: []string{"REQUIRETLS", "DSN"}, Script: testkit.OnConn(1, testkit.Refuse("MAIL", "451 4.3.2 not now"))}, nil)
	g.secure().send("REQUIRETLS RET=FULL", "b@far.test", "c@ours.test")
	g.idle()
	if asked := g.only().Asked; asked != "REQUIRETLS" {
		t.Errorf("queue show says %q", asked)
	}
	g.restart()
	g.advance(10 * time.Minute)
	if m := g.arrived(); len(m) != 1 || !m[0].TLS || !slices.Contains(m[0].FromParams, "REQUIRETLS") {
		t.Errorf("%+v", m)
	}
	g.sink.SetScript(testkit.RefuseRcpt("far.test", "550 5.1.1 no such user"))
	g.secure().send("REQUIRETLS RET=FULL", "b@far.test")
	if r := g.reports(); len(r) != 1 || !slices.Contains(r[0].FromParams, "REQUIRETLS") || strings.Contains(string(r[0].Content), "It works.") {
		t.Errorf("%+v", r)
	}
}

func TestRequireTLSWithoutAHostForIt(t *testing.T) {
	other := testkit.NewCert(t, "127.0.0.1")
	for name, c := range map[string]struct {
		sink testkit.SinkOptions
		want string
	}{
		"plain":         {testkit.SinkOptions{Extensions: []string{"REQUIRETLS"}}, "5.7.10"},
		"not offered":   {testkit.SinkOptions{TLS: world.cert.ServerConfig()}, "5.7.30"},
		"not to be it":  {testkit.SinkOptions{TLS: other.ServerConfig(), Extensions: []string{"REQUIRETLS"}}, "5.7.10"},
		"bad handshake": {testkit.SinkOptions{BadTLS: true, Extensions: []string{"REQUIRETLS"}}, "5.7.10"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, c.sink, nil)
			g.secure().send("REQUIRETLS", "b@far.test")
			if r := g.reports(); len(g.arrived()) != 0 || len(r) != 1 || value(r[0].Content, "Status") != c.want {
				t.Errorf("%+v", r)
			}
			g.secure().send("", "b@far.test")
			if len(g.arrived()) != 1 {
				t.Error("other mail does not get there any more")
			}
		})
	}
}

// TLS-Required: No is kept with the message; REQUIRETLS of MAIL overrides it.
func TestTLSRequiredNo(t *testing.T) {
	g := newRig(t, testkit.SinkOptions{BadTLS: true, Script: testkit.Refuse("RCPT", "451 4.2.0 not now")}, nil)
	submit := func(params string) {
		c := g.secure()
		c.envelope(params, "b@far.test")
		c.cmd(354, "DATA")
		c.cmd(250, "TLS-Required: No\r\n%s.", hello)
		g.idle()
	}
	submit("")
	if asked := g.only().Asked; asked != "TLS-Required: No" {
		t.Errorf("queue show says %q", asked)
	}
	submit("REQUIRETLS") // comes back: nobody does TLS
	g.sink.SetScript(nil)
	g.advance(10 * time.Minute)
	m := g.arrived()
	if len(m) != 1 || m[0].TLS || !strings.Contains(string(m[0].Content), "TLS-Required: No\r\n") {
		t.Errorf("%+v", m)
	}
}
