// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// TestSmarthostExample runs examples/smarthost.hcl: everything goes to the next hop, unchanged.
func TestSmarthostExample(t *testing.T) {
	s := startSink(t)
	w := way{startRelay(t, "../../../examples/smarthost.hcl", "POSTROAD_SMARTHOST="+s.addr), s}
	content := []byte(head + "X-Internal-Note: stays\r\n\r\ntext\r\n")
	if out, err := smtplib(t, w.relay.addr, content, "rcpt@sink.test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.reaches(t, "rcpt@sink.test", content)
}

// TestFilteredExample runs examples/smarthost-filtered.hcl: its plugins refuse, drop fields and add one.
func TestFilteredExample(t *testing.T) {
	s := startSink(t)
	w := way{startRelay(t, "../../../examples/smarthost-filtered.hcl", "POSTROAD_SMARTHOST="+s.addr), s}
	content := head + "X-Internal-Note: goes\r\n\r\ntext\r\n"
	if out, err := smtplib(t, w.relay.addr, []byte(content), "rcpt@sink.test"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// A field that a stage adds stands above ours.
	eventually(t, "smtp-sink", func() error {
		got, err := one(s.files("rcpt@sink.test"), func(path string) ([]byte, error) { return cut(path, sinkTrace) })
		if err != nil {
			return err
		}
		rest, ok := bytes.CutPrefix(got, []byte("X-Postroad-Client: 127.0.0.1\n"))
		if !ok {
			return fmt.Errorf("no field was added: %.300q", got)
		}
		if rest, err = withoutReceived(rest); err != nil {
			return err
		}
		return same(rest, []byte(strings.Replace(string(lf([]byte(content))), "X-Internal-Note: goes\n", "", 1)+"\n"))
	})
	refused := map[string]string{
		"attachment": strings.Replace(string(attachment(100)), "data.bin", "data.exe", 1),
		"subject":    strings.Replace(head, "A message", "You have won", 1) + "\r\ntext\r\n",
	}
	for what, content := range refused {
		if out, err := smtplib(t, w.relay.addr, []byte(content), "nobody@sink.test"); err == nil || !strings.Contains(out, "550 5.7.1") {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}

// reaches waits for a message at smtp-sink.
func (w way) reaches(t *testing.T, rcpt string, content []byte) {
	t.Helper()
	eventually(t, rcpt, func() error {
		got, err := one(w.sink.files(rcpt), fromSink)
		if err != nil {
			return err
		}
		return same(got, lf(content))
	})
}

// The mail exchangers of the domains are at addresses of the loopback network: nobody listens at 127.0.0.2, a host that
// is too busy at 127.0.0.3, and a good one, with STARTTLS and a certificate that nobody vouches for, at 127.0.0.4.
const gatewayZone = `
one.test.    MX 10 dead.test.
one.test.    MX 20 good.test.
two.test.    MX 10 busy.test.
two.test.    MX 20 good.test.
three.test.  A  127.0.0.4
four.test.   MX 10 good.test.
dead.test.   A  127.0.0.2
busy.test.   A  127.0.0.3
good.test.   A  127.0.0.4
`

// TestGatewayExample runs examples/gateway.hcl: it takes mail for its domains from anyone, and for others from nobody.
func TestGatewayExample(t *testing.T) {
	good, busy := exchangers(t)
	_, mxPort, err := net.SplitHostPort(good.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	dns := testkit.NewDNS(t, gatewayZone)
	r := startRelay(t, "../../../examples/gateway.hcl", "POSTROAD_DOMAINS=one.test,two.test,three.test", "POSTROAD_DNS="+dns.Addr(), "POSTROAD_MX_PORT="+mxPort)
	for _, domain := range []string{"one.test", "two.test", "three.test"} {
		t.Run(domain, func(t *testing.T) { crosses(t, r, good, domain) })
	}
	t.Run("relay denied", func(t *testing.T) {
		for _, domain := range []string{"four.test", "sub.one.test", "localhost"} {
			if out, err := swaks(t, r.addr, []byte(head), "rcpt@"+domain); err == nil || !strings.Contains(out, "554 5.7.1") {
				t.Errorf("%s: %v\n%s", domain, err, out)
			}
		}
	})
	if busy.Connections() == 0 {
		t.Error("the preferred host of two.test was not asked")
	}
	if n := good.Count(); n != 3 {
		t.Errorf("%d messages arrived", n)
	}
}

// exchangers are the good host and the busy one, at the same port.
func exchangers(t *testing.T) (good, busy *testkit.Sink) {
	t.Helper()
	cert := testkit.NewCert(t, "elsewhere.test")
	good = testkit.NewSink(t, testkit.SinkOptions{Listen: "127.0.0.4:0", TLS: cert.ServerConfig()})
	at := net.JoinHostPort("127.0.0.3", port(t, good.Addr().String()))
	busy = testkit.NewSink(t, testkit.SinkOptions{Listen: at, Script: testkit.On(testkit.VerbConnect, testkit.Action{Reply: "421 4.3.2 busy", Close: true})})
	return good, busy
}

// crosses sends a message to a domain of the gateway and expects it at the good host, encrypted and unchanged.
func crosses(t *testing.T, r *relay, good *testkit.Sink, domain string) {
	t.Helper()
	content := []byte(head + "\r\nto " + domain + "\r\n.\r\n..\r\n")
	if out, err := swaks(t, r.addr, content, "rcpt@"+domain); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var m testkit.Received
	eventually(t, domain, func() error {
		for _, m = range good.Messages() {
			if m.To[0] == "<rcpt@"+domain+">" {
				return nil
			}
		}
		return fmt.Errorf("no message arrived")
	})
	if !m.TLS || m.From != "<"+sender+">" {
		t.Errorf("from %s, TLS %v", m.From, m.TLS)
	}
	got, err := withoutReceived(lf(m.Content))
	if err == nil {
		err = same(got, lf(content))
	}
	if err != nil {
		t.Error(err)
	}
}
