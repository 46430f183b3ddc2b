// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// bundle is the number of messages that pass Postfix each way.
const bundle = 100

// postfix is a running Postfix with folders of its own.
type postfix struct {
	t    *testing.T
	dir  string
	addr string
}

// startPostfix starts one that hands mail for out.test to sink and mail for in.test to relay.
func startPostfix(t *testing.T, addr string, sink, relay string, cert *testkit.Cert) *postfix {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("Postfix must be started by root")
	}
	p := &postfix{t: t, dir: folder(t), addr: addr}
	own(t, p.dir, "root", "")
	for _, name := range []string{"queue", "data", "log", "etc"} {
		own(t, p.dir, "root", name)
	}
	own(t, p.dir, "postfix", "data")
	cert.Write(t, p.dir)
	words := strings.NewReplacer("@DIR@", p.dir, "@SMTPD@", addr, "@SINK@", port(t, sink), "@RELAY@", port(t, relay))
	for _, name := range []string{"main.cf", "master.cf"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(p.dir, "etc", name), []byte(words.Replace(string(b))))
	}
	t.Cleanup(p.stop)
	if out, err := output(t, "postfix", "-c", filepath.Join(p.dir, "etc"), "start"); err != nil {
		t.Fatalf("postfix start: %v\n%s", err, out)
	}
	listening(t, addr)
	return p
}

func (p *postfix) stop() {
	if p.t.Failed() {
		b, err := os.ReadFile(filepath.Join(p.dir, "log", "postfix.log"))
		p.t.Logf("log of Postfix (%v):\n%s", err, tail(string(b)))
	}
	if out, err := output(p.t, "postfix", "-c", filepath.Join(p.dir, "etc"), "stop"); err != nil {
		p.t.Errorf("postfix stop: %v\n%s", err, out)
	}
}

// own makes a folder that belongs to a user and that others can read alone.
func own(t *testing.T, dir, name, sub string) {
	t.Helper()
	path := filepath.Join(dir, sub)
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}

func port(t *testing.T, addr string) string {
	t.Helper()
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPostfix sends messages through Postroad to Postfix, and through Postfix to Postroad. Each side offers STARTTLS
// with a certificate that nobody vouches for, and each takes the offer.
func TestPostfix(t *testing.T) {
	end := testkit.NewSink(t, testkit.SinkOptions{})
	cert := testkit.NewCert(t, "postfix.test", "relay.test")
	certFile, keyFile := cert.Write(t, t.TempDir())
	at := testkit.FreeAddr(t)
	r := startRelay(t, "testdata/postfix.hcl", "POSTROAD_POSTFIX="+at, "POSTROAD_SINK="+end.Addr().String(), "POSTROAD_CERT="+certFile, "POSTROAD_KEY="+keyFile)
	p := startPostfix(t, at, end.Addr().String(), r.addr, cert)

	content := []byte(head + "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n.dot\r\n" + eightBit())
	t.Run("next hop", func(t *testing.T) {
		bundled(t, r.addr, "out.test", content)
		trace := regexp.MustCompile(`\AReceived: from relay\.test [^\n]*\n\t\(using TLS[^\n]*\n(?:\t[^\n]*\n)*?\tby postfix\.test \(Postfix\) with ESMTPS [^\n]*\n(?:\t[^\n]*\n)*Received: from client\.test `)
		came(t, end, "out.test", trace, lf(content))
	})
	t.Run("client", func(t *testing.T) {
		bundled(t, p.addr, "in.test", content)
		trace := regexp.MustCompile(`\AReceived: from postfix\.test [^\n]*\s+by\s+relay\.test\s+with\s+ESMTPS\s+id\s[^\n]*\n(?:[ \t][^\n]*\n)*Received: from client\.test `)
		came(t, end, "in.test", trace, lf(content))
	})
}

// bundled sends many messages over ten connections, each to a recipient of its own.
func bundled(t *testing.T, server, domain string, content []byte) {
	t.Helper()
	file := write(t, filepath.Join(t.TempDir(), "m"), lf(content))
	out, err := output(t, "smtp-source", "-N", "-s", "10", "-m", fmt.Sprint(bundle), "-M", "client.test", "-f", sender, "-t", "rcpt@"+domain, "-F", file, server)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// came waits for the messages to a domain: each once, with the trace fields of both relays on top, and below them what
// was sent, and the empty line that smtp-source adds.
func came(t *testing.T, end *testkit.Sink, domain string, trace *regexp.Regexp, want []byte) {
	t.Helper()
	seen := map[string]int{}
	for _, m := range arrivals(t, end, domain) {
		seen[m.To[0]]++
		got := lf(m.Content)
		if !trace.Match(got) {
			t.Fatalf("the trace fields are not as expected: %.600s", got)
		}
		for range 2 {
			got = got[len(received.Find(got)):]
		}
		if err := same(got, append(bytes.Clone(want), '\n')); err != nil {
			t.Error(err)
		}
	}
	for i := range bundle {
		if rcpt := fmt.Sprintf("<%drcpt@%s>", i+1, domain); seen[rcpt] != 1 {
			t.Errorf("%s got %d messages", rcpt, seen[rcpt])
		}
	}
}

func arrivals(t *testing.T, end *testkit.Sink, domain string) []testkit.Received {
	t.Helper()
	var all []testkit.Received
	eventually(t, domain, func() error {
		all = all[:0]
		for _, m := range end.Messages() {
			if strings.HasSuffix(m.To[0], "@"+domain+">") {
				all = append(all, m)
			}
		}
		if len(all) < bundle {
			return fmt.Errorf("%d messages of %d arrived", len(all), bundle)
		}
		return nil
	})
	return all
}
