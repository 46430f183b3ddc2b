// SPDX-License-Identifier: Apache-2.0

package relay_test

import (
	"net"
	"net/textproto"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

const strangersZone = `
1.0.0.127.in-addr.arpa. 60 PTR client.test.
client.test. 60 A 127.0.0.1
2.0.0.127.in-addr.arpa. 60 PTR liar.test.
liar.test. 60 A 192.0.2.1
1.0.0.127.black.test. 60 A 127.0.0.2
1.0.0.127.white.test. 60 A 127.0.0.1
`

// strangers is a relay that takes mail for example.test from anyone, with a clients
// block.
func strangers(t *testing.T, block string) *rig {
	t.Helper()
	dns := testkit.NewDNS(t, strangersZone)
	hcl := strings.Replace(base("", ""), `relay_from = ["127.0.0.0/8"]`, "clients {\n"+block+"\n}", 1)
	hcl = strings.Replace(hcl, "rule { route = route.next }", "rule {\n domains = [\"example.test\"]\n accept = true\n route = route.next\n}\nrule { route = route.next }", 1)
	return newRig(t, hcl+"resolver { servers = [\""+dns.Addr()+"\"] }\n", nil)
}

// from connects from an address of this machine and returns the code of what it
// hears first.
func (g *rig) from(addr string) (*client, int) {
	g.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	conn, err := d.Dial("tcp", g.r.Addr("in").String())
	if err != nil {
		g.t.Fatal(err)
	}
	c := &client{g.t, textproto.NewConn(conn)}
	g.t.Cleanup(func() { c.c.Close() })
	code, _, err := c.c.ReadResponse(0)
	if err != nil {
		g.t.Fatal(err)
	}
	return c, code
}

func TestStrangersComeSoOften(t *testing.T) {
	g := strangers(t, `connection_rate = "2/1h"`)
	for i, want := range []int{220, 220, 421, 421} {
		if _, code := g.from("127.0.0.1"); code != want {
			t.Errorf("connection %d: %d, want %d", i, code, want)
		}
	}
	if _, code := g.from("127.0.0.2"); code != 220 {
		t.Errorf("another client: %d", code)
	}
	g.clock.Advance(60 * 60 * 1e9)
	if _, code := g.from("127.0.0.1"); code != 220 {
		t.Errorf("an hour later: %d", code)
	}
}

func TestTrustedClientsComeAsTheyLike(t *testing.T) {
	g := strangers(t, "connection_rate = \"1/1h\"\nmessage_rate = \"1/1h\"\ntrusted = [\"127.0.0.1\"]\ngreet_delay = \"10s\"\nhelo = \"require\"")
	for range 3 {
		c := g.dial()
		c.cmd(250, "EHLO localhost")
		c.send(250, "a@far.test", hello, "b@example.test")
	}
}

func TestStrangersSendSoMuch(t *testing.T) {
	g := strangers(t, "message_rate = \"2/1h\"\nrecipient_rate = \"5/1h\"")
	c := g.dial()
	c.send(250, "a@far.test", hello, "b@example.test", "c@example.test", "d@example.test", "e@example.test")
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(250, "RCPT TO:<f@example.test>")
	c.cmd(452, "RCPT TO:<g@example.test>")
	c.cmd(250, "RSET")
	c.cmd(450, "MAIL FROM:<a@far.test>")
	other, _ := g.from("127.0.0.2")
	other.cmd(250, "EHLO other.test")
	other.cmd(250, "MAIL FROM:<a@far.test>")
}

// TestWhoTriesAddressesIsSentAway: a harvester costs one session of so many tries.
func TestWhoTriesAddressesIsSentAway(t *testing.T) {
	g := strangers(t, "refused_recipients = 3")
	c := g.dial()
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(554, "RCPT TO:<a@other.test>")
	c.cmd(250, "RCPT TO:<a@example.test>")
	c.cmd(554, "RCPT TO:<b@other.test>")
	c.cmd(250, "RSET")
	c.cmd(250, "MAIL FROM:<a@far.test>")
	c.cmd(421, "RCPT TO:<c@other.test>")
}

func TestListedClientsAreRefused(t *testing.T) {
	for _, c := range []struct {
		block string
		code  int
	}{
		{"dnsbl \"black\" {\n zone = \"black.test\"\n}", 554},
		{"dnsbl \"black\" {\n zone = \"black.test\"\n codes = [\"127.0.0.3\"]\n}", 220},
		{"dnsbl \"black\" {\n zone = \"black.test\"\n}\ndnsbl \"white\" {\n zone = \"white.test\"\n weight = -1\n}", 220},
		{"dnsbl_threshold = 2\ndnsbl \"black\" {\n zone = \"black.test\"\n}", 220},
		{"dnsbl \"nobody\" {\n zone = \"nobody.test\"\n}", 220},
		{"trusted = [\"127.0.0.1\"]\ndnsbl \"black\" {\n zone = \"black.test\"\n}", 220},
	} {
		if _, code := strangers(t, c.block).from("127.0.0.1"); code != c.code {
			t.Errorf("%s: %d, want %d", c.block, code, c.code)
		}
	}
}

func TestClientsWithoutANameAreRefused(t *testing.T) {
	g := strangers(t, `reverse_dns = "require"`)
	for addr, want := range map[string]int{"127.0.0.1": 220, "127.0.0.2": 550, "127.0.0.3": 550} {
		_, code := g.from(addr)
		if want == 550 {
			want = 554 // as the banner's place wants it
		}
		if code != want {
			t.Errorf("%s: %d, want %d", addr, code, want)
		}
	}
}

func TestNamesInHELO(t *testing.T) {
	c := strangers(t, `helo = "require"`).dial()
	for name, want := range map[string]int{"relay.test": 550, "RELAY.TEST": 550, "127.0.0.1": 550, "localhost": 550, "[127.0.0.1]": 250, "client.test": 250} {
		c.cmd(want, "EHLO %s", name)
	}
}

// TestWhoSpeaksBeforeTheBannerIsRefused at once, and not after the delay.
func TestWhoSpeaksBeforeTheBannerIsRefused(t *testing.T) {
	g := strangers(t, `greet_delay = "1m"`)
	conn, err := net.Dial("tcp", g.r.Addr("in").String())
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t, textproto.NewConn(conn)}
	defer c.c.Close()
	c.cmd(554, "EHLO client.test")
	c.expect(503)
	c.cmd(221, "QUIT")
}
