// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

const delivered = "0 delivered 250 2.0.0 remote"

// Each fault meets the middle one of three jobs, on a host with PIPELINING and
// on one without. behind is what becomes of the last job.
func TestFaults(t *testing.T) {
	const drop421 = "421 4.3.2 going down"
	for name, c := range map[string]struct {
		script testkit.Script
		want   string
		behind string
		err    bool // the connection is lost
	}{
		"MAIL refused":          {testkit.Refuse("MAIL", "550 5.7.1 no"), "0 failed 550 5.7.1 remote, 1 failed 550 5.7.1 remote", delivered, false},
		"MAIL not now":          {testkit.Refuse("MAIL", "452 4.3.1 full"), "0 deferred 452 4.3.1 remote, 1 deferred 452 4.3.1 remote", delivered, false},
		"MAIL out of step":      {testkit.Refuse("MAIL", "354 what"), "0 deferred 354 0.0.0 remote, 1 deferred 354 0.0.0 remote", delivered, false},
		"every RCPT refused":    {testkit.Refuse("RCPT", "550 5.1.1 no"), "0 failed 550 5.1.1 remote, 1 failed 550 5.1.1 remote", delivered, false},
		"RCPT refused, DATA ok": {testkit.Scripts(testkit.Refuse("RCPT", "550 5.1.1 no"), testkit.Refuse("DATA", "354 go on")), "0 failed 550 5.1.1 remote, 1 failed 550 5.1.1 remote", delivered, false},
		"MAIL refused, DATA ok": {testkit.Scripts(testkit.Refuse("MAIL", "550 5.7.1 no"), testkit.Refuse("DATA", "354 go on")), "0 failed 550 5.7.1 remote, 1 failed 550 5.7.1 remote", delivered, false},
		"one RCPT, DATA no":     {testkit.Scripts(testkit.RefuseRcpt("b@", "450 later"), testkit.Refuse("DATA", "554 5.3.0 no")), "0 failed 554 5.3.0 remote, 1 deferred 450 0.0.0 remote", delivered, false},
		"DATA not now":          {testkit.Refuse("DATA", "451 4.3.0 no"), "0 deferred 451 4.3.0 remote, 1 deferred 451 4.3.0 remote", delivered, false},
		"DATA out of step":      {testkit.Refuse("DATA", "250 2.0.0 what"), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"dot refused":           {testkit.Refuse(testkit.VerbDot, "554 5.7.1 spam"), "0 failed 554 5.7.1 remote, 1 failed 554 5.7.1 remote", delivered, false},
		"dot not now":           {testkit.Refuse(testkit.VerbDot, "451 4.7.1 grey"), "0 deferred 451 4.7.1 remote, 1 deferred 451 4.7.1 remote", delivered, false},
		"dropped at MAIL":       {testkit.Drop("MAIL"), "untried", "untried", true},
		"dropped at RCPT":       {testkit.Drop("RCPT"), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"dropped at DATA":       {testkit.Drop("DATA"), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"refused, then dropped": {testkit.Scripts(testkit.RefuseRcpt("b@", "550 5.1.1 no"), testkit.Drop("DATA")), "0 deferred 451 4.4.2, 1 failed 550 5.1.1 remote", "untried", true},
		"dropped before dot":    {testkit.Drop(testkit.VerbContent), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"dropped after dot":     {testkit.Drop(testkit.VerbDot), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"421 at MAIL":           {closing("MAIL", drop421), "untried", "untried", true},
		"421 at RCPT":           {closing("RCPT", drop421), "0 deferred 421 4.3.2 remote, 1 deferred 421 4.3.2 remote", "untried", true},
		"421 at second RCPT":    {testkit.When("RCPT", "b@", testkit.Action{Reply: drop421, Close: true}), "0 deferred 421 4.3.2 remote, 1 deferred 421 4.3.2 remote", "untried", true},
		"421 at DATA":           {closing("DATA", drop421), "0 deferred 421 4.3.2 remote, 1 deferred 421 4.3.2 remote", "untried", true},
		"421 at dot":            {closing(testkit.VerbDot, drop421), "0 deferred 421 4.3.2 remote, 1 deferred 421 4.3.2 remote", "untried", true},
		"garbage at RCPT":       {testkit.On("RCPT", testkit.Action{Raw: "huh?\r\n"}), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"endless line at RCPT":  {testkit.On("RCPT", testkit.Action{Raw: strings.Repeat("x", 1<<20)}), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
		"endless reply at dot":  {testkit.On(testkit.VerbDot, testkit.Action{Raw: strings.Repeat("450-x\r\n", 1<<16)}), "0 deferred 451 4.4.2, 1 deferred 451 4.4.2", "untried", true},
	} {
		for _, extensions := range [][]string{{"PIPELINING"}, {}} {
			for _, lockstep := range []bool{true, false} {
				t.Run(fmt.Sprint(name, extensions, lockstep), func(t *testing.T) {
					s := testkit.NewSink(t, testkit.SinkOptions{Extensions: extensions, Script: testkit.OnMail(2, c.script)})
					ses := send(t, s, lockstep, job("a@x.test"), job("a@x.test", "b@x.test"), job("c@x.test"))
					behind := ses.outcomes(2)
					if behind == "none" { // still in the feed: as good as untried
						behind = "untried"
					}
					if ses.outcomes(0) != delivered || ses.outcomes(1) != c.want || behind != c.behind || (ses.err != nil) != c.err {
						t.Errorf("got %s; %s; %s; %v", ses.outcomes(0), ses.outcomes(1), ses.outcomes(2), ses.err)
					}
					if taken := strings.Count(c.behind+c.want, "delivered"); s.Count() != 1+taken {
						t.Errorf("the host took %d messages, want %d", s.Count(), 1+taken)
					}
				})
			}
		}
	}
}

func closing(verb, reply string) testkit.Script {
	return testkit.On(verb, testkit.Action{Reply: reply, Close: true})
}

// On a fresh connection a drop at MAIL is an attempt: handing the job back would
// go on for ever.
func TestFreshConnectionNeverHandsTheFirstJobBack(t *testing.T) {
	for name, script := range map[string]testkit.Script{"drop": testkit.Drop("MAIL"), "421": closing("MAIL", "421 4.3.2 no")} {
		s := testkit.NewSink(t, testkit.SinkOptions{Script: script})
		ses := send(t, s, false, job("a@x.test"), job("b@x.test"))
		if got := ses.outcomes(0); !strings.HasPrefix(got, "0 deferred 4") || ses.outcomes(1) != "none" {
			t.Errorf("%s: %s; %s", name, got, ses.outcomes(1))
		}
	}
}

// A host that dies of one command in a hundred-recipient message has the ones
// before it answered; more recipients than fit into one group work too.
func TestManyRecipients(t *testing.T) {
	for _, extensions := range [][]string{{"PIPELINING"}, {}} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: extensions, Script: testkit.RefuseRcpt("r7", "550 no")})
		var to []mail.Address
		for i := range 350 {
			to = append(to, mail.Address(fmt.Sprintf("r%d@x.test", i)))
		}
		ses := send(t, s, false, job("a@x.test"), job(to...), job("b@x.test"))
		if n := strings.Count(ses.outcomes(1), "delivered"); n != 350-11 || len(s.Messages()[1].To) != n || s.Count() != 3 {
			t.Errorf("%d delivered, sink has %d recipients, %d messages", n, len(s.Messages()[1].To), s.Count())
		}
	}
}

// brokenBody fails behind some octets, like a damaged disk.
type brokenBody struct{ good int64 }

func (b brokenBody) Size() int64 { return 1 << 20 }

func (b brokenBody) ReadAt(p []byte, off int64) (int, error) {
	if off >= b.good {
		return 0, errors.New("bad disk")
	}
	return len(p), nil
}

// A body that cannot be read must never look complete to the host.
func TestUnreadableBody(t *testing.T) {
	for _, good := range []int64{0, 1 << 17} {
		s := testkit.NewSink(t, testkit.SinkOptions{})
		j := job("a@x.test")
		j.Body = brokenBody{good}
		ses := send(t, s, false, j)
		s.Close()
		if got := ses.outcomes(0); got != "0 deferred 451 4.3.0" || s.Count() != 0 || ses.err == nil {
			t.Errorf("%s, %d messages, %v", got, s.Count(), ses.err)
		}
	}
}

// endlessBody is long enough that a write must block when nobody reads.
type endlessBody struct{}

func (endlessBody) Size() int64 { return 1 << 30 }

func (endlessBody) ReadAt(p []byte, off int64) (int, error) { return len(p), nil }

func TestTimeouts(t *testing.T) {
	short := 30 * time.Millisecond
	hold := make(chan struct{})
	for name, c := range map[string]struct {
		verb     string
		timeouts smtp.Timeouts
		body     mail.Body
	}{
		"MAIL":  {"MAIL", smtp.Timeouts{Mail: short}, nil},
		"RCPT":  {"RCPT", smtp.Timeouts{Rcpt: short}, nil},
		"DATA":  {"DATA", smtp.Timeouts{Data: short}, nil},
		"block": {testkit.VerbContent, smtp.Timeouts{Block: short}, endlessBody{}},
		"dot":   {testkit.VerbDot, smtp.Timeouts{Dot: short}, nil},
	} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"PIPELINING"}, Script: testkit.Hold(c.verb, hold)})
		j := job("a@x.test")
		j.Body = c.body
		ses := &session{jobs: []*smtp.Job{j}, got: map[*smtp.Job][]mail.Outcome{}}
		ses.err = dial(t, s, c.timeouts).Run(testContext(t), ses.hand, ses.done)
		if got := ses.outcomes(0); got != "0 deferred 451 4.4.2" || ses.err == nil {
			t.Errorf("%s: %s %v", name, got, ses.err)
		} else if text := ses.got[j][0].Reply.Text; !strings.HasSuffix(text, "i/o timeout") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{Script: testkit.Hold(testkit.VerbDot, make(chan struct{}))})
	ctx, cancel := context.WithCancel(testContext(t))
	c := dial(t, s, smtp.Timeouts{})
	ses := &session{jobs: []*smtp.Job{job("a@x.test"), job("b@x.test")}, got: map[*smtp.Job][]mail.Outcome{}}
	ended := make(chan struct{})
	go func() {
		ses.err = c.Run(ctx, ses.hand, ses.done)
		close(ended)
	}()
	if err := s.WaitCommand(ctx, "DATA"); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-ended
	if got := ses.outcomes(0); got != "0 deferred 451 4.4.2" || ses.outcomes(1) == delivered {
		t.Errorf("%s; %s", got, ses.outcomes(1))
	}
}

// A host that refuses a message while it is being sent, and hangs up, is heard.
func TestRefusalInTheMiddleOfContent(t *testing.T) {
	h := newRawHost(t)
	j := job("a@x.test")
	j.Body = endlessBody{}
	ses := &session{jobs: []*smtp.Job{j}, got: map[*smtp.Job][]mail.Outcome{}}
	go func() {
		defer close(h.ended)
		h.greet("PIPELINING")
		h.until("DATA\r\n")
		h.say("250 a\r\n250 b\r\n354 c\r\n")
		h.until("\r\n\r\n")
		h.say("552 5.3.4 too much\r\n")
		// Closing our side for writing and reading on keeps the reply from
		// being swept away by a reset.
		h.closeWrite()
		io.CopyN(io.Discard, h.c, 4<<20)
		h.c.Close()
	}()
	ses.err = h.dial(t).Run(testContext(t), ses.hand, ses.done)
	<-h.ended
	if got := ses.outcomes(0); got != "0 failed 552 5.3.4 remote" || ses.err == nil {
		t.Errorf("%s %v", got, ses.err)
	}
}
