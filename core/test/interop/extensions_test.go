// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// binaryPart is what no line-based host can take.
const binaryPart = "\x89PNG\r\n\x1a\n\x00\r.\n.\r\n..\r\r\n\xff"

// TestExtensionsWithPostfix has a Postfix as the next hop, which has CHUNKING, DSN and SMTPUTF8, and none of the others:
// what is binary arrives in base64, what requires TLS comes back, and of a message with a time its sender hears that it
// went where nobody minds the time. Beyond Postfix they arrive as Postfix got them.
func TestExtensionsWithPostfix(t *testing.T) {
	end := testkit.NewSink(t, testkit.SinkOptions{})
	cert := testkit.NewCert(t, "postfix.test", "relay.test", "127.0.0.1")
	certFile, keyFile := cert.Write(t, t.TempDir())
	at := testkit.FreeAddr(t)
	r := startRelay(t, "testdata/postfix.hcl", "POSTROAD_POSTFIX="+at, "POSTROAD_SINK="+end.Addr().String(), "POSTROAD_CERT="+certFile, "POSTROAD_KEY="+keyFile,
		"SSL_CERT_FILE="+certFile)
	startPostfix(t, at, end.Addr().String(), r.addr, cert)

	t.Run("binary", func(t *testing.T) {
		binaryByBDAT(t, r.addr)
		m := oneFor(t, end, "<binary@out.test>")
		want := "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(binaryPart)) + "\r\n--b--\r\n"
		if !strings.HasSuffix(string(m.Content), want) || !strings.Contains(string(m.Content), "Content-Transfer-Encoding: 7bit\r\n\r\n--b\r\n") {
			t.Errorf("%q", m.Content)
		}
	})
	t.Run("deliver by, priority and owner", func(t *testing.T) {
		c, err := newSpeaker(r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.say(250, "MAIL FROM:<%s> BY=3600;N MT-PRIORITY=4", asking)
		c.say(250, "RCPT TO:<timed@out.test> RRVS=2020-01-31T12:00:00Z;C")
		c.say(354, "DATA")
		c.say(250, "Subject: x\r\n\r\nhello\r\n.")
		if c.err != nil {
			t.Fatal(c.err)
		}
		m := oneFor(t, end, "<timed@out.test>")
		if !strings.Contains(string(m.Content), "Require-Recipient-Valid-Since: timed@out.test;") {
			t.Errorf("%q", m.Content)
		}
		reported(t, end, "relayed timed@out.test")
	})
	t.Run("requires TLS", func(t *testing.T) {
		c := secured(t, r.addr, cert)
		c.say(250, "MAIL FROM:<%s> REQUIRETLS RET=FULL", asking)
		c.say(250, "RCPT TO:<secret@out.test>")
		c.say(354, "DATA")
		c.say(250, "Subject: x\r\n\r\nfor your eyes only\r\n.")
		if c.err != nil {
			t.Fatal(c.err)
		}
		reported(t, end, "failed secret@out.test")
		for _, m := range end.Messages() {
			content := string(m.Content)
			if m.To[0] == "<secret@out.test>" || strings.Contains(content, "for your eyes only") {
				t.Errorf("it went out: %q", content)
			}
			if strings.Contains(content, "secret@out.test") && !strings.Contains(content, "Status: 5.7.30\r\n") {
				t.Errorf("%q", content)
			}
		}
	})
}

// binaryByBDAT hands in a message with a binary part.
func binaryByBDAT(t *testing.T, server string) {
	t.Helper()
	c, err := newSpeaker(server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.say(250, "MAIL FROM:<%s> BODY=BINARYMIME", asking)
	c.say(250, "RCPT TO:<binary@out.test>")
	c.chunk([]byte("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n--b\r\n"), "")
	c.chunk([]byte("Content-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"+binaryPart+"\r\n--b--\r\n"), " LAST")
	if c.err != nil {
		t.Fatal(c.err)
	}
}

// secured connects, and has TLS.
func secured(t *testing.T, server string, cert *testkit.Cert) *speaker {
	t.Helper()
	conn, err := net.Dial("tcp", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &speaker{Conn: textproto.NewConn(conn)}
	s.hear(220)
	s.say(250, "EHLO client.test")
	s.say(220, "STARTTLS")
	s.Conn = textproto.NewConn(tls.Client(conn, cert.ClientConfig("relay.test")))
	s.say(250, "EHLO client.test")
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s
}

// oneFor waits for the message to a recipient.
func oneFor(t *testing.T, end *testkit.Sink, to string) (m testkit.Received) {
	t.Helper()
	eventually(t, to, func() error {
		for _, m = range end.Messages() {
			if m.To[0] == to {
				return nil
			}
		}
		return fmt.Errorf("nothing arrived")
	})
	return m
}

// reported waits for what our relay reports of a recipient.
func reported(t *testing.T, end *testkit.Sink, want string) {
	t.Helper()
	eventually(t, want, func() error {
		got := toldBy(end, "relay.test")
		for _, line := range got {
			if line == want {
				return nil
			}
		}
		return fmt.Errorf("reported: %q", got)
	})
}
