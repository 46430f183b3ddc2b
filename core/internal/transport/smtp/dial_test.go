// SPDX-License-Identifier: Apache-2.0

package smtp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/internal/testkit"
	"github.com/postroad-mail/postroad/core/internal/transport/smtp"
	"github.com/postroad-mail/postroad/core/mail"
)

// dialError dials and returns the words of the HostError.
func dialError(t *testing.T, c *smtp.Client, target smtp.Target) string {
	t.Helper()
	conn, err := c.Dial(testContext(t), target)
	if err == nil {
		conn.Close()
		return "connected " + conn.TLS()
	}
	var he *smtp.HostError
	var reply *mail.Reply
	if !errors.As(err, &he) || !errors.As(err, &reply) || he.Host != target.Host || he.Address != target.Addr.String() {
		t.Fatalf("not a HostError: %v", err)
	}
	return fmt.Sprintf("%d %s remote=%t", reply.Code, reply.Enhanced, he.Remote)
}

func TestHostsThatCannotBeUsed(t *testing.T) {
	short := smtp.Timeouts{Greeting: 30 * time.Millisecond, Hello: 30 * time.Millisecond}
	hold := make(chan struct{})
	for name, c := range map[string]struct {
		script testkit.Script
		want   string
	}{
		"busy":             {testkit.Refuse(testkit.VerbConnect, "421 4.3.2 busy"), "421 4.3.2 remote=true"},
		"no service":       {testkit.Refuse(testkit.VerbConnect, "554 5.7.1 not you"), "554 5.7.1 remote=true"},
		"closes":           {testkit.Drop(testkit.VerbConnect), "451 4.4.2 remote=false"},
		"silent":           {testkit.Hold(testkit.VerbConnect, hold), "451 4.4.2 remote=false"},
		"not SMTP":         {testkit.On(testkit.VerbConnect, testkit.Action{Raw: "SSH-2.0-x\r\n"}), "451 4.4.2 remote=false"},
		"EHLO not now":     {testkit.Refuse("EHLO", "450 4.7.0 later"), "450 4.7.0 remote=true"},
		"EHLO closes":      {testkit.Drop("EHLO"), "451 4.4.2 remote=false"},
		"EHLO silent":      {testkit.Hold("EHLO", hold), "451 4.4.2 remote=false"},
		"no EHLO nor HELO": {testkit.Scripts(testkit.Refuse("EHLO", "502 no"), testkit.Refuse("HELO", "550 5.7.1 no")), "550 5.7.1 remote=true"},
		"endless EHLO":     {testkit.On("EHLO", testkit.Action{Raw: strings.Repeat("250-X\r\n", 1<<12)}), "451 4.4.2 remote=false"},
	} {
		s := testkit.NewSink(t, testkit.SinkOptions{Script: c.script})
		timeouts := smtp.Timeouts{}
		if strings.HasSuffix(name, "silent") {
			timeouts = short
		}
		if got := dialError(t, client(timeouts), target(s)); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	gone := testkit.NewSink(t, testkit.SinkOptions{})
	gone.Close()
	if got := dialError(t, client(short), target(gone)); got != "451 4.4.1 remote=false" {
		t.Errorf("nobody listens: %s", got)
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{Script: testkit.Hold("EHLO", make(chan struct{}))})
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan error)
	go func() {
		_, err := client(smtp.Timeouts{}).Dial(ctx, target(s))
		ended <- err
	}()
	if err := s.WaitCommand(testContext(t), "EHLO client.test"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSTARTTLS(t *testing.T) {
	cert := testkit.NewCert(t, "sink.test")
	other := testkit.NewCert(t, "other.test")
	good := testkit.SinkOptions{TLS: cert.ServerConfig()}
	refused := testkit.SinkOptions{TLS: cert.ServerConfig(), Script: testkit.Refuse("STARTTLS", "454 4.7.0 not now")}
	// Text behind the 220 would be read as if it had come over TLS.
	injected := testkit.SinkOptions{TLS: cert.ServerConfig(), Script: testkit.On("STARTTLS", testkit.Action{Raw: "220 go\r\n250 injected\r\n"})}
	for name, c := range map[string]struct {
		o           testkit.SinkOptions
		mode        string
		want        string
		connections int
	}{
		"opportunistic":               {good, "", "connected TLS1.3", 1},
		"opportunistic, any name":     {testkit.SinkOptions{TLS: other.ServerConfig()}, "opportunistic", "connected TLS1.3", 1},
		"opportunistic, not offered":  {testkit.SinkOptions{}, "opportunistic", "connected ", 1},
		"opportunistic, refused":      {refused, "opportunistic", "connected ", 1},
		"opportunistic, bad":          {testkit.SinkOptions{BadTLS: true}, "opportunistic", "connected ", 2},
		"opportunistic, injected":     {injected, "opportunistic", "451 4.7.0 remote=false", 1},
		"off":                         {good, "off", "connected ", 1},
		"required":                    {good, "required", "connected TLS1.3", 1},
		"required, not offered":       {testkit.SinkOptions{}, "required", "451 4.7.4 remote=false", 1},
		"required, refused":           {refused, "required", "451 4.7.4 remote=false", 1},
		"required, bad":               {testkit.SinkOptions{BadTLS: true}, "required", "451 4.7.5 remote=false", 1},
		"required, not its name":      {testkit.SinkOptions{TLS: other.ServerConfig()}, "required", "451 4.7.5 remote=false", 1},
		"required, injected":          {injected, "required", "451 4.7.0 remote=false", 1},
		"required, refused after TLS": {testkit.SinkOptions{TLS: cert.ServerConfig(), Script: onTLS(testkit.Refuse("EHLO", "450 4.7.0 x"))}, "required", "450 4.7.0 remote=true", 1},
	} {
		s := testkit.NewSink(t, c.o)
		roots := &tls.Config{RootCAs: cert.Pool}
		roots.RootCAs.AddCert(other.TLS.Leaf)
		to := target(s)
		to.TLS = c.mode
		got := dialError(t, smtp.New(smtp.Options{Hostname: "client.test", TLS: roots}), to)
		if got != c.want || s.Connections() != c.connections {
			t.Errorf("%s: got %s over %d connections, want %s over %d", name, got, s.Connections(), c.want, c.connections)
		}
	}
}

func onTLS(s testkit.Script) testkit.Script {
	return func(e testkit.Event) testkit.Action {
		if e.TLS {
			return s(e)
		}
		return testkit.Action{}
	}
}

// What a host says before TLS does not count inside it (RFC 3207 §4.2).
func TestNothingSurvivesSTARTTLS(t *testing.T) {
	plain := "250 sink.test\nSTARTTLS\nSIZE 1\nPIPELINING\n8BITMIME"
	s := testkit.NewSink(t, testkit.SinkOptions{
		TLS: testkit.NewCert(t, "sink.test").ServerConfig(), Extensions: []string{},
		Script: func(e testkit.Event) testkit.Action {
			if e.Verb == "EHLO" && !e.TLS {
				return testkit.Action{Reply: plain}
			}
			return testkit.Action{}
		},
	})
	j := job("a@x.test")
	j.Envelope.EightBit = true
	ses := send(t, s, false, j)
	want := "EHLO client.test|STARTTLS|EHLO client.test|MAIL FROM:<from@example.com>|RCPT TO:<a@x.test>|DATA|QUIT"
	if got := strings.Join(s.Commands()[0], "|"); got != want || ses.outcomes(0) != delivered {
		t.Errorf("%s\n%s", got, ses.outcomes(0))
	}
	if m := s.Messages()[0]; !m.TLS || ses.got[j][0].TLS != "TLS1.3" {
		t.Errorf("%+v", m)
	}
}

// A connection leaves from the address that the target names, with the name that
// goes with it; when it cannot, nothing is said of the host.
func TestLeavesFromAnAddress(t *testing.T) {
	s := testkit.NewSink(t, testkit.SinkOptions{})
	to := target(s)
	to.Local, to.Hostname = netip.MustParseAddr("127.0.0.2"), "two.test"
	c, err := client(smtp.Timeouts{}).Dial(testContext(t), to)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got := s.Commands()[0][0]; got != "EHLO two.test" {
		t.Error(got)
	}
	to.Local = netip.MustParseAddr("192.0.2.1") // of nobody (RFC 5737)
	var he *smtp.HostError
	if _, err = client(smtp.Timeouts{}).Dial(testContext(t), to); !errors.As(err, &he) || !he.Local || !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("%v", err)
	}
	to = target(s)
	s.Close()
	if _, err = client(smtp.Timeouts{}).Dial(testContext(t), to); !errors.As(err, &he) || he.Local {
		t.Errorf("%v", err)
	}
}
