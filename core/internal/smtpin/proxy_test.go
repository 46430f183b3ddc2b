// SPDX-License-Identifier: Apache-2.0

package smtpin

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postroad-mail/postroad/core/mail"
)

// v2 makes a header of version 2.
func v2(command, family byte, behind string) string {
	b := append([]byte(proxyV2Signature), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(behind)))
	return string(b) + behind
}

func tlv(kind byte, value string) string {
	return string(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

// summed is a header of version 2 with the checksum that it should have.
func summed(command, family byte, behind string) string {
	h := []byte(v2(command, family, behind+tlv(proxyCRC32C, "\x00\x00\x00\x00")))
	sum := crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(h[len(h)-4:], sum)
	return string(h)
}

const (
	four = "\xcb\x00\x71\x09\xc0\x00\x02\x01\x12\x67\x00\x19" // 203.0.113.9:4711 to 192.0.2.1:25
	six  = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x12\x67\x00\x19"
)

// readHeader reads a header that comes in segments of n octets, and what the
// session would read behind it.
func readHeader(p []byte, n int) (got string, rest []byte) {
	s := over(p, n, Limits{})
	h, err := s.readProxied(time.Time{})
	switch {
	case errors.Is(err, errProxy):
		return "refused", nil
	case err != nil:
		return "cut off", nil
	case h.local:
		got = "local"
	case !h.client.IsValid():
		got = "unknown"
	default:
		got = h.client.String()
	}
	rest, _ = io.ReadAll(s.raw)
	return got, rest
}

func TestProxyHeader(t *testing.T) {
	unix := strings.Repeat("\x00", 216)
	for _, c := range []struct{ in, want string }{
		{"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n", "203.0.113.9:4711"},
		{"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535"},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n", "[2001:db8::1]:4711"},
		{"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 4711 25\r\n", "203.0.113.9:4711"},
		{"PROXY UNKNOWN\r\n", "unknown"},
		{"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "unknown"},
		{"PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n", "unknown"},
		{"PROXY UNKNOWN " + strings.Repeat("x", 108-16) + "\r\n", "refused"},
		{"PROXY UNKNOWNS\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25 \r\n", "refused"},
		{"PROXY TCP4  203.0.113.9 192.0.2.1 4711 25\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9\t192.0.2.1 4711 25\r\n", "refused"},
		{"PROXY TCP4 203.0.113.09 192.0.2.1 4711 25\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 04711 25\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 -1 25\r\n", "refused"},
		{"PROXY TCP4 2001:db8::1 2001:db8::2 4711 25\r\n", "refused"},
		{"PROXY TCP6 203.0.113.9 192.0.2.1 4711 25\r\n", "refused"},
		{"PROXY TCP6 fe80::1%eth0 fe80::2%eth0 4711 25\r\n", "refused"},
		{"PROXY UDP4 203.0.113.9 192.0.2.1 4711 25\r\n", "refused"},
		{"proxy TCP4 203.0.113.9 192.0.2.1 4711 25\r\n", "refused"},
		{"EHLO client.example\r\n", "refused"},
		{"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25", "cut off"},
		{"PROXY", "cut off"},
		{"", "cut off"},
		{v2(proxyProxy, proxyTCP4, four), "203.0.113.9:4711"},
		{v2(proxyProxy, proxyTCP6, six), "[2001:db8::1]:4711"},
		{v2(proxyProxy, proxyTCP4, four+tlv(4, "")+tlv(0xea, "x")), "203.0.113.9:4711"},
		{summed(proxyProxy, proxyTCP4, four), "203.0.113.9:4711"},
		{summed(proxyProxy, proxyTCP6, six+tlv(1, "h2")), "[2001:db8::1]:4711"},
		{v2(proxyProxy, proxyTCP4, four+tlv(proxyCRC32C, "abcd")), "refused"},
		{v2(proxyProxy, proxyTCP4, four+tlv(proxyCRC32C, "abc")), "refused"},
		{v2(proxyProxy, proxyTCP4, four+"\x01\x00"), "refused"},
		{v2(proxyProxy, proxyTCP4, four+"\x01\x00\x02x"), "refused"},
		{v2(proxyProxy, proxyTCP4, four[:11]), "refused"},
		{v2(proxyProxy, proxyTCP6, four), "refused"},
		{v2(proxyProxy, proxyUnix, unix), "unknown"},
		{v2(proxyProxy, proxyUnix, unix[:215]), "refused"},
		{v2(proxyProxy, proxyUnspec, "any octets"), "unknown"},
		{v2(proxyProxy, 0x12, four), "refused"}, // UDP
		{v2(proxyProxy, 0x41, four), "refused"},
		{v2(proxyLocal, proxyTCP4, "any"), "local"},
		{v2(proxyLocal, 0xff, ""), "local"},
		{v2(0x22, proxyTCP4, four), "refused"},
		{v2(0x11, proxyTCP4, four), "refused"},
		{v2(proxyProxy, proxyTCP4, four+tlv(4, strings.Repeat("x", maxProxyV2-15))), "203.0.113.9:4711"},
		{v2(proxyProxy, proxyTCP4, four+tlv(4, strings.Repeat("x", maxProxyV2-14))), "refused"},
		{v2(proxyProxy, proxyTCP4, four)[:27], "cut off"},
	} {
		for _, n := range []int{1, 7, 1 << 16} {
			behind := "EHLO x\r\n"
			if c.want == "cut off" {
				behind = ""
			}
			got, rest := readHeader([]byte(c.in+behind), n)
			if got != c.want || rest != nil && string(rest) != behind {
				t.Errorf("%q in pieces of %d: %s, and behind it %q; want %s", c.in, n, got, rest, c.want)
			}
		}
	}
}

// A header is read to its end and no further, whatever comes and in whatever
// pieces, and version 1 says what a regular expression finds in it.
func FuzzProxy(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\nEHLO x\r\n", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 25\r\n", "PROXY UNKNOWN\r\n", "EHLO x\r\n",
		v2(proxyProxy, proxyTCP4, four) + "EHLO", summed(proxyProxy, proxyTCP6, six), v2(proxyLocal, 0, ""), v2(proxyProxy, proxyUnix, strings.Repeat("\x01", 216)),
	} {
		f.Add([]byte(s), 5)
	}
	v1 := regexp.MustCompile(`^PROXY TCP(4|6) ([0-9a-fA-F:.]+) [0-9a-fA-F:.]+ (0|[1-9][0-9]{0,4}) (?:0|[1-9][0-9]{0,4})\r\n`)
	f.Fuzz(func(t *testing.T, p []byte, n int) {
		got, rest := readHeader(p, n)
		if got == "refused" || got == "cut off" {
			return
		}
		head := p[:len(p)-len(rest)]
		if !bytes.HasSuffix(p, rest) || len(head) > proxyV2Fixed+maxProxyV2 {
			t.Fatalf("%q: %q is left", p, rest)
		}
		if bytes.HasPrefix(p, []byte(proxyV2Signature)) {
			if want := proxyV2Fixed + int(binary.BigEndian.Uint16(p[14:])); len(head) != want {
				t.Fatalf("%q: %d octets were read, want %d", p, len(head), want)
			}
			return
		}
		if len(head) > maxProxyV1 || !bytes.HasSuffix(head, []byte("\r\n")) || bytes.Count(head, []byte("\n")) != 1 {
			t.Fatalf("%q was read", head)
		}
		m := v1.FindSubmatch(head)
		if m == nil {
			if got != "unknown" {
				t.Fatalf("%q is %s", head, got)
			}
			return
		}
		ip, err := netip.ParseAddr(string(m[2]))
		if want := fmt.Sprint(netip.AddrPortFrom(ip.Unmap(), 0).Addr()); err != nil || !strings.Contains(got, want) {
			t.Fatalf("%q is %s, want %s", head, got, want)
		}
	})
}

func FuzzXClient(f *testing.F) {
	for _, s := range []string{"NAME=a.example ADDR=203.0.113.9 PORT=1", "addr=IPV6:2001:db8::1 LOGIN=a+40b", "HELO=[UNAVAILABLE]", "ADDR=", "NAME=a+0D+0A", "PROTO=SMTP DESTADDR=1.2.3.4 DESTPORT=25"} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, arg string, login bool) {
		x, bad := parseXClient(arg, login)
		if bad != nil {
			if bad.reply.Code != 501 {
				t.Fatalf("%q: %v", arg, bad)
			}
			return
		}
		for _, s := range []string{x.name, x.helo, x.login} {
			if len(s) > maxXClientValue || !clean(s) {
				t.Fatalf("%q gives %q", arg, s)
			}
		}
		if x.addr.Zone() != "" || x.addr.Is4In6() || len(x.given) == 0 || x.login != "" && !login {
			t.Fatalf("%q gives %+v", arg, x)
		}
	})
}

// Whatever a proxy says over LMTP, by XCLIENT, in a header or in between, each session
// of the Backend that begins has one end, as has each transaction.
func FuzzProxySession(f *testing.F) {
	const message = "LHLO x\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\nRCPT TO:<late-reject@y>\r\n"
	f.Add([]byte("PROXY UNKNOWN\r\n"+message+"DATA\r\nx\r\n.\r\nQUIT\r\n"), 9, true)
	f.Add([]byte(message+"BDAT 1\r\nxBDAT 1 LAST\r\nyXCLIENT ADDR=203.0.113.9\r\n"+message), 50, false)
	f.Add([]byte("XCLIENT NAME=a ADDR=IPV6:2001:db8::1\r\nXCLIENT LOGIN=ann\r\nLHLO y\r\nXCLIENT PORT=1\r\n"), 1, false)
	f.Add([]byte(v2(proxyProxy, proxyTCP4, four)+message), 3, true)
	peer := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	f.Fuzz(func(t *testing.T, p []byte, n int, proxied bool) {
		o := Options{Backend: &backend{}, Kind: LMTP, XClient: peer, XClientLogin: true}
		if proxied {
			o.Proxies = peer
		}
		b := o.Backend.(*backend)
		out := run(t, o, asStrings(pieces(p, n))...)
		if b.opens != b.lefts || b.mails != b.closes {
			t.Fatalf("%d sessions, %d ended; %d Mail, %d Close", b.opens, b.lefts, b.mails, b.closes)
		}
		if out != "" && (strings.ContainsAny(strings.ReplaceAll(out, "\r\n", ""), "\r\n\x00") || !strings.HasSuffix(out, "\r\n")) {
			t.Fatalf("reply %q", out)
		}
	})
}

// calls counts the calls of the backend that are told of so.
func (b *backend) calls(what string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.told {
		if c == what {
			n++
		}
	}
	return n
}

// The client that a proxy names is the one that counts: for connections at once,
// and for nobody twice. One whose address the proxy does not know counts for the
// proxy.
func TestAProxysClientsCountForThemselves(t *testing.T) {
	b := &backend{}
	s, addr := serve(t, Options{Backend: b, Proxies: loopback(), Limits: Limits{ConnectionsPerClient: 1}})
	open := func(header, want string) *client {
		c := dial(t, addr)
		c.send(header)
		c.expect(want)
		return c
	}
	first := open("PROXY TCP4 203.0.113.9 192.0.2.1 1 25\r\n", "220")
	open("PROXY TCP4 203.0.113.9 192.0.2.1 2 25\r\n", "421 4.7.0 too many connections from you").closed()
	open("PROXY TCP4 203.0.113.10 192.0.2.1 1 25\r\n", "220")
	open("PROXY TCP6 2001:db8::1 2001:db8::2 1 25\r\n", "220")
	open("PROXY TCP6 2001:db8::3 2001:db8::2 1 25\r\n", "421 4.7.0") // the same /64
	open("PROXY UNKNOWN\r\n", "220")
	open(v2(proxyLocal, 0, ""), "421 4.7.0")
	first.cmd("QUIT", "221")
	first.closed()
	for s.open(netip.MustParseAddr("203.0.113.9")) { // the server is done with it a moment after the client
		runtime.Gosched()
	}
	open("PROXY TCP4 203.0.113.9 192.0.2.1 3 25\r\n", "220")
	equal(t, "sessions", b.calls("open"), 5)
}

// By XCLIENT a session moves from one client to another, and counts for the one that
// it is of: a client that has its share gets no more that way, and nobody's share is
// kept behind.
func TestXClientMovesTheCount(t *testing.T) {
	b, o := &backend{}, newObserver()
	s, addr := serve(t, Options{Backend: b, Observer: o, XClient: loopback(), Limits: Limits{ConnectionsPerClient: 1}})
	proxy := dial(t, addr)
	proxy.expect("220")
	for _, ip := range []string{"203.0.113.9", "203.0.113.10", "203.0.113.9"} {
		proxy.cmd("XCLIENT ADDR="+ip, "220")
	}
	equal(t, "the address that was left", s.open(netip.MustParseAddr("203.0.113.10")), false)
	second := dial(t, addr) // the proxy's own share is free again
	second.expect("220")
	second.cmd("XCLIENT ADDR=203.0.113.9", "421 4.7.0 too many connections from you")
	second.closed()
	equal(t, "refused", o.count(o.refused, "421 "+ReasonConnections), 1)
	equal(t, "sessions of the backend", []int{b.calls("open"), b.calls("close")}, []int{5, 4})
	equal(t, "the address that is left", s.open(netip.MustParseAddr("203.0.113.9")), true)
}

// open reports whether a session counts for the address.
func (s *Server) open(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.perClient[ip]
	return ok
}

// Who is not in a trusted network cannot pass itself off as another: the header and
// the command are refused, counted, and it stays who it is.
func TestASpoofedClientIsRefusedAndCounted(t *testing.T) {
	elsewhere := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, send := range []string{"PROXY TCP4 192.0.2.1 192.0.2.1 4711 25\r\n", v2(proxyProxy, proxyTCP4, four), "XCLIENT ADDR=192.0.2.1 LOGIN=ann\r\n"} {
		b, o := &backend{}, newObserver()
		_, addr := serve(t, Options{Backend: b, Observer: o, Proxies: elsewhere, XClient: elsewhere, XClientLogin: true})
		c := dial(t, addr)
		c.expect("220")
		c.send(send)
		c.expect("5")
		equal(t, "client", b.lastClient(), "127.0.0.1 - - -")
		if n := o.count(o.refused, "500 "+ReasonUnknown) + o.count(o.refused, "550 "+ReasonUnknown); n == 0 {
			t.Errorf("%q: refused %v", send, o.refused)
		}
	}
}

// A connect stage is asked about each client that XCLIENT names, and a refusal takes
// the place of the banner.
func TestXClientAsksAgain(t *testing.T) {
	b := &backend{onOpen: replyTo("203.0.113.9", 550)}
	_, addr := serve(t, Options{Backend: b, XClient: loopback()})
	c := dial(t, addr)
	c.expect("220")
	c.cmd("XCLIENT ADDR=203.0.113.9", "554")
	c.cmd("XCLIENT ADDR=203.0.113.10", "503")
	c.cmd("QUIT", "221")
	c.closed()
	equal(t, "told", b.story(), []string{"open", "close", "open"})
}

// TLS is between the proxy and us, and stays; the certificate was the proxy's.
func TestXClientOverTLS(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, XClient: loopback(), TLS: serverTLS(t)})
	c := dial(t, addr)
	c.expect("220")
	c.cmd("EHLO proxy.example", "250-")
	c.cmd("STARTTLS", "220")
	d := &dialogue{client: c, b: b}
	if fault := d.step("tls"); fault != "" {
		t.Fatal(fault)
	}
	c = d.client
	c.cmd("XCLIENT ADDR=203.0.113.9", "220")
	c.cmd("STARTTLS", "503")
	if got := c.cmd("EHLO client.example", "250-"); strings.Contains(got, "STARTTLS") || !strings.Contains(got, "XCLIENT") {
		t.Errorf("list: %s", got)
	}
	c.envelope()
	equal(t, "told", b.story(), []string{"open", "helo ESMTP proxy.example", "tls TLS1.3", "close", "open", "tls TLS1.3", "helo ESMTPS client.example", "mail"})
}

// A proxy that says nothing does not hold its place for ever, nor up a shutdown.
func TestAProxyThatSaysNothing(t *testing.T) {
	o := newObserver()
	_, addr := serve(t, Options{Backend: &backend{}, Observer: o, Proxies: loopback(), Limits: Limits{CommandTimeout: 20 * time.Millisecond}})
	c := dial(t, addr)
	c.send("PROXY TCP4 ")
	c.expect("421 4.3.5")
	c.closed()
	equal(t, "refused", o.count(o.refused, "421 "+ReasonProxy), 1)

	s, addr := serve(t, Options{Backend: &backend{}, Proxies: loopback()})
	c = dial(t, addr)
	for !s.waits() {
		runtime.Gosched()
	}
	s.drain()
	c.expect("421 4.3.2")
	c.closed()
}

// waits reports whether some session waits for its client.
func (s *Server) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.sessions {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.wait == inHandshake
	}
	return false
}

// A program on a unix socket is a client at 127.0.0.1.
func TestAClientOnAUnixSocket(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{}
	s, _ := serve(t, Options{Backend: b})
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.expect("220")
	c.cmd("QUIT", "221")
	c.closed()
	equal(t, "client", b.asked().Addr, "127.0.0.1:0")
	s.drain()
	<-done
}

func replyTo(ip string, code int) func(*mail.Client) *mail.Reply {
	return func(c *mail.Client) *mail.Reply {
		if c.Addr.Addr().String() != ip {
			return nil
		}
		return mail.NewReply(code, mail.Enhanced{code / 100, 7, 1}, "not you")
	}
}

// A user whom XCLIENT names is asked about as one who has logged in, behind the
// connection; the next client of the session has not logged in, and one who is refused
// hears so at its next command.
func TestXClientLogsIn(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, XClient: loopback(), XClientLogin: true})
	c := dial(t, addr)
	c.expect("220")
	for _, login := range []string{" LOGIN=ann+40example.org", "", " LOGIN=[UNAVAILABLE]"} {
		c.cmd("XCLIENT ADDR=203.0.113.9"+login, "220")
		c.cmd("EHLO x.example", "250-")
		c.envelope()
		c.cmd("DATA", "354")
		c.cmd(".", "250")
	}
	c.cmd("XCLIENT LOGIN=nobody", "220")
	c.cmd("EHLO x.example", "535 5.7.1 not you")
	for i, want := range []string{"ann@example.org true ESMTPA", " false ESMTP", " false ESMTP"} {
		m := b.sender(i)
		equal(t, "message", fmt.Sprint(m.User, " ", m.Authenticated, " ", m.Protocol), want)
	}
	equal(t, "told", b.story()[:5], []string{"open", "close", "open", "user ann@example.org", "helo ESMTPA x.example"})
}

// A client at the proxy's own 127.0.0.1, or behind a proxy of this machine, is not on
// this machine: its password would cross a network in the clear.
func TestPasswordsBehindAProxyAreNotAskedForInTheClear(t *testing.T) {
	for header, offered := range map[string]bool{
		"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n": false,
		"PROXY TCP4 127.0.0.1 192.0.2.1 4711 25\r\n":   true,
		"PROXY UNKNOWN\r\n":                            false,
		v2(proxyLocal, 0, ""):                          true,
	} {
		_, addr := serve(t, Options{Backend: &backend{mechanisms: []string{"PLAIN"}}, Proxies: loopback(), XClient: loopback()})
		c := dial(t, addr)
		c.send(header)
		c.expect("220")
		if got := c.cmd("EHLO x.example", "250-"); strings.Contains(got, "AUTH PLAIN") != offered {
			t.Errorf("%q: %s", header, got)
		}
	}
	// The script's peer is at 192.0.2.1, and says that its client is at 127.0.0.1.
	peer := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32")}
	for _, o := range []Options{{Proxies: peer}, {XClient: peer}} {
		o.Backend = &backend{mechanisms: []string{"PLAIN"}}
		say := "XCLIENT ADDR=127.0.0.1\r\n"
		if o.XClient == nil {
			say = "PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n"
		}
		if out := run(t, o, say+"EHLO x.example\r\nQUIT\r\n"); strings.Contains(out, "AUTH") || !strings.Contains(out, "250-PIPELINING") {
			t.Errorf("%s: %s", say, out)
		}
	}
}

// The certificate on the connection is the proxy's: its client must not log in by it.
func TestTheProxysCertificateIsNotItsClients(t *testing.T) {
	b := &backend{}
	_, addr := serve(t, Options{Backend: b, XClient: loopback(), TLS: askForCertificate(t)})
	c := dial(t, addr)
	c.expect("220")
	c.cmd("EHLO proxy.example", "250-")
	c.cmd("STARTTLS", "220")
	up := tls.Client(c.c, &tls.Config{InsecureSkipVerify: true, Certificates: serverTLS(t).Certificates})
	if err := up.Handshake(); err != nil {
		t.Fatal(err)
	}
	c = newClient(t, up)
	c.cmd("EHLO proxy.example", "250-")
	if b.certificates() == 0 {
		t.Fatal("the proxy's own certificate was not seen")
	}
	c.cmd("XCLIENT ADDR=203.0.113.9", "220")
	c.cmd("EHLO client.example", "250-")
	equal(t, "certificates", b.certificates(), 0)
	equal(t, "PeerCert", b.asked().PeerCert, "")
}

func askForCertificate(t *testing.T) *tls.Config {
	c := serverTLS(t)
	c.ClientAuth = tls.RequestClientCert
	return c
}

// certificates is how many the backend was shown when it was last asked for mechanisms.
func (b *backend) certificates() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.certs
}

// story is what the backend was told so far.
func (b *backend) story() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}

// sender is the client of a message.
func (b *backend) sender(message int) mail.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.messages[message].client
}

// asked is the client that Open was last asked about.
func (b *backend) asked() mail.Client {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.client
}

// joined sends what goes in front together with the first octets that are written.
type joined struct {
	net.Conn
	front string
}

func (j *joined) Write(p []byte) (int, error) {
	n, err := j.Conn.Write(append([]byte(j.front), p...))
	n -= len(j.front)
	j.front = ""
	return n, err
}

// The header comes in front of the handshake where TLS begins with the first octet,
// also in one segment with it. The stages are asked about TLS once for each client.
func TestAProxyInFrontOfTLS(t *testing.T) {
	for _, header := range []string{"PROXY TCP4 203.0.113.9 192.0.2.1 4711 25\r\n", summed(proxyProxy, proxyTCP4, four)} {
		b := &backend{}
		_, addr := serve(t, Options{Backend: b, Proxies: loopback(), XClient: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, TLS: serverTLS(t), Implicit: true})
		conn := dial(t, addr).c
		c := newClient(t, tls.Client(&joined{conn, header}, &tls.Config{InsecureSkipVerify: true}))
		c.expect("220")
		equal(t, "client", b.asked().Addr, "203.0.113.9:4711")
		c.cmd("XCLIENT ADDR=203.0.113.10", "220")
		c.cmd("EHLO x.example", "250-")
		equal(t, "client", b.asked().Addr, "203.0.113.10:0")
		equal(t, "told", b.story(), []string{"open", "tls TLS1.3", "close", "open", "tls TLS1.3", "helo ESMTPS x.example"})
	}
}
