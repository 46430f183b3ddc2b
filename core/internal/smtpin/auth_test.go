// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestPasswordsAreNotAskedForInTheClear: from another machine AUTH is neither
// offered nor taken before TLS.
func TestPasswordsAreNotAskedForInTheClear(t *testing.T) {
	b := &backend{mechanisms: []string{"PLAIN"}}
	out := run(t, Options{Backend: b, TLS: serverTLS(t)}, "EHLO x.example\r\nAUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("user ann"))+"\r\nQUIT\r\n")
	if strings.Contains(out, "AUTH PLAIN") {
		t.Errorf("AUTH is offered:\n%s", out)
	}
	if got := codes(out); got != "220 250 538 221" {
		t.Errorf("codes %s, want AUTH refused with 538", got)
	}
	if b.calls("login PLAIN") > 0 {
		t.Error("the backend was asked")
	}
}

// TestResponsesAreBounded: RFC 4954 section 4 wants 12,288 octets to be taken.
func TestResponsesAreBounded(t *testing.T) {
	for _, c := range []struct {
		octets int // of the response, decoded
		want   string
	}{{9000, "334"}, {9210, "334"}, {9217, "500"}, {100_000, "500"}} {
		_, addr := serve(t, Options{Backend: &backend{mechanisms: []string{"PLAIN"}}})
		d := dial(t, addr).hello()
		d.cmd("AUTH PLAIN", "334")
		d.send(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", c.octets))) + "\r\n")
		d.expect(c.want)
		if c.want == "334" {
			d.cmd("*", "501 5.7.0")
			d.cmd("NOOP", "250")
		}
	}
}

// TestRSETKeepsTheLogin: RSET is about the transaction alone.
func TestRSETKeepsTheLogin(t *testing.T) {
	b := &backend{mechanisms: []string{"PLAIN"}}
	_, addr := serve(t, Options{Backend: b})
	d := dial(t, addr).hello()
	d.cmd("AUTH PLAIN dXNlciBhbm4=", "235")
	d.cmd("RSET", "250")
	d.envelope()
	d.cmd("DATA", "354")
	d.cmd("hello\r\n.", "250")
	if m := b.messages[0]; m.client.User != "ann" || !m.client.Authenticated || m.client.Protocol != "ESMTPA" {
		t.Errorf("the message is from %+v", m.client)
	}
}
