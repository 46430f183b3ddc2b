// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"
)

// serverTLS returns a configuration with a fresh certificate.
func serverTLS(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"mx.example.org"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// upgrade does STARTTLS and the handshake.
func (c *client) upgrade() *client {
	c.t.Helper()
	c.cmd("STARTTLS", "220 2.0.0")
	tc := tls.Client(c.c, &tls.Config{InsecureSkipVerify: true})
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.c, c.r = tc, bufio.NewReader(tc)
	return c
}

func TestSTARTTLSForgetsEverything(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t)})
	c := dial(t, addr).hello().envelope().upgrade()
	equal(t, "transactions closed", b.closes, 1)
	c.cmd("DATA", "503 5.5.1")
	c.cmd("RCPT TO:<c@example.org>", "503 5.5.1")
	c.cmd("MAIL FROM:<a@example.com>", "503 5.5.1")
	if list := c.cmd("EHLO again.example", "250-"); strings.Contains(list, "STARTTLS") {
		t.Errorf("STARTTLS offered above TLS: %q", list)
	}
	c.cmd("STARTTLS", "503 5.5.1")
	c.envelope().cmd("DATA", "354")
	c.cmd("dot\r\n..\r\n.", "250 2.0.0")
	m := b.messages[0]
	equal(t, "body", m.body, "dot\r\n.\r\n")
	equal(t, "protocol", m.client.Protocol, "ESMTPS")
	equal(t, "version", m.client.TLSVersion, "TLS1.3")
	equal(t, "helo", m.client.Helo, "again.example")
	if m.client.TLSCipher == "" {
		t.Error("no cipher")
	}
}

// The layer sees plaintext above TLS: strictness holds there too.
func TestStrictAboveTLS(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t)})
	c := dial(t, addr).hello().upgrade()
	c.cmd("EHLO again.example", "250-")
	c.envelope().cmd("DATA", "354")
	c.cmd("x\r\n.\nMAIL FROM:<evil@example.com>\r\n\r\n.", "554 5.6.0")
	c.cmd("NOOP", "250")
	c.send("NOOP\n")
	c.expect("500 5.5.2")
	equal(t, "messages", b.bodies(), []string(nil))
}

func TestSTARTTLSInjection(t *testing.T) {
	for _, behind := range []string{"RSET\r\n", "EHLO evil.example\r\nMAIL FROM:<evil@example.com>\r\n", "R", "\r\n"} {
		o := newObserver()
		b := &backend{}
		_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t), Observer: o})
		c := dial(t, addr).hello()
		c.send("STARTTLS\r\n" + behind)
		c.expect("554 5.5.1")
		c.closed()
		equal(t, "reason", o.count(o.refused, "554 tls"), 1)
		equal(t, "mails", b.mails, 0)
	}
}

func TestFailedHandshakeEndsSession(t *testing.T) {
	o := newObserver()
	_, addr := serve(t, Options{Backend: &backend{}, TLS: serverTLS(t), Observer: o})
	c := dial(t, addr).hello()
	c.cmd("STARTTLS", "220")
	c.send("MAIL FROM:<evil@example.com>\r\n")
	rest, _ := c.r.ReadBytes(0)
	if strings.Contains(string(rest), "250") {
		t.Errorf("plaintext answered: %q", rest)
	}
	equal(t, "reason", o.count(o.refused, "454 tls"), 1)
}

// TestAClientThatSpeaksInTheClearIsNotAnswered where TLS is to begin at once: it
// gets no banner, and the Backend hears nothing of it.
func TestAClientThatSpeaksInTheClearIsNotAnswered(t *testing.T) {
	b, o := &backend{}, newObserver()
	_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t), Implicit: true, Observer: o})
	c := dial(t, addr)
	c.send("EHLO client.example\r\n")
	line, err := c.r.ReadString('\n')
	if err == nil || strings.HasPrefix(line, "2") {
		t.Errorf("got %q, %v", line, err)
	}
	if b.opens > 0 || o.count(o.refused, "454 tls") != 1 {
		t.Errorf("%d opened, refused %v", b.opens, o.refused)
	}
}
