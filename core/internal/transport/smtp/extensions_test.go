// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// noon is the time of these tests.
func noon() time.Time { return time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC) }

// sendBy is send by a client with other options.
func sendBy(t *testing.T, s *testkit.Sink, o smtp.Options, to smtp.Target, jobs ...*smtp.Job) *session {
	t.Helper()
	o.Hostname = "client.test"
	c, err := smtp.New(o).Dial(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	ses := &session{jobs: jobs, got: map[*smtp.Job][]mail.Outcome{}}
	ses.err = c.Run(testContext(t), ses.hand, ses.done)
	return ses
}

func sendAtNoon(t *testing.T, s *testkit.Sink, jobs ...*smtp.Job) *session {
	t.Helper()
	return sendBy(t, s, smtp.Options{Now: noon}, target(s), jobs...)
}

// What the client asked for goes to a host that offers it, with the values of this
// moment, and to no other.
func TestParametersGoToHostsThatOfferThem(t *testing.T) {
	extended := func() *smtp.Job {
		j := job("a@x.test")
		j.Envelope.DeliverBy = mail.DeliverBy{At: noon().Add(90 * time.Second), Trace: true}
		j.Envelope.MTPriority, j.Envelope.Priority = true, -40
		j.Envelope.Recipients[0].ValidSince = mail.ValidSince{At: noon().AddDate(-1, 0, 0), Continue: true}
		return j
	}
	s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"DELIVERBY 60", "MT-PRIORITY MIXER", "RRVS"}})
	ses := sendAtNoon(t, s, extended())
	want := []string{"MAIL FROM:<from@example.com> BY=90;NT MT-PRIORITY=-3", "RCPT TO:<a@x.test> RRVS=2029-01-31T12:00:00Z;C"}
	if got := s.Commands()[0][1:3]; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if o := ses.got[ses.jobs[0]][0]; o.Status != mail.Delivered || !o.DeliverBy {
		t.Errorf("%+v", o)
	}
	if m := s.Messages()[0].Content; bytes.Contains(m, []byte("Require-")) {
		t.Errorf("%q", m)
	}
	plain := testkit.NewSink(t, testkit.SinkOptions{})
	ses = sendAtNoon(t, plain, extended())
	if got := plain.Commands()[0][1]; strings.Contains(got, "BY=") || strings.Contains(got, "PRIORITY") {
		t.Errorf("got %q", got)
	}
	if o := ses.got[ses.jobs[0]][0]; o.Status != mail.Delivered || o.DeliverBy {
		t.Errorf("%+v", o)
	}
	const field = "Require-Recipient-Valid-Since: a@x.test;\r\n Wed, 31 Jan 2029 12:00:00 +0000\r\nSubject: x\r\n"
	if m := plain.Messages()[0].Content; !bytes.HasPrefix(m, []byte(field)) {
		t.Errorf("%q", m)
	}
}

// A priority of ours that no client named stays with us.
func TestOwnPriorityIsNotPassedOn(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"MT-PRIORITY"}})
	j := job("a@x.test")
	j.Envelope.Priority = 50
	sendAtNoon(t, s, j)
	if got := s.Commands()[0][1]; got != "MAIL FROM:<from@example.com>" {
		t.Errorf("got %q", got)
	}
}

// RFC 2852: a message that is to come back when it is late goes to no host that
// cannot be told; the connection stays good for others.
func TestDeliverByReturnNeedsDELIVERBY(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{})
	j := job("a@x.test")
	j.Envelope.DeliverBy = mail.DeliverBy{At: noon().Add(time.Minute), Return: true}
	ses := sendAtNoon(t, s, j, job("b@x.test"))
	if ses.outcomes(0) != "0 failed 550 5.3.3" || ses.outcomes(1) != delivered || s.Count() != 1 {
		t.Errorf("%s, %s", ses.outcomes(0), ses.outcomes(1))
	}
}

// RFC 7293: a recipient with action R goes to no host without RRVS; the others do.
func TestRejectWithoutRRVS(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{})
	j := job("a@x.test", "b@x.test", "c@x.test")
	j.Envelope.Recipients[1].ValidSince = mail.ValidSince{At: noon()}
	j.Envelope.Recipients[2].ValidSince = mail.ValidSince{At: noon(), Continue: true}
	ses := sendAtNoon(t, s, j)
	if ses.outcomes(0) != "0 delivered 250 2.0.0 remote, 1 failed 550 5.7.19, 2 delivered 250 2.0.0 remote" {
		t.Error(ses.outcomes(0))
	}
	if m := s.Messages()[0].Content; bytes.Contains(m, []byte("Require-")) {
		t.Errorf("who gets it reads of the others: %q", m)
	}
}

// RFC 9422: a host that wants two transactions of a connection gets no third.
func TestMailmaxEndsTheConnection(t *testing.T) {
	for _, pipelining := range []string{"PIPELINING", "X"} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{pipelining, "LIMITS RCPTMAX=5 MAILMAX=2 RCPTDOMAINMAX=1 X=y"}})
		ses := sendAtNoon(t, s, job("a@x.test"), job("b@x.test"), job("c@x.test"))
		if ses.outcomes(1) != delivered || ses.outcomes(2) != "none" || s.Count() != 2 || ses.err != nil {
			t.Errorf("%s: %s, %s, %v", pipelining, ses.outcomes(1), ses.outcomes(2), ses.err)
		}
	}
}

func TestLimitsOfAHost(t *testing.T) {
	for line, want := range map[string][2]int{
		"LIMITS RCPTMAX=5 RCPTDOMAINMAX=1": {5, 1}, "LIMITS": {}, "limits rcptmax=7": {7, 0}, "LIMITS RCPTMAX=0 RCPTDOMAINMAX=-1": {}, "LIMITS RCPTMAX=x": {},
		"LIMITS RCPTMAX=99999999999999999999": {},
	} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{line}})
		c := dial(t, s, smtp.Timeouts{})
		if rcpts, domains := c.Limits(); [2]int{rcpts, domains} != want {
			t.Errorf("%s: %d, %d", line, rcpts, domains)
		}
		c.Close()
	}
}

// binaryJob has content that no line-based host can take.
func binaryJob(to ...mail.Address) *smtp.Job {
	j := job(to...)
	j.Envelope.Binary = true
	j.Body = mail.BytesBody("a\nb\rc\x00\n.\n.\r\n.\r\n\xff\r")
	return j
}

// RFC 3030: a binary message goes by BDAT, as it is, to a host that offers both.
func TestBinaryGoesByBDAT(t *testing.T) {
	for _, pipelining := range []string{"PIPELINING", "X"} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{pipelining, "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"}})
		j := binaryJob("a@x.test", "b@x.test")
		j.Header = []byte("Subject: a\rb\nX: .\n.y: z\r\n\r\n")
		big := binaryJob("c@x.test")
		big.Body = fileBody{bytes.NewReader(bytes.Repeat([]byte("\n\x00\r."), 1<<18))}
		ses := sendAtNoon(t, s, job("d@x.test"), j, big, job("e@x.test"))
		const header = "Subject: a b\r\nX: .\r\n.y: z\r\n\r\n"
		ms := s.Messages()
		if len(ms) != 4 || ses.err != nil {
			t.Fatalf("%d messages, %v", len(ms), ses.err)
		}
		if !ms[1].Chunked || string(ms[1].Content) != header+string(j.Body.(mail.BytesBody)) || ms[0].Chunked || ms[3].Chunked {
			t.Errorf("chunked %v, %q", ms[1].Chunked, ms[1].Content)
		}
		if len(ms[2].Content) != 14+1<<20 || ms[2].FromParams[1] != "BODY=BINARYMIME" || ms[2].FromParams[0] != fmt.Sprintf("SIZE=%d", 14+1<<20) {
			t.Errorf("%d octets, %q", len(ms[2].Content), ms[2].FromParams)
		}
		if o := ses.outcomes(1); o != "0 delivered 250 2.0.0 remote, 1 delivered 250 2.0.0 remote" {
			t.Error(o)
		}
	}
}

// Refusals in the envelope of a message that goes by BDAT: no content leaves when
// nobody is to have it, and the connection stays good.
func TestBinaryThatIsRefused(t *testing.T) {
	for _, pipelining := range []string{"PIPELINING", "X"} {
		ext := []string{pipelining, "CHUNKING", "BINARYMIME"}
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: ext, Script: testkit.Scripts(
			testkit.RefuseRcpt("bad", "550 5.1.1 no"), testkit.OnMail(3, testkit.Refuse("MAIL", "451 4.3.2 not now")), testkit.OnMail(4, testkit.Refuse("BDAT", "554 5.6.0 no")))})
		ses := sendAtNoon(t, s, binaryJob("bad1@x.test", "bad2@x.test"), binaryJob("a@x.test", "bad@x.test"), binaryJob("b@x.test"), binaryJob("c@x.test"), job("d@x.test"))
		for i, want := range []string{
			"0 failed 550 5.1.1 remote, 1 failed 550 5.1.1 remote", "0 delivered 250 2.0.0 remote, 1 failed 550 5.1.1 remote",
			"0 deferred 451 4.3.2 remote", "0 failed 554 5.6.0 remote", delivered,
		} {
			if got := ses.outcomes(i); got != want {
				t.Errorf("%s: job %d: %s, want %s", pipelining, i, got, want)
			}
		}
		c := s.Commands()[0]
		if s.Count() != 2 || ses.err != nil || slices.Contains(c, ".") {
			t.Errorf("%d arrived, %v", s.Count(), ses.err)
		}
		if i := slices.Index(c, "RCPT TO:<c@x.test>"); i < 0 || c[i+2] != "RSET" {
			t.Errorf("%s: no RSET behind a refused BDAT: %q", pipelining, c)
		}
	}
}

// Without both extensions a binary message is converted, or comes back.
func TestBinaryIsConvertedOrFails(t *testing.T) {
	released := 0
	convert := func(header []byte, _ mail.Body, eightBit bool) (smtp.Converted, error) {
		if bytes.Contains(header, []byte("signed")) {
			return smtp.Converted{}, fmt.Errorf("multipart/signed: %w", smtp.ErrUnconvertible)
		}
		if bytes.Contains(header, []byte("broken")) {
			return smtp.Converted{}, errors.New("disk is full")
		}
		return smtp.Converted{Header: []byte("Subject: y\r\n\r\n"), Body: mail.BytesBody(fmt.Sprint("converted ", eightBit, "\r\n")), Release: func() { released++ }}, nil
	}
	for ext, params := range map[string]string{"8BITMIME": "SIZE=%d BODY=8BITMIME", "CHUNKING": "SIZE=%d", "BINARYMIME": "SIZE=%d"} {
		s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"PIPELINING", "SIZE", ext}})
		signed, broken := binaryJob("b@x.test"), binaryJob("c@x.test")
		signed.Header, broken.Header = []byte("Subject: signed\r\n\r\n"), []byte("Subject: broken\r\n\r\n")
		released = 0
		ses := sendBy(t, s, smtp.Options{Convert: convert}, target(s), binaryJob("a@x.test"), signed, broken, binaryJob("d@x.test"))
		want := fmt.Sprintf("Subject: y\r\n\r\nconverted %v\r\n", ext == "8BITMIME")
		if m := s.Messages(); len(m) != 2 || string(m[0].Content) != want || strings.Join(m[0].FromParams, " ") != fmt.Sprintf(params, len(want)) || m[0].Chunked {
			t.Errorf("%s: %+v", ext, m)
		}
		if ses.outcomes(1) != "0 failed 554 5.6.3" || ses.outcomes(2) != "0 deferred 451 4.3.0" || released != 2 {
			t.Errorf("%s: %s, %s, released %d", ext, ses.outcomes(1), ses.outcomes(2), released)
		}
	}
	s := testkit.NewSink(t, testkit.SinkOptions{})
	if ses := sendAtNoon(t, s, binaryJob("a@x.test")); ses.outcomes(0) != "0 failed 554 5.6.3" {
		t.Error(ses.outcomes(0))
	}
}

// RFC 6152: 8-bit mail for a host without 8BITMIME is converted; what is not 8-bit
// is not touched, and what nobody announced goes on when it cannot be.
func TestEightBitIsConverted(t *testing.T) {
	calls := 0
	convert := func(header []byte, body mail.Body, eightBit bool) (smtp.Converted, error) {
		if calls++; eightBit {
			t.Error("the host takes no 8-bit")
		}
		if bytes.Contains(header, []byte("signed")) {
			return smtp.Converted{}, smtp.ErrUnconvertible
		}
		return smtp.Converted{Header: header, Body: mail.BytesBody("seven\r\n")}, nil
	}
	eight := func(header string, announced bool) *smtp.Job {
		j := job("a@x.test")
		j.Header = []byte(header)
		j.Body, j.Envelope.EightBit = mail.BytesBody("\xfcber\r\n"), announced
		return j
	}
	const h, signed = "Subject: x\r\n\r\n", "Subject: signed\r\n\r\n"
	file := eight(h, true)
	file.Body = fileBody{bytes.NewReader(append(bytes.Repeat([]byte("x\r\n"), 20000), "\xfc\r\n"...))}
	seven := job("b@x.test")
	seven.Envelope.EightBit = true
	s := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"PIPELINING"}})
	ses := sendBy(t, s, smtp.Options{Convert: convert}, target(s), eight(h, true), eight(h, false), file, seven, eight(signed, true), eight(signed, false))
	var got []string
	for _, m := range s.Messages() {
		got = append(got, string(m.Content))
	}
	content := string(seven.Header) + string(seven.Body.(mail.BytesBody))
	if want := []string{h + "seven\r\n", h + "seven\r\n", h + "seven\r\n", content, signed + "\xfcber\r\n"}; !slices.Equal(got, want) || calls != 5 {
		t.Errorf("got %q, want %q; %d calls", got, want, calls)
	}
	if ses.outcomes(4) != "0 failed 554 5.6.3" {
		t.Error(ses.outcomes(4))
	}
	s = testkit.NewSink(t, testkit.SinkOptions{})
	sendBy(t, s, smtp.Options{Convert: convert}, target(s), eight(h, true))
	if calls != 5 {
		t.Error("mail for a host with 8BITMIME was converted")
	}
}

// tlsSink is a host sink.test, and a client's trust in it.
func tlsSink(t *testing.T, names []string, extensions ...string) (*testkit.Sink, *tls.Config) {
	cert := testkit.NewCert(t, names...)
	s := testkit.NewSink(t, testkit.SinkOptions{Extensions: extensions, TLS: cert.ServerConfig()})
	return s, &tls.Config{RootCAs: cert.Pool}
}

// RFC 8689 §4.2.1: what requires TLS goes to a host whose certificate is its own and
// that offers REQUIRETLS.
func TestRequireTLS(t *testing.T) {
	required := func() *smtp.Job {
		j := job("a@x.test")
		j.Envelope.RequireTLS = true
		return j
	}
	secure := func(s *testkit.Sink) smtp.Target {
		to := target(s)
		to.RequireTLS, to.TLS = true, smtp.TLSOff // what an operator says of a route does not count
		return to
	}
	s, trust := tlsSink(t, []string{"sink.test"}, "REQUIRETLS", "SIZE")
	ses := sendBy(t, s, smtp.Options{TLS: trust}, secure(s), required())
	if got := s.Messages(); len(got) != 1 || !got[0].TLS || !slices.Contains(got[0].FromParams, "REQUIRETLS") {
		t.Errorf("%+v, %s", got, ses.outcomes(0))
	}
	without, trust2 := tlsSink(t, []string{"sink.test"}, "SIZE")
	foreign, trust3 := tlsSink(t, []string{"other.test"}, "REQUIRETLS")
	refuses, trust4 := tlsSink(t, []string{"sink.test"}, "REQUIRETLS")
	refuses.SetScript(testkit.Refuse("STARTTLS", "454 4.7.0 not now"))
	plain := testkit.NewSink(t, testkit.SinkOptions{Extensions: []string{"REQUIRETLS"}})
	for _, c := range []struct {
		s     *testkit.Sink
		trust *tls.Config
		want  string
	}{
		{without, trust2, "550 5.7.30"}, {foreign, trust3, "550 5.7.10"}, {s, trust2, "550 5.7.10"}, {plain, trust, "550 5.7.10"}, {refuses, trust4, "451 4.7.4"},
	} {
		_, err := smtp.New(smtp.Options{Hostname: "client.test", TLS: c.trust}).Dial(testContext(t), secure(c.s))
		var he *smtp.HostError
		if !errors.As(err, &he) || !strings.HasPrefix(he.Reply.Line(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	// On a connection that was not made for it, it never leaves.
	ses = sendBy(t, without, smtp.Options{TLS: trust2}, target(without), required(), job("b@x.test"))
	if ses.outcomes(0) != "0 failed 550 5.7.30" || ses.outcomes(1) != delivered || without.Count() != 1 {
		t.Errorf("%s, %s", ses.outcomes(0), ses.outcomes(1))
	}
}

// RFC 8689 §5: a report that requires TLS says so where that is true, and goes out
// all the same where it is not.
func TestReportThatRequiresTLS(t *testing.T) {
	report := func() *smtp.Job {
		j := job("a@x.test")
		j.Envelope.Sender, j.Envelope.RequireTLS = "", true
		return j
	}
	good, trust := tlsSink(t, []string{"sink.test"}, "REQUIRETLS")
	without, _ := tlsSink(t, []string{"sink.test"}, "SIZE")
	for _, c := range []struct {
		s     *testkit.Sink
		trust *tls.Config
		want  bool
	}{{good, trust, true}, {good, nil, false}, {without, trust, false}} {
		sendBy(t, c.s, smtp.Options{TLS: c.trust}, target(c.s), report())
		ms := c.s.Messages()
		if m := ms[len(ms)-1]; !m.TLS || slices.Contains(m.FromParams, "REQUIRETLS") != c.want {
			t.Errorf("%+v", m)
		}
	}
}
