// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// asking is who gets the reports; its domain is the sink's.
const asking = "asking@out.test"

// TestReportsWithPostfix has reports asked for across a Postroad and a Postfix, in either order. The last of them tells of
// success, as the sink makes no reports, and what the client asked for has reached it through the one before.
func TestReportsWithPostfix(t *testing.T) {
	end := testkit.NewSink(t, testkit.SinkOptions{Script: testkit.RefuseRcpt("bad", "550 5.1.1 no such user")})
	cert := testkit.NewCert(t, "postfix.test", "relay.test")
	certFile, keyFile := cert.Write(t, t.TempDir())
	at := testkit.FreeAddr(t)
	r := startRelay(t, "testdata/postfix.hcl", "POSTROAD_POSTFIX="+at, "POSTROAD_SINK="+end.Addr().String(), "POSTROAD_CERT="+certFile, "POSTROAD_KEY="+keyFile)
	p := startPostfix(t, at, end.Addr().String(), r.addr, cert)
	for _, c := range []struct{ server, domain, reporter string }{{r.addr, "out.test", "postfix.test"}, {p.addr, "in.test", "relay.test"}} {
		ask(t, c.server, c.domain)
		eventually(t, c.reporter, func() error {
			got := toldBy(end, c.reporter)
			want := []string{"failed bad@" + c.domain, "relayed good@" + c.domain}
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s says %q, want %q", c.reporter, got, want)
			}
			return nil
		})
	}
	for _, m := range end.Messages() {
		if m.From != "<>" {
			continue
		}
		for _, field := range []string{"Original-Envelope-Id: QQ 314", "Original-Recipient: rfc822;"} {
			if !strings.Contains(string(m.Content), "\r\n"+field) {
				t.Errorf("%s is missing: %s", field, m.Content)
			}
		}
	}
}

// ask hands in one message whose sender wants to hear of some recipients.
func ask(t *testing.T, server, domain string) {
	t.Helper()
	c, err := newSpeaker(server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.say(250, "MAIL FROM:<%s> RET=HDRS ENVID=QQ+20314", asking)
	for rcpt, notify := range map[string]string{"good": "SUCCESS", "bad": "FAILURE,DELAY", "bad-and-quiet": "NEVER", "good-and-quiet": "FAILURE"} {
		c.say(250, "RCPT TO:<%s@%s> NOTIFY=%s ORCPT=rfc822;%s+2Bx@%s", rcpt, domain, notify, rcpt, domain)
	}
	c.say(354, "DATA")
	c.say(250, "From: <%s>\r\nSubject: x\r\n\r\nhello\r\n.", asking)
	c.say(221, "QUIT")
	if c.err != nil {
		t.Fatal(c.err)
	}
}

// toldBy returns what a host has reported to the sender, "action recipient", sorted.
func toldBy(end *testkit.Sink, reporter string) []string {
	var out []string
	for _, m := range end.Messages() {
		content := string(m.Content)
		if m.To[0] != "<"+asking+">" || !strings.Contains(content, "\r\nReporting-MTA: dns; "+reporter+"\r\n") {
			continue
		}
		for _, group := range strings.Split(content, "\r\n\r\n") {
			_, to, found := strings.Cut(group, "Final-Recipient: rfc822; ")
			_, action, _ := strings.Cut(to, "\r\nAction: ")
			if found {
				out = append(out, firstLine(action)+" "+firstLine(to))
			}
		}
	}
	slices.Sort(out)
	return out
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\r\n")
	return line
}
