// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"crypto/tls"
	"net/netip"
	stdsmtp "net/smtp"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/postroad-mail/postroad/core/mail"
)

// Clients that others wrote get a message through, with and without TLS.
func TestClientsOfOthers(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, TLS: serverTLS(t)})
	body := "Subject: ä\r\n\r\n.dot\r\n..\r\n"
	if err := stdClient(addr, body); err != nil {
		t.Errorf("net/smtp: %v", err)
	}
	if err := goSMTPClient(addr, body); err != nil {
		t.Errorf("go-smtp: %v", err)
	}
	equal(t, "messages", b.bodies(), []string{body, body})
	equal(t, "protocol", []string{b.messages[0].client.Protocol, b.messages[1].client.Protocol}, []string{"UTF8SMTPS", "UTF8SMTP"})
	equal(t, "8-bit", b.messages[0].params.EightBit, true)
}

// stdClient says BODY=8BITMIME and SMTPUTF8 because we offer them.
func stdClient(addr, body string) error {
	c, err := stdsmtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		return err
	}
	if err := c.Mail("a@example.com"); err != nil {
		return err
	}
	if err := c.Rcpt("b@example.org"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func goSMTPClient(addr, body string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Mail("ä@example.com", &smtp.MailOptions{UTF8: true, Size: int64(len(body))}); err != nil {
		return err
	}
	if err := c.Rcpt("b@example.org", nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(body, "\r\n", "\n"))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func TestOneClientIsOneNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7":         "192.0.2.7",
		"2001:db8:1:2:3::4": "2001:db8:1:2::",
	} {
		equal(t, in, mail.ClientNetwork(netip.MustParseAddr(in)).String(), want)
	}
	equal(t, "none", mail.ClientNetwork(netip.Addr{}).IsValid(), false)
}
