// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// session sends jobs over one connection and notes what became of them.
type session struct {
	jobs     []*smtp.Job
	lockstep bool // hand a job out only when the one before is done
	next     int
	got      map[*smtp.Job][]mail.Outcome
	err      error
}

func (s *session) hand(wait bool) (*smtp.Job, bool) {
	if s.next == len(s.jobs) || !wait && s.lockstep {
		return nil, false
	}
	s.next++
	return s.jobs[s.next-1], true
}

func (s *session) done(j *smtp.Job, outcomes []mail.Outcome) { s.got[j] = outcomes }

// outcomes renders the outcomes of job n: "0 delivered 250 2.0.0", one per
// recipient, or "untried", or "none".
func (s *session) outcomes(n int) string {
	os, ok := s.got[s.jobs[n]]
	switch {
	case !ok:
		return "none"
	case os == nil:
		return "untried"
	}
	var b []string
	for _, o := range os {
		remote := ""
		if o.Remote {
			remote = " remote"
		}
		b = append(b, fmt.Sprintf("%d %s %d %s%s", o.Recipient, o.Status, o.Reply.Code, o.Reply.Enhanced, remote))
	}
	return strings.Join(b, ", ")
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func client(timeouts smtp.Timeouts) *smtp.Client {
	timeouts.Quit = time.Second
	return smtp.New(smtp.Options{Hostname: "client.test", Timeouts: timeouts})
}

func target(s *testkit.Sink) smtp.Target {
	return smtp.Target{Host: "sink.test", Addr: s.Addr()}
}

func dial(t *testing.T, s *testkit.Sink, timeouts smtp.Timeouts) *smtp.Conn {
	t.Helper()
	c, err := client(timeouts).Dial(testContext(t), target(s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send sends jobs over a new connection to s.
func send(t *testing.T, s *testkit.Sink, lockstep bool, jobs ...*smtp.Job) *session {
	t.Helper()
	ses := &session{jobs: jobs, lockstep: lockstep, got: map[*smtp.Job][]mail.Outcome{}}
	c := dial(t, s, smtp.Timeouts{})
	ses.err = c.Run(testContext(t), ses.hand, ses.done)
	return ses
}

// job makes a job with a small content for the recipients.
func job(to ...mail.Address) *smtp.Job {
	j := &smtp.Job{
		Envelope: &mail.Envelope{ID: "M1", Sender: "from@example.com"},
		Header:   []byte("Subject: x\r\n\r\n"),
		Body:     mail.BytesBody("hello\r\n"),
	}
	for i, a := range to {
		j.Envelope.Recipients = append(j.Envelope.Recipients, mail.Recipient{Address: a})
		j.Recipients = append(j.Recipients, i)
	}
	return j
}

func TestSeveralRecipientsInOneTransaction(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{Script: testkit.Scripts(
		testkit.RefuseRcpt("no@", "550 5.1.1 unknown"), testkit.RefuseRcpt("later@", "450 4.2.1 busy"))})
	j := job("a@x.test", "no@x.test", "b@x.test", "later@x.test", "c@x.test")
	j.Recipients = []int{0, 1, 3, 4} // 2 is not ours
	ses := send(t, s, false, j)
	want := "0 delivered 250 2.0.0 remote, 1 failed 550 5.1.1 remote, 3 deferred 450 4.2.1 remote, 4 delivered 250 2.0.0 remote"
	if got := ses.outcomes(0); got != want || ses.err != nil {
		t.Errorf("got  %s, %v\nwant %s", got, ses.err, want)
	}
	m := s.Messages()
	if len(m) != 1 || !slices.Equal(m[0].To, []string{"<a@x.test>", "<c@x.test>"}) || string(m[0].Content) != "Subject: x\r\n\r\nhello\r\n" {
		t.Errorf("sink has %+v", m)
	}
	o := ses.got[j][0]
	if o.NextHop != "sink.test" || o.Address != s.Addr().String() || o.TLS != "" || o.Reply.Text != "taken" {
		t.Errorf("outcome %+v", o)
	}
}

// The words of the protocol, as the host sees them.
func TestCommands(t *testing.T) {
	all := []string{"PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8"}
	eight := func(j *smtp.Job) { j.Envelope.EightBit = true }
	utf8 := func(j *smtp.Job) { j.Envelope.SMTPUTF8 = true; j.Envelope.Sender = "jürgen@example.com" }
	for name, c := range map[string]struct {
		o    testkit.SinkOptions
		edit func(*smtp.Job)
		want string
	}{
		"everything":      {testkit.SinkOptions{Extensions: all}, eight, "EHLO client.test|MAIL FROM:<from@example.com> SIZE=21 BODY=8BITMIME|RCPT TO:<a@x.test>|DATA|QUIT"},
		"nothing":         {testkit.SinkOptions{Extensions: []string{}}, eight, "EHLO client.test|MAIL FROM:<from@example.com>|RCPT TO:<a@x.test>|DATA|QUIT"},
		"SMTPUTF8":        {testkit.SinkOptions{Extensions: all[3:]}, utf8, "EHLO client.test|MAIL FROM:<jürgen@example.com> SMTPUTF8|RCPT TO:<a@x.test>|DATA|QUIT"},
		"HELO":            {testkit.SinkOptions{NoEHLO: true}, eight, "EHLO client.test|HELO client.test|MAIL FROM:<from@example.com>|RCPT TO:<a@x.test>|DATA|QUIT"},
		"null sender":     {testkit.SinkOptions{Extensions: []string{"PIPELINING"}}, func(j *smtp.Job) { j.Envelope.Sender = "" }, "EHLO client.test|MAIL FROM:<>|RCPT TO:<a@x.test>|DATA|QUIT"},
		"domain to ASCII": {testkit.SinkOptions{Extensions: []string{}}, func(j *smtp.Job) { j.Envelope.Recipients[0].Address = "a@bücher.test" }, "EHLO client.test|MAIL FROM:<from@example.com>|RCPT TO:<a@xn--bcher-kva.test>|DATA|QUIT"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testkit.NewSink(t, c.o)
			j := job("a@x.test")
			c.edit(j)
			ses := send(t, s, false, j)
			if got := strings.Join(s.Commands()[0], "|"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := ses.outcomes(0); got != "0 delivered 250 2.0.0 remote" {
				t.Error(got)
			}
		})
	}
}

// What the host never hears of, as it said that it cannot take it.
func TestRefusedWithoutAsking(t *testing.T) {
	plain := testkit.SinkOptions{Extensions: []string{"PIPELINING", "SIZE 20"}}
	for name, c := range map[string]struct {
		edit func(*smtp.Job)
		want string
	}{
		"too large":          {func(j *smtp.Job) {}, "0 failed 552 5.3.4, 1 failed 552 5.3.4"},
		"sender needs UTF8":  {func(j *smtp.Job) { j.Body = nil; j.Envelope.Sender = "ü@x.test" }, "0 failed 553 5.6.7, 1 failed 553 5.6.7"},
		"header needs UTF8":  {func(j *smtp.Job) { j.Body = nil; j.Envelope.SMTPUTF8 = true; j.Header = []byte("A: ü\r\n") }, "0 failed 553 5.6.7, 1 failed 553 5.6.7"},
		"one needs UTF8":     {func(j *smtp.Job) { j.Body = nil; j.Envelope.Recipients[0].Address = "ü@x.test" }, "0 failed 553 5.6.7, 1 delivered 250 2.0.0 remote"},
		"SMTPUTF8 not used":  {func(j *smtp.Job) { j.Body = nil; j.Envelope.SMTPUTF8 = true }, "0 delivered 250 2.0.0 remote, 1 delivered 250 2.0.0 remote"},
		"line end in a path": {func(j *smtp.Job) { j.Body = nil; j.Envelope.Recipients[1].Address = "x\r\nDATA\r\n@x.test" }, "0 delivered 250 2.0.0 remote, 1 failed 553 5.1.3"},
		"bracket in a path":  {func(j *smtp.Job) { j.Body = nil; j.Envelope.Sender = "x> SIZE=1 <@x.test" }, "0 failed 553 5.1.7, 1 failed 553 5.1.7"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testkit.NewSink(t, plain)
			j, behind := job("a@x.test", "b@x.test"), job("c@x.test")
			behind.Body = nil
			c.edit(j)
			ses := send(t, s, false, j, behind)
			if got := ses.outcomes(0); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if got := ses.outcomes(1); got != "0 delivered 250 2.0.0 remote" {
				t.Errorf("the job behind: %s", got)
			}
		})
	}
}
